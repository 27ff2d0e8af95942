/* fuse: one sweep over the nodes, each of which joins the clusters of its operands or begins one.
 *
 * Every cluster has a depth, and what a cluster reads from others is of smaller depth, so that
 * clusters never wait for each other in a circle. A node of depth D may join, and thereby merge, all
 * clusters of depth D that it reads element by element (or row by row). A cluster from which nobody
 * outside has read yet may be raised to a greater depth first. Linear time. */
#include "pass/fuse.h"

/* ---- one node and what it reads ------------------------------------------------------------------ */

/* One operand. */
typedef struct edge {
    uint32_t base, bud; /* bud: of the base's cluster, or WG__NO_CLUSTER */
    bool joins;         /* still hoped to be read inside the cluster */
    int merged;         /* axes of one step, when it comes from memory */
    const char *why;    /* it does not */
} edge;

typedef struct joiner {
    wg__fuser *f;
    uint32_t id;
    wg__role role;
    size_t nedges;
    edge edges[WG__MAX_OPERANDS];
    bool row;      /* a reduction of everything whose result is a row value */
    bool opens;    /* its value can be used in the cluster */
    wg__bud self;  /* the cluster of the node alone */
    wg__bud trial; /* ... with what it joins */
    uint32_t depth;
} joiner;

static void make_edge(joiner *j, size_t k)
{
    wg__fuser *f = j->f;
    const wg__clusters *c = f->c;
    edge *e = &j->edges[k];
    wg__layout room;
    const wg__layout *l = wg__read_layout(c, j->id, k, &room);
    uint32_t in = wg__operands(f->t, wg__node_at(f->t, j->id))[k];
    const wg_shape *shape = &wg__type_at(f->t, j->role == WG__COPY ? j->id : in)->shape;
    const wg_shape *over = wg__operand_shape(c, j->id, k);
    wg_shape space = wg__squeeze(over, NULL);
    wg_strides s = wg__strides_over(&l->s, shape, over);
    wg_strides there = s;
    wg__in_memory(c, l->base, &space, &there);
    *e = (edge){.base = l->base, .bud = c->of[l->base], .merged = wg__merged_axes(&space, &there)};
    if (c->role[l->base] == WG__INDEX)
        e->merged = WG_MAX_RANK; /* counted, whatever the columns */
    if (e->bud == WG__NO_CLUSTER)
        return;
    e->bud = wg__bud_find(f, e->bud);
    wg_shape value = wg__squeeze(&wg__type_at(f->t, l->base)->shape, NULL);
    wg__relation relation = wg__relation_of(&value, &space, &s);
    if (f->buds.data[e->bud].kind == WG__KERNEL)
        e->why = "an op's kernel computes it";
    else if (f->buds.data[e->bud].kind == WG__CONCAT)
        e->why = "it is joined there";
    else if (j->role == WG__TIMES || j->role == WG__RUN || j->role == WG__TAKE)
        e->why = "the op reads memory";
    else if (!f->open[l->base])
        e->why = "its reduction ends the loop";
    else if (relation == WG__APART || wg_shape_count(*over) == 0)
        e->why = "a view moves its elements";
    else if (relation == WG__SPREAD && (j->role == WG__FOLD || j->role == WG__PICK))
        e->why = "a reduction reads it spread out";
    else
        e->joins = true;
}

/* The columns that a reduction wants; *row: it reduces a whole vector to a row value. */
static void begin_fold(joiner *j)
{
    int k;
    wg__fold fold = wg__fold_kind(j->f->t, j->id, &k);
    wg__bud *b = &j->self;
    b->ncols = (int8_t)k;
    b->whole = fold == WG__FOLD_TRAILING || (fold == WG__FOLD_ALL && j->row);
    if (fold == WG__FOLD_ALL && j->row)
        b->ncols = (int8_t)b->space.rank;
    j->opens = b->whole || fold == WG__FOLD_NONE;
}

