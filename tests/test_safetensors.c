/* safetensors files: round trips, the format itself, damaged files, failing disks and memory. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"
#include "fault.h"
#include "rng.h"
#include "tensor/safetensors.h"

static wg_ctx *ctx;
static wg__str error;
static char folder[256], path[300];

static void setup(void)
{
    ctx = wg__ctx_new_bare(NULL);
    error = wg__str_make(ctx);
    snprintf(folder, sizeof folder, "%s/safetensors-XXXXXX",
             access("scratch", W_OK) ? "." : "scratch");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void teardown(void)
{
    wg__str_free(&error);
    wg_ctx_free(ctx);
    unlink(path);
    ck_assert_msg(!rmdir(folder), "something was left in %s", folder);
}

/* ---- helpers ---------------------------------------------------------------------------------- */

static void put_file(const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert(fwrite(data, 1, size, f) == size && !fclose(f));
}

static size_t get_file(unsigned char *data, size_t room)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t size = fread(data, 1, room, f);
    ck_assert(size < room && !fclose(f));
    return size;
}

/* A file of this header, as it is, and `size` bytes of data, all 1. */
static void put_header(const char *header, size_t size)
{
    unsigned char bytes[4096] = {0};
    size_t n = strlen(header);
    ck_assert_uint_lt(8 + n + size, sizeof bytes);
    bytes[0] = (unsigned char)n;
    bytes[1] = (unsigned char)(n >> 8);
    memcpy(bytes + 8, header, n);
    memset(bytes + 8 + n, 1, size);
    put_file(bytes, 8 + n + size);
}

static wg_status load(wg__named_list *list)
{
    wg__str_clear(&error);
    wg_status status = wg__safetensors_read(ctx, path, list, &error);
    ck_assert_int_eq(status != WG_OK, error.len > 0);
    ck_assert(!status || (!list->items.data && !list->items.len));
    return status;
}

static const wg_tensor *find(const wg__named_list *list, const char *name)
{
    for (size_t i = 0; i < list->items.len; i++)
        if (!strcmp(list->items.data[i].name, name))
            return list->items.data[i].tensor;
    return NULL;
}

static wg_tensor *random_tensor(wg_ctx *c, rng *r)
{
    wg_shape shape = WG_SCALAR;
    shape.rank = (int32_t)rng_int(r, 0, 4);
    for (int i = 0; i < shape.rank; i++)
        shape.dim[i] = rng_int(r, 0, 9) ? rng_int(r, 1, 6) : 0;
    wg_tensor *t = wg_tensor_new(c, (wg_dtype)rng_int(r, 0, WG_DTYPE_COUNT - 1), shape, NULL);
    if (!t)
        return NULL;
    unsigned char *bytes = wg_tensor_data_mut(t);
    for (size_t i = 0; i < wg_tensor_bytes(t); i++)
        bytes[i] = (unsigned char)(rng_next(r) & (t->type.dtype == WG_BOOL ? 1 : 0xff));
    return t;
}

static bool random_list(wg_ctx *c, rng *r, size_t n, wg__named_list *list)
{
    static const char *const odd[] = {"a/b", "", "\"q\\", "\xc3\xa9 \xe2\x88\x82", "line\nbreak"};
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%zu", odd[i % 5], i / 5);
        wg__named item = {wg__strdup(c, i < 5 ? odd[i] : name), random_tensor(c, r)};
        if (item.name && item.tensor && wg__vec_push(c, &list->items, item))
            continue;
        wg__free(c, item.name);
        wg_tensor_free(item.tensor);
        return false;
    }
    return true;
}

/* ---- what is written is read ------------------------------------------------------------------ */

START_TEST(files_read_back)
{
    rng r = rng_make((uint64_t)_i);
    wg__named_list list = {0}, back = {0};
    ck_assert(random_list(ctx, &r, (size_t)_i * 3, &list));
    for (int again = 0; again < 2; again++)
        ck_assert_msg(!wg__safetensors_write(ctx, path, list.items.data, list.items.len, &error),
                      "%s", wg__str_text(&error));
    unsigned char bytes[20000];
    ck_assert_uint_ge(get_file(bytes, sizeof bytes), 8);
    ck_assert_int_eq(bytes[0] % 8, 0);
    ck_assert_msg(!load(&back), "%s", wg__str_text(&error));
    ck_assert_uint_eq(back.items.len, list.items.len);
    for (size_t i = 0; i < list.items.len; i++) {
        const wg_tensor *a = list.items.data[i].tensor, *b = find(&back, list.items.data[i].name);
        ck_assert_msg(b != NULL, "seed %d: %s", _i, list.items.data[i].name);
        ck_assert(wg__type_equal(&a->type, &b->type));
        ck_assert_mem_eq(a->data, b->data, a->bytes);
    }
    wg__named_free(ctx, &list);
    wg__named_free(ctx, &back);
}
END_TEST

