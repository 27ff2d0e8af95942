/* The base room: memory, strings, the interning pool, the context. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "base/ctx.h"
#include "base/pool.h"
#include "base/str.h"
#include "fault.h"
#include "rng.h"

/* ---- memory ----------------------------------------------------------------------------------- */

START_TEST(memory_survives_extreme_sizes)
{
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    size_t out;
    ck_assert(!wg__mul_size(SIZE_MAX, 2, &out));
    ck_assert(wg__mul_size(SIZE_MAX, 1, &out) && out == SIZE_MAX);
    ck_assert_ptr_null(wg__calloc(ctx, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(wg__alloc_aligned(ctx, SIZE_MAX - 8));
    void *empty = wg__alloc(ctx, 0);
    ck_assert_ptr_nonnull(empty);
    empty = wg__realloc(ctx, empty, 0);
    ck_assert_ptr_nonnull(empty);
    wg__free(ctx, empty);
    wg__free(ctx, NULL);
    wg__free_aligned(ctx, NULL);
    WG__VEC(uint64_t) v = {0};
    ck_assert(!wg__vec_reserve(ctx, &v, SIZE_MAX / 4));
    ck_assert(!wg__vec_reserve(ctx, &v, SIZE_MAX));
    ck_assert_ptr_null(v.data);
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(aligned_blocks_are_aligned)
{
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    for (size_t size = 0; size < 300; size++) {
        unsigned char *p = wg__alloc_aligned(ctx, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 64, 0);
        memset(p, 0xff, size);
        wg__free_aligned(ctx, p);
    }
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(vectors_keep_what_was_pushed)
{
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    WG__VEC(uint32_t) v = {0};
    for (uint32_t i = 0; i < 10000; i++)
        ck_assert(wg__vec_push(ctx, &v, i * i));
    ck_assert_uint_eq(v.len, 10000);
    for (uint32_t i = 0; i < 10000; i++)
        ck_assert_uint_eq(v.data[i], i * i);
    wg__vec_free(ctx, &v);
    ck_assert_uint_eq(v.cap, 0);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- strings ---------------------------------------------------------------------------------- */

START_TEST(strings_append)
{
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    wg__str s = wg__str_make(ctx);
    char expected[20000] = "";
    ck_assert_str_eq(wg__str_text(&s), "");
    for (int i = 0; i < 1000; i++) {
        wg__str_addf(&s, "%d, %s;", i, "x");
        sprintf(expected + strlen(expected), "%d, %s;", i, "x");
    }
    ck_assert_str_eq(wg__str_text(&s), expected);
    wg__str_clear(&s);
    ck_assert_str_eq(wg__str_text(&s), "");
    wg__str_addn(&s, "abcdef", 3);
    wg__str_add(&s, "");
    char *taken = wg__str_take(&s);
    ck_assert_str_eq(taken, "abc");
    ck_assert_str_eq(wg__str_text(&s), "");
    wg__free(ctx, taken);
    taken = wg__str_take(&s);
    ck_assert_str_eq(taken, "");
    wg__free(ctx, taken);
    wg__str_free(&s);
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(strings_remember_a_failure)
{
    fault f = {0};
    wg_ctx_options options = fault_options(&f);
    wg_ctx *ctx = wg__ctx_new_bare(&options);
    wg__str s = wg__str_make(ctx);
    wg__str_add(&s, "some");
    f.fail_at = f.calls + 1;
    wg__str_addf(&s, "%100d", 1);
    wg__str_add(&s, "x"); /* would fit */
    ck_assert(s.failed);
    ck_assert_str_eq(wg__str_text(&s), "");
    ck_assert_ptr_null(wg__str_take(&s));
    ck_assert(!s.failed);
    wg__str_add(&s, "again");
    ck_assert_str_eq(wg__str_text(&s), "again");
    wg__str_free(&s);
    wg_ctx_free(ctx);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* ---- the pool --------------------------------------------------------------------------------- */

enum { WORDS = 3000, LONGEST = 40 };

typedef struct word {
    size_t size;
    char bytes[LONGEST];
} word;

/* Few letters and mostly short: many repeat, and zeros are letters too. */
static word random_word(rng *r)
{
    word w = {(size_t)rng_int(r, 0, rng_int(r, 0, 5) ? 4 : LONGEST), ""};
    for (size_t i = 0; i < w.size; i++)
        w.bytes[i] = (char)rng_int(r, 0, 3);
    return w;
}

static uint32_t naive_find(const word *list, uint32_t n, const word *w)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i].size == w->size && !memcmp(list[i].bytes, w->bytes, w->size))
            return i + 1;
    return 0;
}

static void check_entries(const wg__pool *pool, const word *list, uint32_t n)
{
    for (uint32_t id = 1; id <= n; id++) {
        size_t size;
        const char *data = wg__pool_get(pool, id, &size);
        ck_assert_uint_eq(size, list[id - 1].size);
        ck_assert_mem_eq(data, list[id - 1].bytes, size);
        ck_assert_int_eq(data[size], 0);
        ck_assert_uint_eq((uintptr_t)data % 16, 0);
    }
}

START_TEST(pool_agrees_with_a_list)
{
    static word list[WORDS];
    uint32_t n = 0;
    rng r = rng_make((uint64_t)_i);
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    wg__pool pool;
    wg__pool_init(&pool, ctx);
    for (int i = 0; i < WORDS; i++) {
        word w = random_word(&r);
        uint32_t expected = w.size ? naive_find(list, n, &w) : 0;
        ck_assert_msg(wg__pool_find(&pool, w.bytes, w.size) == expected, "seed %d word %d", _i, i);
        if (w.size && !expected) {
            list[n++] = w;
            expected = n;
        }
        ck_assert_msg(wg__pool_intern(&pool, w.bytes, w.size) == expected, "seed %d word %d", _i,
                      i);
    }
    ck_assert_uint_eq(pool.entries.len, n);
    check_entries(&pool, list, n);
    ck_assert_str_eq(wg__pool_get(&pool, 0, NULL), "");
    wg__pool_free(&pool);
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(pool_holds_large_entries)
{
    static char large[1 << 20];
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    wg__pool pool;
    wg__pool_init(&pool, ctx);
    for (size_t size = 1; size <= sizeof large; size *= 2) {
        memset(large, (int)(size % 251), size);
        uint32_t id = wg__pool_intern(&pool, large, size);
        ck_assert_uint_ne(id, 0);
        ck_assert_mem_eq(wg__pool_get(&pool, id, NULL), large, size);
        ck_assert_uint_eq(wg__pool_intern(&pool, wg__pool_get(&pool, id, NULL), size), id);
    }
    wg__pool_free(&pool);
    ck_assert_uint_eq(wg__pool_find(&pool, "x", 1), 0);
    wg_ctx_free(ctx);
}
END_TEST

/* Every bit of the data and of the seed moves about half of the hash. */
START_TEST(hash_mixes)
{
    unsigned char data[37];
    rng r = rng_make(7);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)rng_next(&r);
    uint64_t h = wg__hash(data, sizeof data, 1);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        int moved = __builtin_popcountll(h ^ wg__hash(data, sizeof data, 1));
        ck_assert_int_ge(moved, 10);
        ck_assert_int_le(moved, 54);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    ck_assert_uint_eq(h, wg__hash(data, sizeof data, 1));
    ck_assert_uint_ne(h, wg__hash(data, sizeof data, 2));
    ck_assert_uint_ne(wg__hash("\0\0", 1, 0), wg__hash("\0\0", 2, 0));
}
END_TEST

/* ---- the context ------------------------------------------------------------------------------ */

typedef struct hooks_seen {
    fault fault;
    char line[64];
    bool cancel;
} hooks_seen;

static void log_line(void *user, const char *line)
{
    snprintf(((hooks_seen *)user)->line, 64, "%s", line);
}

static bool cancel(void *user) { return ((hooks_seen *)user)->cancel; }

START_TEST(hooks_are_called)
{
    hooks_seen seen = {0};
    wg_ctx_options options = fault_options(&seen.fault);
    options.log = log_line;
    options.log_user = options.cancel_user = &seen;
    options.cancel = cancel;
    wg_ctx *ctx = wg__ctx_new_bare(&options);
    wg__log(ctx, "%s is %d", "x", 3);
    ck_assert_str_eq(seen.line, "x is 3");
    wg__log(ctx, "%s", "");
    ck_assert_str_eq(seen.line, "");
    ck_assert(!wg__cancelled(ctx));
    seen.cancel = true;
    ck_assert(wg__cancelled(ctx));
    wg__ctx_ref(ctx);
    wg_ctx_free(ctx);
    ck_assert_int_gt(seen.fault.live, 0);
    wg__ctx_unref(ctx);
    ck_assert_int_eq(seen.fault.live, 0);
    wg_ctx_free(NULL);
}
END_TEST

START_TEST(options_of_other_versions_work)
{
    struct {
        wg_ctx_options now;
        void *later[4];
    } longer = {WG_CTX_DEFAULTS, {0}};
    hooks_seen seen = {0};
    longer.now.struct_size = sizeof longer;
    longer.now.log = log_line;
    longer.now.log_user = &seen;
    wg_ctx *ctx = wg__ctx_new_bare(&longer.now);
    wg__log(ctx, "newer");
    ck_assert_str_eq(seen.line, "newer");
    wg_ctx_free(ctx);
    longer.now.struct_size = offsetof(wg_ctx_options, log); /* before there was a log */
    ctx = wg__ctx_new_bare(&longer.now);
    wg__log(ctx, "older");
    ck_assert_str_eq(seen.line, "newer");
    ck_assert(!wg__cancelled(ctx));
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(texts_of_status_codes)
{
    for (int i = 0; i < WG_STATUS_COUNT; i++)
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(wg_status_text((wg_status)i), wg_status_text((wg_status)k));
    ck_assert_str_eq(wg_status_text(WG_OK), "ok");
    ck_assert_ptr_nonnull(wg_status_text((wg_status)1000));
    ck_assert_ptr_nonnull(wg_status_text((wg_status)-1));
}
END_TEST

START_TEST(version_is_that_of_the_header)
{
    char expected[32];
    sprintf(expected, "%d.%d.%d", WG_VERSION_MAJOR, WG_VERSION_MINOR, WG_VERSION_PATCH);
    ck_assert_str_eq(wg_version(), expected);
}
END_TEST

/* ---- failing allocations ---------------------------------------------------------------------- */

static bool fill_pool(wg_ctx *ctx, wg__pool *pool)
{
    for (int i = 0; i < 100; i++) {
        char text[64];
        int n = sprintf(text, "%0*d", 1 + i % 40, i);
        uint32_t id = wg__pool_intern(pool, text, (size_t)n);
        if (!id || id != wg__pool_find(pool, text, (size_t)n))
            return false;
    }
    (void)ctx;
    return true;
}

static bool scenario(wg_ctx *ctx, void *user)
{
    (void)user;
    wg__pool pool;
    wg__pool_init(&pool, ctx);
    wg__str s = wg__str_make(ctx);
    WG__VEC(int) v = {0};
    bool ok = fill_pool(ctx, &pool);
    for (int i = 0; i < 100; i++) {
        wg__str_addf(&s, "%d ", i);
        ok &= wg__vec_push(ctx, &v, i);
    }
    void *aligned = wg__alloc_aligned(ctx, 100);
    char *copy = wg__strdup(ctx, "copy"), *text = wg__str_take(&s);
    ok &= aligned && copy && text;
    wg__free_aligned(ctx, aligned);
    wg__free(ctx, copy);
    wg__free(ctx, text);
    wg__vec_free(ctx, &v);
    wg__pool_free(&pool);
    return ok;
}

START_TEST(each_allocation_may_fail)
{
    ck_assert_int_eq(fault_each(wg__ctx_new_bare, scenario, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *t = tcase_create("base");
    tcase_add_test(t, memory_survives_extreme_sizes);
    tcase_add_test(t, aligned_blocks_are_aligned);
    tcase_add_test(t, vectors_keep_what_was_pushed);
    tcase_add_test(t, strings_append);
    tcase_add_test(t, strings_remember_a_failure);
    tcase_add_loop_test(t, pool_agrees_with_a_list, 0, 8);
    tcase_add_test(t, pool_holds_large_entries);
    tcase_add_test(t, hash_mixes);
    tcase_add_test(t, hooks_are_called);
    tcase_add_test(t, options_of_other_versions_work);
    tcase_add_test(t, texts_of_status_codes);
    tcase_add_test(t, version_is_that_of_the_header);
    tcase_add_test(t, each_allocation_may_fail);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
