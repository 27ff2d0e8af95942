/* Layouts: where the elements of a value lie when views are not copied; and shapes without axes of
 * size 1, in which fusing thinks. */
#ifndef WG_PASS_LAYOUT_H
#define WG_PASS_LAYOUT_H

#include <wengert/op.h>
#include "tape/tape.h"

/* The elements of a value lie in the memory of value `base`, at s.offset plus strides, in elements.
 * For a value that is no view: itself, dense. */
typedef struct wg__layout {
    uint32_t base;
    wg_strides s;
} wg__layout;

/* Whether node `id` may be a window of its operand: its op has a `view` hook. */
bool wg__is_view(const wg_tape *t, uint32_t id);
/* The layout of value `id`, given that of its operand: as a window of it (true), or, for what is no
 * view (`of` may be NULL) and where the hook refuses, itself, dense (false). */
bool wg__layout_make(const wg_tape *t, uint32_t id, const wg__layout *of, wg__layout *out);
/* Row-major without gaps from s.offset on. */
bool wg__layout_dense(const wg_type *type, const wg_strides *s);
wg_strides wg__dense_strides(const wg_type *type);

/* A shape without its axes of size 1; axis i of it is axis axis[i] of `s` (axis may be NULL). No
 * symbols. */
wg_shape wg__squeeze(const wg_shape *s, int axis[WG_MAX_RANK]);
/* Strides of a value of shape `value` by layout `s` as seen from shape `over`, to which it broadcasts:
 * one step per axis of wg__squeeze(over). */
wg_strides wg__strides_over(const wg_strides *s, const wg_shape *value, const wg_shape *over);
/* How many trailing axes of `space` (squeezed) are one array of one step, by these strides. */
int wg__merged_axes(const wg_shape *space, const wg_strides *s);
/* The axis of `space` (squeezed) along which the element at index i has the value i, when the elements
 * of iota node `id` lie by strides `s` over it; -1: there is none. */
int wg__iota_axis(const wg_tape *t, uint32_t id, const wg_shape *space, const wg_strides *s);

#endif
