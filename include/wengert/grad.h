/* Differentiation: gradients, VJPs and JVPs are recorded on the same tape as more operations.
 *
 * Backward nodes carry the scope and the origin (name) of the forward node they come from. Results
 * can be differentiated again, to any order. A value that does not depend on a target through any
 * differentiable path gives a zero of the target's type, or an error with `strict`.
 * Targets may stand on an enclosing tape, as long as the sub-tape uses no other outer value that
 * depends on them (an error that names it).
 * Kinks: |x|' = 0 at 0, relu' = 0 at 0, ties of max and min share equally, clamp passes the
 * cotangent at its bounds. */
#ifndef WENGERT_GRAD_H
#define WENGERT_GRAD_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* dxs[j] = sum_i d ys[i] / d xs[j] applied to cotangent dys[i] (reverse mode).
 * dys NULL, or dys[i] wg_none(): ones, and then ys[i] must have rank 0. Each dys[i] must have
 * ys[i]'s shape. Targets may be any float values of the tape. Writes nxs vars; on failure they are
 * invalid and the tape holds the reason. */
WG_API wg_status wg_grad(const wg_var *ys, size_t nys, const wg_var *dys, const wg_var *xs,
                         size_t nxs, wg_var *dxs);

/* The gradient of one rank-0 value with respect to one target. */
WG_API wg_var wg_grad1(wg_var y, wg_var x);

/* As wg_grad, but an answer that is a structural zero or disconnected is wg_none() instead of a
 * zero, and no cotangent may be missing. connected[j] (if given) tells the two apart: false when
 * no path leads from xs[j] to any of ys. */
WG_API wg_status wg_vjp(const wg_var *ys, size_t nys, const wg_var *dys, const wg_var *xs,
                        size_t nxs, wg_var *dxs, bool *connected);

/* tys[i] = sum_j d ys[i] / d xs[j] applied to tangent txs[j] (forward mode). txs[j] has xs[j]'s
 * type or is wg_none(). Answers that are structurally zero are zeros of ys[i]'s type. */
WG_API wg_status wg_jvp(const wg_var *ys, size_t nys, const wg_var *xs, size_t nxs,
                        const wg_var *txs, wg_var *tys);

#ifdef __cplusplus
}
#endif
#endif