/* As https://github.com/huggingface/safetensors describes it, byte by byte. */
START_TEST(files_are_as_the_format_says)
{
    static const char header[] =
        "{\"x\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"w\":{\"dtype\":\"I32\",\"shape\":[2,1],\"data_offsets\":[8,16]},"
        "\"b\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[16,19]}}";
    static const unsigned char data[] = {0, 0, 0,    0,    0,    0,    0xf8, 0x3f, 4, 3,
                                         2, 1, 0xfe, 0xff, 0xff, 0xff, 1,    0,    1};
    const int32_t w[] = {0x01020304, -2};
    const uint8_t b[] = {1, 0, 1};
    wg__named items[] = {{(char[]){"b"}, wg_tensor_new(ctx, WG_BOOL, WG_SHAPE(3), b)},
                         {(char[]){"x"}, wg_tensor_new(ctx, WG_F64, WG_SCALAR, &(double){1.5})},
                         {(char[]){"w"}, wg_tensor_new(ctx, WG_I32, WG_SHAPE(2, 1), w)}};
    ck_assert(!wg__safetensors_write(ctx, path, items, 3, &error));
    for (int i = 0; i < 3; i++)
        wg_tensor_free(items[i].tensor);
    unsigned char bytes[1024];
    size_t size = get_file(bytes, sizeof bytes), n = (sizeof header - 1 + 7) / 8 * 8;
    ck_assert_uint_eq(size, 8 + n + sizeof data);
    ck_assert_int_eq(bytes[0], (int)n);
    for (int i = 1; i < 8; i++)
        ck_assert_int_eq(bytes[i], 0);
    ck_assert_mem_eq(bytes + 8, header, sizeof header - 1);
    for (size_t i = 8 + sizeof header - 1; i < 8 + n; i++)
        ck_assert_int_eq(bytes[i], ' ');
    ck_assert_mem_eq(bytes + 8 + n, data, sizeof data);
}
END_TEST

START_TEST(other_legal_files_are_read)
{
    wg__named_list list = {0};
    put_header("{}", 0);
    ck_assert_int_eq(load(&list), WG_OK);
    ck_assert_uint_eq(list.items.len, 0);
    put_header(" {\"__metadata__\": {\"format\": \"pt\"}, \"late\": {\"data_offsets\": [4, 8], "
               "\"shape\": [1], \"dtype\": \"I32\"}, \"early\": {\"shape\": [4], "
               "\"dtype\": \"BOOL\", \"data_offsets\": [0, 4]}, \"none\": {\"shape\": [0, 7], "
               "\"dtype\": \"F64\", \"data_offsets\": [4, 4]} }  ",
               8);
    ck_assert_int_eq(load(&list), WG_OK);
    ck_assert_uint_eq(list.items.len, 3);
    ck_assert_str_eq(list.items.data[0].name, "early");
    ck_assert(wg_tensor_get(find(&list, "late"), 0) == 0x01010101);
    ck_assert_uint_eq(wg_tensor_bytes(find(&list, "none")), 0);
    wg__named_free(ctx, &list);
}
END_TEST

/* ---- damaged files ---------------------------------------------------------------------------- */

#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"W\": {\"dtype\": " dtype ", \"shape\": " shape ", \"data_offsets\": " offsets "}}"
#define SECOND(offsets)                                                                            \
    "{\"a\": {\"dtype\": \"BOOL\", \"shape\": [4], \"data_offsets\": [0, 4]},"                     \
    " \"b\": {\"dtype\": \"BOOL\", \"shape\": [4], \"data_offsets\": " offsets "}}"

