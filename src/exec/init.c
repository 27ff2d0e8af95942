/* Initialisers of parameters: a table of rows, each a distribution whose two numbers may follow
 * from the shape. Element i of parameter `name` is a pure function of (seed, name, i): order of
 * initialisation, other parameters and threads do not matter. */
#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "exec/exec.h"
#include "tape/init_kinds.h"

/* ---- draws ------------------------------------------------------------------------------------ */

typedef struct stream {
    uint32_t key[2];
    uint32_t name[2]; /* hash of the name: upper half of the counter */
} stream;

static stream stream_of(uint64_t seed, const char *name)
{
    uint64_t h = wg__hash(name, strlen(name), 0);
    stream s = {{(uint32_t)seed, (uint32_t)(seed >> 32)}, {(uint32_t)h, (uint32_t)(h >> 32)}};
    return s;
}

/* Two uniforms on [0, 1) with 53 bits for element i. */
static void uniforms(const stream *s, uint64_t i, double u[2])
{
    uint32_t ctr[4] = {(uint32_t)i, (uint32_t)(i >> 32), s->name[0], s->name[1]};
    uint32_t x[4];
    wg__philox4x32_10(ctr, s->key, x);
    for (int k = 0; k < 2; k++)
        u[k] = (double)(((uint64_t)x[2 * k] << 32 | x[2 * k + 1]) >> 11) * 0x1p-53;
}

typedef double (*draw_fn)(const stream *s, uint64_t i, double p, double q);

static double draw_constant(const stream *s, uint64_t i, double p, double q)
{
    (void)s, (void)i, (void)q;
    return p;
}

static double draw_uniform(const stream *s, uint64_t i, double low, double high)
{
    double u[2];
    uniforms(s, i, u);
    return low + u[0] * (high - low);
}

/* Box and Muller 1958; 1 - u lies in (0, 1]. */
static double draw_normal(const stream *s, uint64_t i, double mean, double std)
{
    double u[2];
    uniforms(s, i, u);
    return mean + std * (sqrt(-2 * log(1 - u[0])) * cos(6.283185307179586477 * u[1]));
}

/* ---- the table ---------------------------------------------------------------------------------- */

/* Shape [..., fan_in, fan_out], leading axes count as receptive field; a vector [n] maps n inputs
 * to one output. */
typedef struct fans {
    double in, out;
} fans;

static fans fans_of(const wg_shape *s)
{
    fans f = {1, 1};
    double field = 1;
    for (int i = 0; i + 2 < s->rank; i++)
        field *= (double)s->dim[i];
    if (s->rank == 1)
        f.in = (double)s->dim[0];
    if (s->rank >= 2) {
        f.in = field * (double)s->dim[s->rank - 2];
        f.out = field * (double)s->dim[s->rank - 1];
    }
    return f;
}

/* Sets the numbers of the distribution from those of wg_init and from the shape. */
typedef void (*numbers_fn)(const wg_shape *s, double *p, double *q);

static void zero(const wg_shape *s, double *p, double *q)
{
    (void)s;
    *p = *q = 0;
}

static void one(const wg_shape *s, double *p, double *q)
{
    (void)s;
    *p = *q = 1;
}

static void plus_minus(double r, double *p, double *q)
{
    *p = -r;
    *q = r;
}

static void xavier(const wg_shape *s, double *p, double *q)
{
    fans f = fans_of(s);
    plus_minus(sqrt(6 / (f.in + f.out)), p, q);
}

static void xavier_normal(const wg_shape *s, double *p, double *q)
{
    fans f = fans_of(s);
    *p = 0;
    *q = sqrt(2 / (f.in + f.out));
}

static void he(const wg_shape *s, double *p, double *q)
{
    plus_minus(sqrt(6 / fans_of(s).in), p, q);
}

static void he_normal(const wg_shape *s, double *p, double *q)
{
    *p = 0;
    *q = sqrt(2 / fans_of(s).in);
}

/* What the two numbers of wg_init must be; NULL: fine. */
typedef const char *(*check_fn)(double a, double b);

