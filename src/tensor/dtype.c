/* Dtypes: sizes, names, and element access through doubles. */
#include <math.h>

#include "tensor/tensor.h"

typedef struct dtype_row {
    const char *name;
    size_t size;
    double (*load)(const void *data, int64_t index);
    void (*store)(void *data, int64_t index, double value);
} dtype_row;

/* Truncates towards zero and saturates; NaN gives 0. `limit` is -low as a double, a power of two. */
static int64_t saturate(double value, int64_t low, int64_t high, double limit)
{
    if (isnan(value))
        return 0;
    if (value >= limit)
        return high;
    return value < -limit ? low : (int64_t)value;
}

/* What a dtype's element is as a number, and the other way round. */
#define FROM_BOOL(x) ((x) != 0)
#define FROM_I32(x) (x)
#define FROM_I64(x) (x)
#define FROM_F32(x) (x)
#define FROM_F64(x) (x)
#define TO_BOOL(x) ((x) != 0)
#define TO_I32(x) saturate(x, INT32_MIN, INT32_MAX, 0x1p31)
#define TO_I64(x) saturate(x, INT64_MIN, INT64_MAX, 0x1p63)
#define TO_F32(x) (x)
#define TO_F64(x) (x)

#define ACCESS(code, name, ctype, letter)                                                          \
    static double load_##code(const void *data, int64_t index)                                     \
    {                                                                                              \
        return (double)FROM_##code(((const ctype *)data)[index]);                                  \
    }                                                                                              \
    static void store_##code(void *data, int64_t index, double value)                              \
    {                                                                                              \
        ((ctype *)data)[index] = (ctype)TO_##code(value);                                          \
    }
WG_DTYPE_LIST(ACCESS)
#undef ACCESS

static const dtype_row rows[] = {
#define ROW(code, name, ctype, letter) {name, sizeof(ctype), load_##code, store_##code},
    WG_DTYPE_LIST(ROW)
#undef ROW
};

static const dtype_row *row(wg_dtype dtype)
{
    return (unsigned)dtype < WG_DTYPE_COUNT ? &rows[dtype] : NULL;
}

size_t wg_dtype_size(wg_dtype dtype) { return row(dtype) ? row(dtype)->size : 0; }

const char *wg_dtype_name(wg_dtype dtype) { return row(dtype) ? row(dtype)->name : "?"; }

bool wg_dtype_is_float(wg_dtype dtype) { return dtype == WG_F32 || dtype == WG_F64; }

double wg__load(wg_dtype dtype, const void *data, int64_t index)
{
    return rows[dtype].load(data, index);
}

void wg__store(wg_dtype dtype, void *data, int64_t index, double value)
{
    rows[dtype].store(data, index, value);
}