static const struct {
    const char *header;
    size_t data;
    wg_status status;
    const char *error;
} bad[] = {
    {ENTRY("\"F32\"", "[5, 6]", "[0, 100]"), 100, WG_PARSE,
     "tensor \"W\": data_offsets [0, 100] hold 100 bytes, f32[5, 6] needs 120"},
    {ENTRY("\"F32\"", "[1]", "[0, 8]"), 8, WG_PARSE,
     "tensor \"W\": data_offsets [0, 8] hold 8 bytes, f32[1] needs 4"},
    {ENTRY("\"F32\"", "[5, 6]", "[0, 120]"), 100, WG_PARSE,
     "tensor \"W\": data_offsets [0, 120] do not lie in the 100 bytes of data"},
    {ENTRY("\"F32\"", "[1]", "[4, 0]"), 4, WG_PARSE,
     "tensor \"W\": data_offsets [4, 0] do not lie in the 4 bytes of data"},
    {ENTRY("\"F32\"", "[1]", "[-4, 0]"), 4, WG_PARSE,
     "tensor \"W\": data_offsets [-4, 0] do not lie in the 4 bytes of data"},
    {ENTRY("\"F32\"", "[1]", "[0, 4.0]"), 4, WG_PARSE,
     "tensor \"W\": data_offsets must be two integers"},
    {ENTRY("\"F32\"", "[1]", "[0, 4, 8]"), 8, WG_PARSE,
     "tensor \"W\": data_offsets must be two integers"},
    {ENTRY("\"F32\"", "[1]", "{}"), 8, WG_PARSE, "tensor \"W\": data_offsets must be two integers"},
    {ENTRY("\"F32\"", "[1]", "[0, 4]"), 5, WG_PARSE, "5 bytes of data, the tensors hold 4"},
    {ENTRY("\"F32\"", "[1]", "[1, 5]"), 5, WG_PARSE,
     "tensor \"W\": data begins at 1, that before it ends at 0"},
    {SECOND("[2, 6]"), 6, WG_PARSE, "tensor \"b\": data begins at 2, that before it ends at 4"},
    {SECOND("[5, 9]"), 9, WG_PARSE, "tensor \"b\": data begins at 5, that before it ends at 4"},
    {SECOND("[4, 8]"), 9, WG_PARSE, "9 bytes of data, the tensors hold 8"},
    {ENTRY("\"F32\"", "[-1]", "[0, 0]"), 0, WG_PARSE,
     "tensor \"W\": sizes must be integers from 0"},
    {ENTRY("\"F32\"", "[1.0]", "[0, 4]"), 4, WG_PARSE,
     "tensor \"W\": sizes must be integers from 0"},
    {ENTRY("\"F32\"", "1", "[0, 4]"), 4, WG_PARSE, "tensor \"W\": shape must be a list"},
    {ENTRY("\"F32\"", "[1, 1, 1, 1, 1, 1, 1, 1, 1]", "[0, 4]"), 4, WG_UNSUPPORTED,
     "tensor \"W\": rank 9 exceeds 8"},
    {ENTRY("\"F32\"", "[4294967296, 4294967296]", "[0, 0]"), 0, WG_PARSE,
     "tensor \"W\": f32[4294967296, 4294967296] is too large"},
    {ENTRY("\"F32\"", "[4611686018427387904]", "[0, 0]"), 0, WG_PARSE,
     "tensor \"W\": f32[4611686018427387904] is too large"},
    {ENTRY("\"F32\"", "[0, 9223372036854775807, 2]", "[0, 0]"), 0, WG_PARSE,
     "tensor \"W\": f32[0, 9223372036854775807, 2] is too large"},
    {ENTRY("\"BF16\"", "[1]", "[0, 2]"), 2, WG_UNSUPPORTED,
     "tensor \"W\": dtype BF16 is not among BOOL, I32, I64, F32, F64"},
    {ENTRY("7", "[1]", "[0, 4]"), 4, WG_PARSE, "tensor \"W\": dtype must be a string"},
    {"{\"W\": [1]}", 0, WG_PARSE,
     "tensor \"W\": must be an object with dtype, shape and data_offsets"},
    {"{\"W\": {}}", 0, WG_PARSE, "tensor \"W\": dtype must be a string"},
    {"[]", 0, WG_PARSE, "the header must be an object"},
    {"{\"__metadata__\": {\"a\": 1}}", 0, WG_PARSE, "__metadata__ must map names to strings"},
    {"{\"__metadata__\": 3}", 0, WG_PARSE, "__metadata__ must map names to strings"},
    {"{\"a\": 1, \"a\": 2}", 0, WG_PARSE, NULL},
    {"{\"W\": ", 0, WG_PARSE, NULL},
    {"{} {}", 0, WG_PARSE, NULL},
    {"", 0, WG_PARSE, NULL},
    {"{\"\\u0000\": 1}", 0, WG_PARSE, NULL},
    {"{\"\xff\": 1}", 0, WG_PARSE, NULL},
    {ENTRY("\"F32\"", "[99999999999999999999]", "[0, 0]"), 0, WG_PARSE, NULL},
};

