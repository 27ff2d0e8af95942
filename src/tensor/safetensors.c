/* Reading safetensors files, and what reading and writing share. The header is parsed by jansson,
 * which uses malloc; everything else is the context's memory. Every number in a file is checked
 * before it is used. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "tensor/safetensors_job.h"

const char *const wg__st_types[WG_DTYPE_COUNT] = {
    [WG_BOOL] = "BOOL", [WG_I32] = "I32", [WG_I64] = "I64", [WG_F32] = "F32", [WG_F64] = "F64"};

wg_status wg__st_fail(wg__st_job *j, wg_status status, const char *format, ...)
{
    va_list args;
    wg__str_addf(j->error, "%s: ", j->path);
    va_start(args, format);
    wg__str_addv(j->error, format, args);
    va_end(args);
    return j->error->failed ? WG_NO_MEMORY : status;
}

wg_status wg__st_fail_memory(wg__st_job *j)
{
    return wg__st_fail(j, WG_NO_MEMORY, "out of memory");
}

wg_status wg__st_fail_io(wg__st_job *j, const char *what)
{
    return wg__st_fail(j, WG_IO, "%s: %s", what, strerror(errno));
}

void wg__st_swap(char *data, size_t bytes, size_t elem)
{
    const uint16_t one = 1;
    if (elem == 1 || *(const char *)&one)
        return;
    for (char *end = data + bytes; data < end; data += elem)
        for (size_t i = 0; i < elem / 2; i++) {
            char c = data[i];
            data[i] = data[elem - 1 - i];
            data[elem - 1 - i] = c;
        }
}

void wg__named_free(wg_ctx *ctx, wg__named_list *list)
{
    for (size_t i = 0; i < list->items.len; i++) {
        wg__free(ctx, list->items.data[i].name);
        wg_tensor_free(list->items.data[i].tensor);
    }
    wg__vec_free(ctx, &list->items);
}

/* ---- reading ---------------------------------------------------------------------------------- */

typedef struct entry {
    const char *name; /* the header's */
    wg_type type;
    int64_t begin, end; /* of the data */
} entry;
typedef WG__VEC(entry) entry_list;

static wg_status fail_entry(wg__st_job *j, const char *name, const char *what)
{
    return wg__st_fail(j, WG_PARSE, "tensor \"%s\": %s", name, what);
}

static wg_status read_dtype(wg__st_job *j, const char *name, const json_t *dtype, wg_dtype *out)
{
    const char *text = json_string_value(dtype);
    if (!text)
        return fail_entry(j, name, "dtype must be a string");
    for (int i = 0; i < WG_DTYPE_COUNT; i++)
        if (!strcmp(text, wg__st_types[i])) {
            *out = (wg_dtype)i;
            return WG_OK;
        }
    return wg__st_fail(j, WG_UNSUPPORTED,
                       "tensor \"%s\": dtype %s is not among BOOL, I32, I64, F32, F64", name, text);
}

static wg_status read_shape(wg__st_job *j, const char *name, const json_t *shape, wg_shape *out)
{
    wg_shape s = WG_SCALAR;
    if (!json_is_array(shape))
        return fail_entry(j, name, "shape must be a list");
    if (json_array_size(shape) > WG_MAX_RANK)
        return wg__st_fail(j, WG_UNSUPPORTED, "tensor \"%s\": rank %zu exceeds %d", name,
                           json_array_size(shape), WG_MAX_RANK);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return fail_entry(j, name, "sizes must be integers from 0");
        s.dim[s.rank++] = json_integer_value(size);
    }
    *out = s;
    return WG_OK;
}

static wg_status read_offsets(wg__st_job *j, const json_t *offsets, int64_t size, entry *e)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return fail_entry(j, e->name, "data_offsets must be two integers");
    e->begin = json_integer_value(begin);
    e->end = json_integer_value(end);
    if (e->begin < 0 || e->end < e->begin || e->end > size)
        return wg__st_fail(j, WG_PARSE,
                           "tensor \"%s\": data_offsets [%" PRId64 ", %" PRId64
                           "] do not lie in the %" PRId64 " bytes of data",
                           e->name, e->begin, e->end, size);
    return WG_OK;
}

static wg_status check_bytes(wg__st_job *j, const entry *e)
{
    size_t bytes, held = (size_t)(e->end - e->begin);
    bool ok = wg__shape_ok(&e->type.shape, e->type.dtype, NULL, &bytes);
    if (ok && bytes == held)
        return WG_OK;
    wg__str type = wg__str_make(j->ctx);
    wg__add_type(&type, j->ctx, &e->type);
    wg_status status = ok ? wg__st_fail(j, WG_PARSE,
                                        "tensor \"%s\": data_offsets [%" PRId64 ", %" PRId64
                                        "] hold %zu bytes, %s needs %zu",
                                        e->name, e->begin, e->end, held, wg__str_text(&type), bytes)
                          : wg__st_fail(j, WG_PARSE, "tensor \"%s\": %s is too large", e->name,
                                        wg__str_text(&type));
    wg__str_free(&type);
    return status;
}

static wg_status read_entry(wg__st_job *j, const char *name, const json_t *value, int64_t size,
                            entry *e)
{
    *e = (entry){.name = name};
    wg_status status = WG_OK;
    if (!json_is_object(value))
        return fail_entry(j, name, "must be an object with dtype, shape and data_offsets");
    status = read_dtype(j, name, json_object_get(value, "dtype"), &e->type.dtype);
    if (!status)
        status = read_shape(j, name, json_object_get(value, "shape"), &e->type.shape);
    if (!status)
        status = read_offsets(j, json_object_get(value, "data_offsets"), size, e);
    return status ? status : check_bytes(j, e);
}