/* Gathered rows: the index stays put along the columns. */
static void begin_take(joiner *j)
{
    const wg_tape *t = j->f->t;
    wg_attrs attrs = wg__attrs_of(t, j->id);
    uint32_t x = wg__operands(t, wg__node_at(t, j->id))[0];
    const wg_shape *shape = &wg__type_at(t, x)->shape;
    int inner = 0;
    for (int i = (int)wg_attrs_int(&attrs, "axis") + 1; i < shape->rank; i++)
        inner += shape->dim[i] != 1;
    j->self.maxcols = (int8_t)inner;
}

/* A value is stored by one step over the columns, in its window too. */
static void limit_columns(joiner *j)
{
    const wg__clusters *c = j->f->c;
    const wg_type *type = wg__type_at(j->f->t, j->id);
    if (!c->window[j->id] || (j->role != WG__MAP && j->role != WG__COPY && j->role != WG__TAKE))
        return;
    wg_strides dense = wg__dense_strides(type);
    wg_strides s = wg__strides_over(&dense, &type->shape, &type->shape);
    wg__in_memory(c, j->id, &j->self.space, &s);
    const int merged = wg__merged_axes(&j->self.space, &s);
    if (merged < j->self.maxcols)
        j->self.maxcols = (int8_t)merged;
}

static void begin(joiner *j)
{
    const wg__fuser *f = j->f;
    const wg_shape *shape = wg__read_shape(f->c, j->id);
    j->self = (wg__bud){.kind = WG__LOOP, .instrs = 1, .maxcols = WG_MAX_RANK};
    j->self.space = wg__squeeze(shape, NULL);
    j->opens = true;
    if (j->role == WG__RUN)
        j->self.kind = WG__KERNEL;
    else if (j->role == WG__TIMES)
        wg__epilogue_begin(&j->self, shape);
    else if (j->role == WG__MAP && wg_shape_count(*shape) == 1)
        j->self.kind = WG__SCALARS;
    else if (j->role == WG__FOLD)
        begin_fold(j);
    else if (j->role == WG__TAKE)
        begin_take(j);
    else if (j->role == WG__PICK) {
        j->self.ncols = 1;
        j->self.whole = true;
    }
    limit_columns(j);
}

/* ---- joining ---------------------------------------------------------------------------------------- */

static void refuse(joiner *j, const edge *e, const char *why)
{
    for (size_t k = 0; k < j->nedges; k++) /* not by another operand either */
        if (j->edges[k].bud == e->bud && j->edges[k].joins) {
            j->edges[k].joins = false;
            j->edges[k].why = why;
        }
}

/* What comes from memory: limits columns, and sets the least depth. False: an edge was refused. */
static const char *read_memory(joiner *j)
{
    const char *why = NULL;
    bool loads = j->self.kind == WG__LOOP || j->self.kind == WG__SCALARS;
    for (size_t k = 0; k < j->nedges; k++) {
        const edge *e = &j->edges[k];
        if (e->joins)
            continue;
        uint32_t in = wg__operands(j->f->t, wg__node_at(j->f->t, j->id))[k];
        bool full = (j->role != WG__PICK && j->role != WG__TAKE) || k == 0;
        if (loads && !why)
            why = wg__bud_load(&j->trial, in, e->merged, full);
        if (e->bud == WG__NO_CLUSTER)
            continue;
        uint32_t depth = j->f->buds.data[e->bud].depth + 1;
        j->depth = depth > j->depth ? depth : j->depth;
    }
    return why;
}

/* The edge that joins with the deepest cluster not tried yet. */
static edge *deepest(joiner *j, const bool *tried)
{
    edge *best = NULL;
    const wg__bud *buds = j->f->buds.data;
    for (size_t k = 0; k < j->nedges; k++)
        if (j->edges[k].joins && !tried[k] &&
            (!best || buds[j->edges[k].bud].depth > buds[best->bud].depth))
            best = &j->edges[k];
    return best;
}

