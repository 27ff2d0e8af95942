/* Writing safetensors files: a new file beside the old one, then a rename. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "tensor/safetensors_job.h"

enum { CHUNK = 4096 }; /* a multiple of every element's size */

/* Wide elements come first, so that all data is aligned; otherwise the order is that given. */
static wg_status data_order(wg__st_job *j, const wg__named *items, size_t n, const wg__named ***out)
{
    size_t bytes, at = 0;
    const wg__named **order =
        wg__mul_size(n, sizeof *order, &bytes) ? wg__alloc(j->ctx, bytes) : NULL;
    if (!order)
        return wg__st_fail_memory(j);
    for (size_t elem = 8; elem; elem /= 2)
        for (size_t i = 0; i < n; i++)
            if (wg_dtype_size(items[i].tensor->type.dtype) == elem)
                order[at++] = &items[i];
    *out = order;
    return WG_OK;
}

/* {"dtype": "F32", "shape": [64, 784], "data_offsets": [0, 200704]} or NULL. */
static json_t *make_entry(const wg_tensor *t, size_t begin)
{
    const wg_shape *s = &t->type.shape;
    json_t *shape = json_array();
    for (int i = 0; i < s->rank; i++)
        if (json_array_append_new(shape, json_integer(s->dim[i]))) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", wg__st_types[t->type.dtype], "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + t->bytes));
}

/* Bytes that are no ASCII show as \xff: the message is to be readable anywhere. */
static wg_status fail_name(wg__st_job *j, const char *name)
{
    wg__str shown = wg__str_make(j->ctx);
    for (const char *at = name; *at; at++)
        wg__str_addf(&shown, *at > 0x1f && *at < 0x7f ? "%c" : "\\x%02x", (unsigned char)*at);
    wg_status status = wg__st_fail(
        j, WG_INVALID, "the name \"%s\" is not UTF-8, as names in safetensors files must be",
        wg__str_text(&shown));
    if (shown.failed)
        status = WG_NO_MEMORY;
    wg__str_free(&shown);
    return status;
}

static wg_status add_entries(wg__st_job *j, json_t *root, const wg__named **order, size_t n)
{
    size_t begin = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = order[i]->name;
        if (!strcmp(name, WG__ST_METADATA) || json_object_get(root, name))
            return wg__st_fail(j, WG_EXISTS, "the name \"%s\" is taken", name);
        json_t *key = json_string(name);
        json_decref(key);
        if (!key)
            return fail_name(j, name);
        if (json_object_set_new(root, name, make_entry(order[i]->tensor, begin)))
            return wg__st_fail_memory(j);
        begin += order[i]->tensor->bytes;
    }
    return WG_OK;
}

static int add_json(const char *text, size_t size, void *header)
{
    wg__str_addn(header, text, size);
    return 0;
}

static wg_status make_header(wg__st_job *j, const wg__named **order, size_t n, wg__str *header)
{
    json_t *root = json_object();
    wg_status status = root ? add_entries(j, root, order, n) : wg__st_fail_memory(j);
    if (!status && json_dump_callback(root, add_json, header, JSON_COMPACT))
        status = wg__st_fail_memory(j);
    json_decref(root);
    while (!status && header->len % 8 && !header->failed)
        wg__str_add(header, " ");
    if (!status && header->failed)
        status = wg__st_fail_memory(j);
    if (!status && header->len > WG__ST_HEADER_LIMIT)
        status =
            wg__st_fail(j, WG_UNSUPPORTED, "%zu bytes of header exceed the format's limit of %d",
                        header->len, WG__ST_HEADER_LIMIT);
    return status;
}

static bool put(wg__st_job *j, const char *data, size_t bytes, size_t elem)
{
    char chunk[CHUNK];
    for (size_t n; bytes; data += n, bytes -= n) {
        n = bytes < sizeof chunk ? bytes : sizeof chunk;
        memcpy(chunk, data, n);
        wg__st_swap(chunk, n, elem);
        if (fwrite(chunk, 1, n, j->file) != n)
            return false;
    }
    return true;
}

static bool put_all(wg__st_job *j, const wg__str *header, const wg__named **order, size_t n)
{
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)header->len >> 8 * i);
    if (fwrite(length, 1, 8, j->file) != 8 || !put(j, header->data, header->len, 1))
        return false;
    for (size_t i = 0; i < n; i++) {
        const wg_tensor *t = order[i]->tensor;
        if (!put(j, t->data, t->bytes, wg_dtype_size(t->type.dtype)))
            return false;
    }
    return true;
}

/* Opens a new file beside the path, with the permissions of the one that it will replace. */
static wg_status open_temporary(wg__st_job *j, wg__str *temporary)
{
    struct stat old;
    bool exists = !stat(j->path, &old);
    int fd = -1;
    if (exists && !S_ISREG(old.st_mode))
        return wg__st_fail(j, WG_IO, "is not a regular file");
    for (int i = 0; fd < 0 && i < 100; i++) {
        wg__str_clear(temporary);
        wg__str_addf(temporary, "%s.tmp-%ld-%d", j->path, (long)getpid(), i);
        if (temporary->failed)
            return wg__st_fail_memory(j);
        fd = open(temporary->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return wg__st_fail_io(j, "cannot create");
    if ((!exists || !fchmod(fd, old.st_mode & 0777)) && (j->file = fdopen(fd, "wb")))
        return WG_OK;
    wg_status status = wg__st_fail_io(j, "cannot create");
    close(fd);
    unlink(temporary->data);
    return status;
}

/* Makes the rename durable. The file is whole without it, so that failing is not reported. */
static void sync_folder(wg__st_job *j)
{
    const char *slash = strrchr(j->path, '/');
    wg__str folder = wg__str_make(j->ctx);
    if (slash)
        wg__str_addn(&folder, j->path, (size_t)(slash + 1 - j->path));
    else
        wg__str_add(&folder, ".");
    int fd = folder.failed ? -1 : open(folder.data, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    wg__str_free(&folder);
}

static wg_status write_file(wg__st_job *j, const wg__str *header, const wg__named **order, size_t n,
                            wg__str *temporary)
{
    wg_status status = open_temporary(j, temporary);
    if (status)
        return status;
    if (!put_all(j, header, order, n) || fflush(j->file) || fsync(fileno(j->file)))
        status = wg__st_fail_io(j, "cannot write");
    if (fclose(j->file) && !status)
        status = wg__st_fail_io(j, "cannot write");
    if (!status && rename(temporary->data, j->path))
        status = wg__st_fail_io(j, "cannot rename the new file");
    if (status)
        unlink(temporary->data);
    else
        sync_folder(j);
    return status;
}

wg_status wg__safetensors_write(wg_ctx *ctx, const char *path, const wg__named *items, size_t n,
                                wg__str *error)
{
    wg__st_job j = {ctx, path, NULL, error};
    wg__str header = wg__str_make(ctx), temporary = wg__str_make(ctx);
    const wg__named **order = NULL;
    wg_status status = data_order(&j, items, n, &order);
    if (!status)
        status = make_header(&j, order, n, &header);
    if (!status)
        status = write_file(&j, &header, order, n, &temporary);
    wg__free(ctx, order);
    wg__str_free(&header);
    wg__str_free(&temporary);
    return status;
}
