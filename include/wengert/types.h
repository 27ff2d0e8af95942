/* The words all other headers speak: status codes, dtypes, shapes, types and the wg_var handle. */
#ifndef WENGERT_TYPES_H
#define WENGERT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WG_API __attribute__((visibility("default")))
#define WG_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define WG_MUST_CHECK __attribute__((warn_unused_result))
#else
#define WG_API
#define WG_PRINTF(fmt, first)
#define WG_MUST_CHECK
#endif

/* ---- status ------------------------------------------------------------------------------ */

/* X(code, text). The one list of status codes. */
#define WG_STATUS_LIST(X)                                                                          \
    X(OK, "ok")                                                                                    \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(INVALID, "invalid argument")                                                                 \
    X(SHAPE, "shapes do not fit")                                                                  \
    X(DTYPE, "dtypes do not fit")                                                                  \
    X(NOT_FOUND, "no such name")                                                                   \
    X(EXISTS, "name is taken")                                                                     \
    X(STALE, "stale handle")                                                                       \
    X(NOT_DIFFERENTIABLE, "not differentiable")                                                    \
    X(UNBOUND, "input without a value")                                                            \
    X(RANGE, "index out of range")                                                                 \
    X(PARSE, "malformed input")                                                                    \
    X(IO, "input/output error")                                                                    \
    X(CANCELLED, "cancelled")                                                                      \
    X(UNSUPPORTED, "not supported")                                                                \
    X(INTERNAL, "internal error")

typedef enum wg_status {
#define WG_STATUS_ENUM(code, text) WG_##code,
    WG_STATUS_LIST(WG_STATUS_ENUM)
#undef WG_STATUS_ENUM
        WG_STATUS_COUNT
} wg_status;

/* A short English text for `status`; never NULL. */
WG_API const char *wg_status_text(wg_status status);

/* ---- dtypes ------------------------------------------------------------------------------ */

/* X(code, name, C type, letter). The letter is used in kernel signatures such as "ff->f". */
#define WG_DTYPE_LIST(X)                                                                           \
    X(BOOL, "bool", uint8_t, 'b')                                                                  \
    X(I32, "i32", int32_t, 'i')                                                                    \
    X(I64, "i64", int64_t, 'l')                                                                    \
    X(F32, "f32", float, 'f')                                                                      \
    X(F64, "f64", double, 'd')

typedef enum wg_dtype {
#define WG_DTYPE_ENUM(code, name, ctype, letter) WG_##code,
    WG_DTYPE_LIST(WG_DTYPE_ENUM)
#undef WG_DTYPE_ENUM
        WG_DTYPE_COUNT
} wg_dtype;

/* Bytes of one element; 0 for an unknown dtype. */
WG_API size_t wg_dtype_size(wg_dtype dtype);
/* "f32" and so on; "?" for an unknown dtype. */
WG_API const char *wg_dtype_name(wg_dtype dtype);
/* True for f32 and f64: the dtypes that carry derivatives. */
WG_API bool wg_dtype_is_float(wg_dtype dtype);

/* ---- shapes ------------------------------------------------------------------------------ */

#define WG_MAX_RANK 8

/* A shape of rank 0 to 8, row-major, by value. A dimension may carry a symbol beside its size:
 * symbol[i] is 0 for none, else an expression interned in the context (see wg_shape_symbol), so
 * that a graph can be printed with `N` and recorded anew at another size (wg_tape_resize). */
typedef struct wg_shape {
    int32_t rank;
    int64_t dim[WG_MAX_RANK];
    uint32_t symbol[WG_MAX_RANK];
} wg_shape;

/* A shape from `rank` sizes, without symbols. An impossible rank gives rank -1, which every call
 * that takes a shape refuses with a clear error. */
WG_API wg_shape wg_shape_make(const int64_t *dims, size_t rank);

/* WG_SHAPE(64, 784); WG_SCALAR is rank 0. */
#ifdef __cplusplus
#define WG_SHAPE(...) wg_shape_list({__VA_ARGS__})
#else
#define WG_SHAPE(...)                                                                              \
    wg_shape_make((const int64_t[]){__VA_ARGS__},                                                  \
                  sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#endif
#define WG_SCALAR wg_shape_make(NULL, 0)

/* Equal ranks and sizes (symbols are not compared). */
WG_API bool wg_shape_equal(wg_shape a, wg_shape b);
/* Number of elements (1 for rank 0); -1 when it overflows or the shape is invalid. */
WG_API int64_t wg_shape_count(wg_shape shape);

/* The type of a value. */
typedef struct wg_type {
    wg_dtype dtype;
    wg_shape shape;
} wg_type;

/* Axes of a reduction, by value. Negative axes count from the end. */
typedef struct wg_axes {
    int32_t count; /* -1: all axes */
    int32_t axis[WG_MAX_RANK];
} wg_axes;

WG_API wg_axes wg_axes_make(const int32_t *axes, size_t count);
#ifdef __cplusplus
#define WG_AXES(...) wg_axes_list({__VA_ARGS__})
#else
#define WG_AXES(...)                                                                               \
    wg_axes_make((const int32_t[]){__VA_ARGS__},                                                   \
                 sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))
#endif
#define WG_ALL_AXES wg_axes_make(NULL, 0)

/* ---- handles ----------------------------------------------------------------------------- */

typedef struct wg_ctx wg_ctx;
typedef struct wg_tape wg_tape;
typedef struct wg_program wg_program;
typedef struct wg_session wg_session;
typedef struct wg_state wg_state;
typedef struct wg_tensor wg_tensor;

/* A value on a tape, or a literal that has not met a tape yet. 16 bytes, passed by value, copied
 * freely, valid until its tape is rewound past it or freed. Treat both fields as private. */
typedef struct wg_var {
    wg_tape *tape;
    uint64_t bits;
} wg_var;

/* A closed sub-tape: the body of a call, loop or branch. By value; lives as long as its tape. */
typedef struct wg_fn {
    wg_tape *tape;
    uint64_t bits;
} wg_fn;

#ifdef __cplusplus
}

extern "C++" { /* which has no compound literals */
#include <initializer_list>
inline wg_shape wg_shape_list(std::initializer_list<int64_t> dims)
{
    return wg_shape_make(dims.begin(), dims.size());
}
inline wg_axes wg_axes_list(std::initializer_list<int32_t> axes)
{
    return wg_axes_make(axes.begin(), axes.size());
}
}
#endif
#endif
