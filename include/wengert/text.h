/* Text: a tape prints as .wg and parses back to an equal tape. docs/language.md describes it. */
#ifndef WENGERT_TEXT_H
#define WENGERT_TEXT_H

#include <stdio.h>
#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The text of a tape with its outputs, as a NUL-terminated string. Deterministic: equal tapes give
 * equal text. name NULL: "main". Release with wg_text_free. NULL on failure, reason in the tape
 * for a bad var, else memory. */
WG_API WG_MUST_CHECK char *wg_print(const wg_tape *tape, const char *name, const wg_var *outs,
                                    size_t nouts);
WG_API void wg_text_free(wg_ctx *ctx, char *text);
/* The same into a file (WG_IO on a write error). */
WG_API wg_status wg_print_file(const wg_tape *tape, const char *name, const wg_var *outs,
                               size_t nouts, FILE *file);

/* A parsed graph: an owned tape with the declared outputs. */
typedef struct wg_graph wg_graph;

/* Parses .wg text of `size` bytes; `file` names it in messages. On failure returns NULL and, if
 * `error` is given, an owned message "file:line:column: what" with the line and a caret below
 * (wg_text_free). */
WG_API WG_MUST_CHECK wg_graph *wg_parse(wg_ctx *ctx, const char *text, size_t size,
                                        const char *file, char **error);
WG_API WG_MUST_CHECK wg_graph *wg_parse_file(wg_ctx *ctx, const char *path, char **error);
WG_API void wg_graph_free(wg_graph *graph);
WG_API const char *wg_graph_name(const wg_graph *graph);
WG_API wg_tape *wg_graph_tape(wg_graph *graph); /* borrowed */
WG_API size_t wg_graph_noutputs(const wg_graph *graph);
WG_API const wg_var *wg_graph_outputs(const wg_graph *graph); /* borrowed */
/* An input, param or named value; an invalid var when there is none. */
WG_API wg_var wg_graph_find(const wg_graph *graph, const char *name);

#ifdef __cplusplus
}
#endif
#endif