START_TEST(wrong_headers_are_explained)
{
    wg__named_list list = {0};
    char expected[600];
    put_header(bad[_i].header, bad[_i].data);
    ck_assert_int_eq(load(&list), bad[_i].status);
    snprintf(expected, sizeof expected, "%s: %s", path,
             bad[_i].error ? bad[_i].error : "header, byte ");
    if (bad[_i].error)
        ck_assert_str_eq(error.data, expected);
    else
        ck_assert_msg(!strncmp(error.data, expected, strlen(expected)), "%s", error.data);
}
END_TEST

static size_t small_file(unsigned char *bytes, size_t room)
{
    rng r = rng_make(1);
    wg__named_list list = {0};
    ck_assert(random_list(ctx, &r, 4, &list));
    ck_assert(!wg__safetensors_write(ctx, path, list.items.data, list.items.len, &error));
    wg__named_free(ctx, &list);
    return get_file(bytes, room);
}

START_TEST(any_wrong_byte_is_survived)
{
    static const unsigned char flips[] = {0x01, 0x02, 0x10, 0x20, 0x80, 0xff};
    unsigned char bytes[8192] = {0};
    size_t size = small_file(bytes, sizeof bytes);
    for (size_t i = 0; i < size; i++)
        for (size_t k = 0; k < sizeof flips; k++) {
            wg__named_list list = {0};
            bytes[i] ^= flips[k];
            put_file(bytes, size);
            load(&list);
            wg__named_free(ctx, &list);
            bytes[i] ^= flips[k];
        }
}
END_TEST

START_TEST(any_other_length_is_noticed)
{
    unsigned char bytes[8192] = {0};
    wg__named_list list = {0};
    size_t size = small_file(bytes, sizeof bytes - 1);
    for (size_t n = 0; n <= size + 1; n++) {
        put_file(bytes, n);
        ck_assert_int_eq(load(&list) == WG_OK, n == size);
        wg__named_free(ctx, &list);
    }
}
END_TEST

START_TEST(header_lengths_are_checked)
{
    static const unsigned char lengths[][9] = {"\x03\0\0\0\0\0\0\0", "\x02\x01\0\0\0\0\0\0",
                                               "\2\0\0\0\0\0\0\x80",
                                               "\xff\xff\xff\xff\xff\xff\xff\xff"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        wg__named_list list = {0};
        char bytes[10] = "........{}";
        memcpy(bytes, lengths[i], 8);
        put_file(bytes, sizeof bytes);
        ck_assert_int_eq(load(&list), WG_PARSE);
        ck_assert_ptr_nonnull(strstr(error.data, " bytes in a file of 10"));
    }
}
END_TEST

START_TEST(bool_bytes_are_checked)
{
    wg__named_list list = {0};
    static const char header[] = ENTRY("\"BOOL\"", "[2]", "[0, 2]");
    char bytes[200] = {(char)(sizeof header - 1)};
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + 8 + sizeof header - 1, "\1\2", 2);
    put_file(bytes, 8 + sizeof header - 1 + 2);
    ck_assert_int_eq(load(&list), WG_PARSE);
    ck_assert_ptr_nonnull(strstr(error.data, "tensor \"W\": byte 2, a BOOL is 0 or 1"));
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    wg__named_list list = {0};
    ck_assert_int_eq(load(&list), WG_IO); /* not there */
    ck_assert_int_eq(wg__safetensors_read(ctx, folder, &list, &error), WG_IO);
    ck_assert_int_eq(wg__safetensors_write(ctx, folder, NULL, 0, &error), WG_IO);
    ck_assert_int_eq(wg__safetensors_write(ctx, "/dev/full", NULL, 0, &error), WG_IO);
    snprintf(path, sizeof path, "%s/none/file", folder);
    ck_assert_int_eq(wg__safetensors_write(ctx, path, NULL, 0, &error), WG_IO);
}
END_TEST