/* The format's map of strings; its contents are not used. */
static wg_status check_metadata(wg__st_job *j, json_t *value)
{
    const char *key;
    json_t *text;
    bool ok = json_is_object(value);
    json_object_foreach(value, key, text) ok &= json_is_string(text);
    return ok ? WG_OK : wg__st_fail(j, WG_PARSE, "%s must map names to strings", WG__ST_METADATA);
}

static int by_data(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Every byte of data must belong to one tensor. */
static wg_status check_cover(wg__st_job *j, entry_list *list, int64_t size)
{
    int64_t at = 0;
    if (list->len)
        qsort(list->data, list->len, sizeof *list->data, by_data);
    for (size_t i = 0; i < list->len; i++) {
        const entry *e = &list->data[i];
        if (e->begin != at)
            return wg__st_fail(j, WG_PARSE,
                               "tensor \"%s\": data begins at %" PRId64
                               ", that before it ends at %" PRId64,
                               e->name, e->begin, at);
        at = e->end;
    }
    if (at != size)
        return wg__st_fail(j, WG_PARSE, "%" PRId64 " bytes of data, the tensors hold %" PRId64,
                           size, at);
    return WG_OK;
}

static wg_status read_entries(wg__st_job *j, json_t *root, int64_t size, entry_list *list)
{
    const char *name;
    json_t *value;
    if (!json_is_object(root))
        return wg__st_fail(j, WG_PARSE, "the header must be an object");
    json_object_foreach(root, name, value)
    {
        entry e = {0};
        bool metadata = !strcmp(name, WG__ST_METADATA);
        wg_status status =
            metadata ? check_metadata(j, value) : read_entry(j, name, value, size, &e);
        if (!status && !metadata && !wg__vec_push(j->ctx, list, e))
            status = wg__st_fail_memory(j);
        if (status)
            return status;
    }
    return check_cover(j, list, size);
}

static wg_status fail_read(wg__st_job *j)
{
    return ferror(j->file) ? wg__st_fail_io(j, "cannot read")
                           : wg__st_fail(j, WG_IO, "ends too early");
}

static wg_status read_data(wg__st_job *j, wg_tensor *t, const char *name)
{
    if (fread(t->data, 1, t->bytes, j->file) != t->bytes)
        return fail_read(j);
    wg__st_swap(t->data, t->bytes, wg_dtype_size(t->type.dtype));
    const uint8_t *byte = t->data;
    for (size_t i = 0; t->type.dtype == WG_BOOL && i < t->bytes; i++)
        if (byte[i] > 1)
            return wg__st_fail(j, WG_PARSE, "tensor \"%s\": byte %d, a BOOL is 0 or 1", name,
                               byte[i]);
    return WG_OK;
}

static wg_status read_tensors(wg__st_job *j, const entry_list *entries, wg__named_list *list)
{
    for (size_t i = 0; i < entries->len; i++) {
        const entry *e = &entries->data[i];
        wg__named item = {wg__strdup(j->ctx, e->name),
                          wg_tensor_new(j->ctx, e->type.dtype, e->type.shape, NULL)};
        if (!item.name || !item.tensor || !wg__vec_push(j->ctx, &list->items, item)) {
            wg__free(j->ctx, item.name);
            wg_tensor_free(item.tensor);
            return wg__st_fail_memory(j);
        }
        wg_status status = read_data(j, item.tensor, e->name);
        if (status)
            return status;
    }
    return WG_OK;
}

/* The header's JSON; *size becomes the number of bytes behind it. */
static wg_status read_header(wg__st_job *j, int64_t *size, json_t **root)
{
    unsigned char bytes[8];
    uint64_t length = 0, rest = (uint64_t)*size - 8;
    if (*size < 8)
        return wg__st_fail(j, WG_PARSE, "%" PRId64 " bytes are too few for a safetensors file",
                           *size);
    if (fread(bytes, 1, 8, j->file) != 8)
        return fail_read(j);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > rest || length > WG__ST_HEADER_LIMIT)
        return wg__st_fail(j, WG_PARSE, "header of %" PRIu64 " bytes in a file of %" PRId64, length,
                           *size);
    char *text = wg__alloc(j->ctx, length);
    if (!text)
        return wg__st_fail_memory(j);
    json_error_t why;
    wg_status status = WG_OK;
    if (fread(text, 1, length, j->file) != length)
        status = fail_read(j);
    else if (!(*root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why)))
        status = wg__st_fail(j, WG_PARSE, "header, byte %d: %s", why.position, why.text);
    wg__free(j->ctx, text);
    *size = (int64_t)(rest - length);
    return status;
}

static wg_status open_file(wg__st_job *j, int64_t *size)
{
    struct stat info;
    if (!(j->file = fopen(j->path, "rbe")))
        return wg__st_fail_io(j, "cannot open");
    if (fstat(fileno(j->file), &info))
        return wg__st_fail_io(j, "cannot read");
    if (!S_ISREG(info.st_mode))
        return wg__st_fail(j, WG_IO, "is not a regular file");
    *size = info.st_size;
    return WG_OK;
}

wg_status wg__safetensors_read(wg_ctx *ctx, const char *path, wg__named_list *list, wg__str *error)
{
    wg__st_job j = {ctx, path, NULL, error};
    entry_list entries = {0};
    json_t *root = NULL;
    int64_t size = 0;
    wg_status status = open_file(&j, &size);
    if (!status)
        status = read_header(&j, &size, &root);
    if (!status)
        status = read_entries(&j, root, size, &entries);
    if (!status)
        status = read_tensors(&j, &entries, list);
    if (status)
        wg__named_free(ctx, list);
    json_decref(root);
    wg__vec_free(ctx, &entries);
    if (j.file)
        fclose(j.file);
    return status;
}