static const char *check_constant(double a, double b)
{
    (void)b;
    return isnan(a) ? "the value is NaN" : NULL;
}

static const char *check_uniform(double a, double b)
{
    return isfinite(a) && isfinite(b) && a <= b ? NULL : "low and high must be finite, low <= high";
}

static const char *check_normal(double a, double b)
{
    return isfinite(a) && isfinite(b) && b >= 0 ? NULL : "mean and std must be finite, std >= 0";
}

typedef struct row {
    draw_fn draw;
    numbers_fn numbers; /* NULL: a and b as given */
    check_fn check;     /* NULL: takes no numbers */
} row;

static const row rows[WG__INIT_COUNT] = {
    [WG__INIT_ZEROS] = {draw_constant, zero, NULL},
    [WG__INIT_ONES] = {draw_constant, one, NULL},
    [WG__INIT_CONSTANT] = {draw_constant, NULL, check_constant},
    [WG__INIT_UNIFORM] = {draw_uniform, NULL, check_uniform},
    [WG__INIT_NORMAL] = {draw_normal, NULL, check_normal},
    [WG__INIT_XAVIER] = {draw_uniform, xavier, NULL},
    [WG__INIT_XAVIER_NORMAL] = {draw_normal, xavier_normal, NULL},
    [WG__INIT_HE] = {draw_uniform, he, NULL},
    [WG__INIT_HE_NORMAL] = {draw_normal, he_normal, NULL},
};

static const row *find_row(const char *kind, wg__str *why)
{
    wg__init_id id = wg__init_find(kind ? kind : "");
    if (id < WG__INIT_COUNT)
        return &rows[id];
    wg__str_addf(why, "unknown initialiser \"%s\"; there are: ", kind ? kind : "");
    wg__init_add_names(why);
    return NULL;
}

static void fill(const row *r, const wg_init *init, const wg_type *type, const stream *s,
                 void *data)
{
    double p = init->a, q = init->b;
    int64_t count = wg_shape_count(type->shape);
    if (r->numbers && count > 0) /* no elements: a fan may be 0 */
        r->numbers(&type->shape, &p, &q);
    for (int64_t i = 0; i < count; i++)
        wg__store(type->dtype, data, i, r->draw(s, (uint64_t)i, p, q));
}

bool wg__init_fill(const wg_init *init, const wg_type *type, uint64_t seed, const char *name,
                   void *data, wg__str *why)
{
    const row *r = find_row(init->kind, why);
    const char *wrong = r && r->check ? r->check(init->a, init->b) : NULL;
    if (wrong)
        wg__str_addf(why, "initialiser %s: %s", init->kind, wrong);
    if (!r || wrong)
        return false;
    stream s = stream_of(seed, name);
    if (data)
        fill(r, init, type, &s, data);
    return true;
}

wg_init wg__init_of(const wg_tape *t, uint32_t param)
{
    wg_attrs a = wg__attrs_of(t, param);
    wg_init init = {wg_attrs_string(&a, "init"), wg_attrs_float(&a, "a"), wg_attrs_float(&a, "b")};
    return init;
}

/* ---- constructors ------------------------------------------------------------------------------- */

static wg_init make(const char *kind, double a, double b)
{
    wg_init init = {kind, a, b};
    return init;
}

wg_init wg_init_zeros(void) { return make("zeros", 0, 0); }

wg_init wg_init_ones(void) { return make("ones", 0, 0); }

wg_init wg_init_constant(double value) { return make("constant", value, 0); }

wg_init wg_init_uniform(double low, double high) { return make("uniform", low, high); }

wg_init wg_init_normal(double mean, double std) { return make("normal", mean, std); }

wg_init wg_init_xavier(void) { return make("xavier", 0, 0); }

wg_init wg_init_xavier_normal(void) { return make("xavier_normal", 0, 0); }

wg_init wg_init_he(void) { return make("he", 0, 0); }

wg_init wg_init_he_normal(void) { return make("he_normal", 0, 0); }