/* Tries to join all edges that hope to. True: done; false: one was refused, try again. */
static bool attempt(joiner *j)
{
    bool tried[WG__MAX_OPERANDS] = {false};
    const wg__bud *buds = j->f->buds.data;
    edge *e;
    j->trial = j->self;
    j->depth = 0;
    for (size_t k = 0; k < j->nedges; k++) /* what is read from memory as well is not joined */
        for (size_t i = 0; i < j->nedges && !j->edges[k].joins; i++)
            if (j->edges[i].joins && j->edges[i].bud == j->edges[k].bud) {
                refuse(j, &j->edges[i], "it needs another value of that loop when it has ended");
                return false;
            }
    const char *why = read_memory(j);
    while ((e = deepest(j, tried))) {
        bool before = false;
        for (size_t k = 0; k < j->nedges; k++) {
            before |= tried[k] && j->edges[k].bud == e->bud;
            tried[k] |= &j->edges[k] == e;
        }
        if (before)
            continue;
        if (!why)
            why = wg__bud_unify(&j->trial, &buds[e->bud]);
        if (why) {
            refuse(j, e, why);
            return false;
        }
        j->depth = buds[e->bud].depth > j->depth ? buds[e->bud].depth : j->depth;
    }
    for (size_t k = 0; k < j->nedges; k++) {
        e = &j->edges[k];
        if (e->joins && buds[e->bud].depth < j->depth && buds[e->bud].read) {
            refuse(j, e, "another reads it before");
            return false;
        }
    }
    return true;
}

static void join(joiner *j)
{
    begin(j);
    for (size_t k = 0; k < j->nedges; k++)
        make_edge(j, k);
    while (!attempt(j))
        ;
}

/* A vector that is reduced as a whole may be one row of columns: then its sum can be used in the
 * loop. It is one when it is short, or when the loop has it so already. */
static void join_fold(joiner *j)
{
    int k;
    wg_shape space = wg__squeeze(wg__read_shape(j->f->c, j->id), NULL);
    join(j);
    if (wg__fold_kind(j->f->t, j->id, &k) != WG__FOLD_ALL)
        return;
    bool fused = j->edges[0].joins;
    bool vector = space.rank == 1 && space.dim[0] <= WG__MAX_VECTOR;
    bool columns = fused && j->trial.ncols == space.rank && j->trial.space.rank == space.rank;
    if (!vector && !columns)
        return;
    joiner row = *j;
    row.row = true;
    join(&row);
    if (row.edges[0].joins == fused)
        *j = row;
}

/* ---- the new cluster ---------------------------------------------------------------------------------- */

static bool scalars_at(wg__fuser *f, uint32_t depth, uint32_t **at)
{
    while (f->scalars.len <= depth)
        if (!wg__vec_push(f->c->ctx, &f->scalars, WG__NO_CLUSTER))
            return false;
    *at = &f->scalars.data[depth];
    return true;
}

static void merge(wg__fuser *f, uint32_t into, uint32_t from)
{
    if (into == from)
        return;
    f->buds.data[into].read |= f->buds.data[from].read;
    f->buds.data[from].parent = into;
}

/* All scalar nodes of one depth are one cluster. An entry is out of date when its cluster was raised. */
static bool settle_scalars(wg__fuser *f, uint32_t *bud)
{
    uint32_t *at, depth = f->buds.data[*bud].depth;
    if (!scalars_at(f, depth, &at))
        return false;
    if (*at != WG__NO_CLUSTER) {
        uint32_t there = wg__bud_find(f, *at);
        if (f->buds.data[there].depth == depth) {
            merge(f, there, *bud);
            *bud = there;
        }
    }
    *at = *bud;
    return true;
}

