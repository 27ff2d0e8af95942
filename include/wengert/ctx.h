/* The context: registry of ops, allocator, hooks. There are no process globals. */
#ifndef WENGERT_CTX_H
#define WENGERT_CTX_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WG_VERSION_MAJOR 0
#define WG_VERSION_MINOR 1
#define WG_VERSION_PATCH 0

/* Allocator hook: realloc-like. size 0 frees `ptr` and returns NULL; ptr NULL allocates. Must be
 * aligned as malloc is, and callable from any thread that uses the context. */
typedef void *(*wg_alloc_fn)(void *user, void *ptr, size_t size);
/* Log hook: one line of text, without newline. */
typedef void (*wg_log_fn)(void *user, const char *line);
/* Cancel hook: asked between the nodes of a run; true stops the run with WG_CANCELLED. */
typedef bool (*wg_cancel_fn)(void *user);

typedef struct wg_ctx_options {
    size_t struct_size;
    wg_alloc_fn alloc; /* NULL: malloc, realloc, free */
    void *alloc_user;
    wg_log_fn log; /* NULL: silent */
    void *log_user;
    wg_cancel_fn cancel; /* NULL: never */
    void *cancel_user;
    /* Threads of all runs in this context together, the caller of a run included; 0: as many as the
     * process may use. Started when a run first has work for them; a run in a forked child is not
     * possible. Results are the same to the last bit whatever it is. */
    size_t threads;
    /* How much memory compiled code may take that is kept in case its graph is recorded again (see
     * wg_compile), constants included; 0: 64 MiB. */
    size_t cache_bytes;
} wg_ctx_options;
#define WG_CTX_DEFAULTS                                                                            \
    {                                                                                              \
        sizeof(wg_ctx_options), NULL, NULL, NULL, NULL, NULL, NULL, 0, 0                           \
    }

/* A new context with the built-in ops registered. Owned; NULL when memory is out. Tapes, programs,
 * sessions and states hold a reference, so the context may be freed before them. */
WG_API WG_MUST_CHECK wg_ctx *wg_ctx_new(const wg_ctx_options *options);
WG_API void wg_ctx_free(wg_ctx *ctx);

/* "0.1.0" */
WG_API const char *wg_version(void);

#ifdef __cplusplus
}
#endif
#endif