/* ---- failing writes --------------------------------------------------------------------------- */

static int count_files(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

START_TEST(wrong_names_are_refused)
{
    wg_tensor *t = wg_tensor_new(ctx, WG_F32, WG_SCALAR, NULL);
    wg__named twice[] = {{(char[]){"a"}, t}, {(char[]){"a"}, t}};
    wg__named meta[] = {{(char[]){"__metadata__"}, t}}, latin[] = {{(char[]){"\xe9"}, t}};
    put_file("old", 3);
    ck_assert_int_eq(wg__safetensors_write(ctx, path, twice, 2, &error), WG_EXISTS);
    ck_assert_int_eq(wg__safetensors_write(ctx, path, meta, 1, &error), WG_EXISTS);
    ck_assert_int_eq(wg__safetensors_write(ctx, path, latin, 1, &error), WG_INVALID);
    unsigned char bytes[16];
    ck_assert_uint_eq(get_file(bytes, sizeof bytes), 3);
    ck_assert_int_eq(count_files(), 1);
    wg_tensor_free(t);
}
END_TEST

/* The disk is full in the middle of the file: the old file stays, nothing else does. */
START_TEST(a_full_disk_changes_nothing)
{
    unsigned char bytes[16];
    wg_tensor *t = wg_tensor_new(ctx, WG_F64, WG_SHAPE(100000), NULL);
    wg__named item = {(char[]){"t"}, t};
    put_file("old", 3);
    ck_assert(!chmod(path, 0640));
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit, saved;
    ck_assert(!getrlimit(RLIMIT_FSIZE, &saved));
    limit = saved;
    limit.rlim_cur = 100 * 1000;
    ck_assert(!setrlimit(RLIMIT_FSIZE, &limit));
    ck_assert_int_eq(wg__safetensors_write(ctx, path, &item, 1, &error), WG_IO);
    ck_assert(!setrlimit(RLIMIT_FSIZE, &saved));
    ck_assert_ptr_nonnull(strstr(error.data, "cannot write"));
    ck_assert_uint_eq(get_file(bytes, sizeof bytes), 3);
    ck_assert_mem_eq(bytes, "old", 3);
    ck_assert_int_eq(count_files(), 1);
    ck_assert(!wg__safetensors_write(ctx, path, &item, 1, &error));
    struct stat info;
    ck_assert(!stat(path, &info) && (info.st_mode & 0777) == 0640);
    ck_assert_int_eq(count_files(), 1);
    wg_tensor_free(t);
}
END_TEST

static bool scenario(wg_ctx *c, void *user)
{
    (void)user;
    wg__named_list list = {0}, back = {0};
    rng r = rng_make(2);
    wg__str message = wg__str_make(c);
    bool ok = random_list(c, &r, 12, &list);
    ok = ok && !wg__safetensors_write(c, path, list.items.data, list.items.len, &message) &&
         !wg__safetensors_read(c, path, &back, &message) && back.items.len == 12;
    wg__named_free(c, &list);
    wg__named_free(c, &back);
    wg__str_free(&message);
    return ok;
}

START_TEST(each_allocation_may_fail)
{
    ck_assert_int_eq(fault_each(wg__ctx_new_bare, scenario, NULL), 0);
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *t = tcase_create("safetensors");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, files_read_back, 0, 10);
    tcase_add_test(t, files_are_as_the_format_says);
    tcase_add_test(t, other_legal_files_are_read);
    tcase_add_loop_test(t, wrong_headers_are_explained, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(t, any_wrong_byte_is_survived);
    tcase_add_test(t, any_other_length_is_noticed);
    tcase_add_test(t, header_lengths_are_checked);
    tcase_add_test(t, bool_bytes_are_checked);
    tcase_add_test(t, what_is_no_file_is_refused);
    tcase_add_test(t, wrong_names_are_refused);
    tcase_add_test(t, a_full_disk_changes_nothing);
    tcase_add_test(t, each_allocation_may_fail);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