static bool commit(joiner *j)
{
    wg__fuser *f = j->f;
    uint32_t bud = WG__NO_CLUSTER;
    for (size_t k = 0; k < j->nedges; k++) {
        const edge *e = &j->edges[k];
        if (!e->joins && e->bud != WG__NO_CLUSTER) {
            f->buds.data[e->bud].read = true;
            if (e->why)
                wg__note_read(f, j->id, e->base, e->why);
        } else if (e->joins && bud == WG__NO_CLUSTER) {
            bud = e->bud;
        }
    }
    for (size_t k = 0; k < j->nedges; k++)
        if (j->edges[k].joins)
            merge(f, bud, wg__bud_find(f, j->edges[k].bud));
    if (bud == WG__NO_CLUSTER) {
        bud = (uint32_t)f->buds.len;
        if (!wg__vec_push(f->c->ctx, &f->buds, j->trial))
            return false;
    } else {
        j->trial.read = f->buds.data[bud].read;
        f->buds.data[bud] = j->trial;
    }
    f->buds.data[bud].parent = bud;
    f->buds.data[bud].depth = j->depth;
    if (j->trial.kind == WG__SCALARS && !settle_scalars(f, &bud))
        return false;
    const wg__node *n = wg__node_at(f->t, j->id);
    for (uint16_t k = 0; k < n->nout; k++)
        f->c->of[j->id + k] = bud;
    f->open[j->id] = j->opens;
    return true;
}

/* The usual case of graphs of scalars: a scalar node whose operands are sources, or values of one and
 * the same cluster of scalars, which it joins. False: it is another case. */
static bool join_scalars(wg__fuser *f, uint32_t id, bool *good)
{
    const wg__clusters *c = f->c;
    uint32_t into = WG__NO_CLUSTER, *at;
    if (wg_shape_count(wg__type_at(f->t, id)->shape) != 1)
        return false;
    for (size_t k = 0; k < wg__reads(c, id); k++) {
        const uint32_t base = wg__read_base(c, id, k);
        uint32_t bud = c->of[base];
        if (bud == WG__NO_CLUSTER)
            continue;
        bud = wg__bud_find(f, bud);
        if (f->buds.data[bud].kind != WG__SCALARS || !f->open[base] ||
            (into != WG__NO_CLUSTER && bud != into))
            return false;
        into = bud;
    }
    if (into == WG__NO_CLUSTER) {
        *good = scalars_at(f, 0, &at);
        into = *good && *at != WG__NO_CLUSTER ? wg__bud_find(f, *at) : WG__NO_CLUSTER;
        if (into == WG__NO_CLUSTER || f->buds.data[into].depth > 0 ||
            f->buds.data[into].kind != WG__SCALARS)
            return false;
    }
    c->of[id] = into;
    f->open[id] = true;
    return true;
}

/* A node with any number of operands, none of which it joins. */
static bool fuse_kernel(wg__fuser *f, uint32_t id)
{
    const wg__node *n = wg__node_at(f->t, id);
    wg__bud b = {.kind = f->c->role[id] == WG__JOIN ? WG__CONCAT : WG__KERNEL, .instrs = 1};
    for (uint16_t k = 0; k < n->nin; k++) {
        uint32_t base = wg__read_base(f->c, id, k), bud = f->c->of[base];
        if (bud == WG__NO_CLUSTER)
            continue;
        bud = wg__bud_find(f, bud);
        f->buds.data[bud].read = true;
        if (f->buds.data[bud].depth >= b.depth)
            b.depth = f->buds.data[bud].depth + 1;
    }
    b.parent = (uint32_t)f->buds.len;
    for (uint16_t k = 0; k < n->nout; k++)
        f->c->of[id + k] = b.parent;
    return wg__vec_push(f->c->ctx, &f->buds, b);
}

bool wg__fuse(wg__fuser *f)
{
    for (uint32_t i = 0; i < f->t->nodes.len; i++) {
        const wg__node *n = wg__node_at(f->t, i);
        wg__role role = f->c->role[i];
        if (role < WG__RUN)
            continue;
        if (role == WG__RUN || role == WG__JOIN) {
            if (!fuse_kernel(f, i))
                return false;
            continue;
        }
        bool good = true;
        if (role == WG__MAP && join_scalars(f, i, &good))
            continue;
        if (!good)
            return false;
        joiner j = {.f = f, .id = i, .role = role, .nedges = n->nin};
        if (role == WG__FOLD)
            join_fold(&j);
        else
            join(&j);
        if (!commit(&j))
            return false;
    }
    return true;
}
