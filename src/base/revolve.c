/* Binomial checkpointing. With s snapshots and at most r runs of a step a chain of up to
 * reach(s, r) = C(s + r, s) steps can be reversed; the least number of runs for T steps is
 *
 *     cost(T, s) = r T - reach(s + 1, r - 1),    reach(s, r - 1) < T <= reach(s, r),
 *
 * which is met by putting the next snapshot where both parts of the chain stay within reach: the
 * farther one with s - 1 snapshots and r runs, the nearer one with s and r - 1. */
#include "base/revolve.h"

/* C(s + r, k) with k the smaller of both, by C(n, i) = C(n - 1, i - 1) * n / i: exact at each step. */
int64_t wg__revolve_reach(int64_t s, int64_t r)
{
    if (s < 0 || r < 0)
        return 0;
    int64_t k = s < r ? s : r, n = s < r ? r : s, c = 1;
    for (int64_t i = 1; i <= k; i++) {
        if (c > INT64_MAX / (n + i))
            return INT64_MAX;
        c = c * (n + i) / i;
    }
    return c;
}

/* The r of the formula. reach(s, r) >= r + 1, so r < steps. */
static int64_t runs(int64_t steps, int64_t s)
{
    int64_t low = 0, high = steps;
    while (low < high) {
        int64_t r = low + (high - low) / 2;
        if (wg__revolve_reach(s, r) >= steps)
            high = r;
        else
            low = r + 1;
    }
    return low;
}

int64_t wg__revolve_cost(int64_t steps, int64_t s)
{
    if (steps <= 1)
        return 0;
    int64_t r = runs(steps, s), less = wg__revolve_reach(s + 1, r - 1);
    /* r T may exceed the range only where s = 1 and T > 2^32: nobody waits for that. */
    return r > INT64_MAX / steps || less == INT64_MAX ? INT64_MAX : r * steps - less;
}

int64_t wg__revolve_least(int64_t steps, int64_t most)
{
    int64_t low = 1, high = steps > 1 ? steps : 1;
    while (low < high) {
        int64_t s = low + (high - low) / 2;
        if (wg__revolve_cost(steps, s) / steps < most || wg__revolve_cost(steps, s) == steps * most)
            high = s;
        else
            low = s + 1;
    }
    return low;
}

void wg__revolve_begin(wg__revolve *r, int64_t steps, int64_t snapshots, int64_t *stack)
{
    *r = (wg__revolve){.stack = stack, .snapshots = snapshots, .left = steps};
    stack[0] = 0;
}

/* How far ahead the next snapshot goes in a chain of `steps` >= 2 with s >= 2 snapshots, its start
 * among them: as far as both parts allow. */
static int64_t stride(int64_t steps, int64_t s)
{
    int64_t r = runs(steps, s);
    int64_t near = wg__revolve_reach(s, r - 1), far = steps - wg__revolve_reach(s - 1, r - 1);
    int64_t j = near < far ? near : far;
    return j < 1 ? 1 : j > steps - 1 ? steps - 1 : j;
}

static wg__revolve_action restore(wg__revolve *r)
{
    r->at = r->stack[r->top];
    return (wg__revolve_action){.what = WG__REVOLVE_RESTORE, .at = r->at, .slot = r->top};
}

static wg__revolve_action advance(wg__revolve *r, int64_t to)
{
    wg__revolve_action a = {.what = WG__REVOLVE_ADVANCE, .at = r->at, .to = to};
    r->at = to;
    return a;
}

wg__revolve_action wg__revolve_next(wg__revolve *r)
{
    if (r->left == 0)
        return (wg__revolve_action){.what = WG__REVOLVE_DONE};
    while (r->stack[r->top] == r->left) /* all behind that snapshot is turned */
        r->top--;
    const int64_t base = r->stack[r->top], steps = r->left - base, free = r->snapshots - 1 - r->top;
    if (r->at < base || r->at >= r->left)
        return restore(r);
    if (r->at == r->left - 1) {
        wg__revolve_action turn = {.what = WG__REVOLVE_TURN, .at = r->at};
        r->left--;
        r->at = -1;
        return turn;
    }
    if (free > 0 && r->at > base) {
        r->stack[++r->top] = r->at;
        return (wg__revolve_action){.what = WG__REVOLVE_TAKE, .at = r->at, .slot = r->top};
    }
    return advance(r, free > 0 ? base + stride(steps, free + 1) : r->left - 1);
}
