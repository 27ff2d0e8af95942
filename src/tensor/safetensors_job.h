/* What reading and writing safetensors files share: for safetensors*.c only. */
#ifndef WG_TENSOR_SAFETENSORS_JOB_H
#define WG_TENSOR_SAFETENSORS_JOB_H

#include <stdio.h>

#include "tensor/safetensors.h"

#define WG__ST_METADATA "__metadata__"            /* the key that is not a tensor */
enum { WG__ST_HEADER_LIMIT = 100 * 1000 * 1000 }; /* the format's own */

extern const char *const wg__st_types[WG_DTYPE_COUNT]; /* the format's names of dtypes */

/* One file being read or written. */
typedef struct wg__st_job {
    wg_ctx *ctx;
    const char *path;
    FILE *file;
    wg__str *error;
} wg__st_job;

/* Append "path: what" to the job's error and return the status. */
wg_status wg__st_fail(wg__st_job *j, wg_status status, const char *format, ...) WG_PRINTF(3, 4);
wg_status wg__st_fail_memory(wg__st_job *j);
wg_status wg__st_fail_io(wg__st_job *j, const char *what); /* with errno's text */

/* Reverses the bytes of each element where the host is not little-endian. */
void wg__st_swap(char *data, size_t bytes, size_t elem);

#endif
