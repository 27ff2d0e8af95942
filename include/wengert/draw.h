/* Pictures: graphs as DOT, written by Graphviz's cgraph. Rendering through gvc is in the separate
 * library libwengert-draw. */
#ifndef WENGERT_DRAW_H
#define WENGERT_DRAW_H

#include <stdio.h>
#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wg_dot_options {
    size_t struct_size;
    const char *title;  /* NULL: none */
    const wg_var *outs; /* marked as outputs, and only what they (and assigns) need is drawn */
    size_t nouts;       /* 0: the whole tape */
    bool no_legend;
    bool no_effects; /* leave assigns out */
    /* Shares of time by number of value, from 0 to 1, below 0 for none (wg_session_profile_shares):
     * nodes are coloured by them, and labelled with per cents. NULL: no. */
    const double *heat;
    size_t nheat;
    bool
        rules; /* draw the rules of custom_vjp and custom_jvp, too, beside what they are rules of */
} wg_dot_options;
#define WG_DOT_DEFAULTS                                                                            \
    {                                                                                              \
        sizeof(wg_dot_options), NULL, NULL, 0, false, false, NULL, 0, false                        \
    }

/* The DOT text of a tape: a cluster per scope, sub-tapes as boxes, forward and backward in
 * different colours, a legend. Backward edges are written from the user to the operand with
 * dir=back, so that the backward graph is laid out beside the forward one. Deterministic. Release
 * with wg_text_free; NULL on failure: an out that is no value of the tape, or no memory. */
WG_API WG_MUST_CHECK char *wg_dot(const wg_tape *tape, const wg_dot_options *options);
/* The same into a file: WG_INVALID, WG_NO_MEMORY, or WG_IO on a write error. */
WG_API wg_status wg_dot_file(const wg_tape *tape, const wg_dot_options *options, FILE *file);

/* Graphviz keeps process-wide state: the calls here hold this lock while they use it. A program
 * that calls Graphviz itself from another thread takes it too. */
WG_API void wg_graphviz_lock(void);
WG_API void wg_graphviz_unlock(void);

/* libwengert-draw: lays `dot` text out and writes it in a Graphviz format ("svg", "png", "pdf").
 * *error (if given) borrows a static text. */
WG_API wg_status wg_render(const char *dot, const char *format, FILE *file, const char **error);

#ifdef __cplusplus
}
#endif
#endif
