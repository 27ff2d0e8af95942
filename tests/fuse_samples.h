/* For test_fuse: graphs, and the clusters that are made of them, in the order of running. A line is
 * the kind, the space, the columns, the ops of the members and the values that get memory. */
#ifndef WG_TESTS_FUSE_SAMPLES_H
#define WG_TESTS_FUSE_SAMPLES_H

typedef struct sample {
    const char *name, *graph, *clusters;
} sample;

/* clang-format off */
static const sample samples[] = {
    {"bias_relu",
     "graph g(x: f32[32, 64], w: f32[64, 10], b: f32[10], r: f32[32, 10]) -> (z) { "
     "y = matmul(x, w); s = add(y, b); a = relu(s); z = add(a, r) }",
     "product [32, 10]: matmul add relu add | stored z\n"},
    {"mask",
     "graph g(g: f32[32, 10], w: f32[64, 10], h: f32[32, 64]) -> (dw, dh, db) { "
     "m = greater(h, 0); d = matmul(g, w, transpose_b=true); dh = where(m, d, 0); "
     "dw = matmul(h, g, transpose_a=true); db = sum(dh, axes=[0]) }",
     "product [64, 10]: matmul | stored dw\n"
     "product [32, 64] cols 1: greater matmul where sum | stored dh db\n"},
    {"transposed",
     "graph g(x: f32[32, 64], w: f32[10, 64]) -> (y) { t = transpose(w); "
     "s = reverse(x, axes=[0]); y = matmul(s, t) }",
     "product [32, 10]: matmul | stored y\n"},
    {"gather_map",
     "graph g(x: f32[100, 16], i: i32[8, 4], s: f32[8, 4, 1]) -> (z) { e = gather(x, i); "
     "y = mul(e, s); z = tanh(y) }",
     "loop [8, 4, 16]: gather mul tanh | stored z\n"},
    {"gather_scalar",
     "graph g(x: f32[100], i: i32[8]) -> (z) { e = gather(x, i); z = tanh(e) }",
     "kernel: gather | stored e\n"
     "loop [8]: tanh | stored z\n"},
    {"rows_of_a_loop",
     "graph g(x: f32[8, 16], r: f32[8, 1]) -> (z) { a = exp(r); z = mul(x, a) }",
     "loop [8, 16] cols 1: exp mul | stored z\n"},
    {"columns_are_a_loop_of_their_own",
     "graph g(x: f32[8, 16], c: f32[16]) -> (z) { a = exp(c); z = mul(x, a) }",
     "loop [16]: exp | stored a\n"
     "loop [8, 16]: mul | stored z\n"},
    {"trailing",
     "graph g(x: f32[8, 16]) -> (z) { a = exp(x); s = sum(a, axes=[1], keepdims=true); "
     "z = div(a, s) }",
     "loop [8, 16] cols 1: exp sum div | stored z\n"},
    {"leading",
     "graph g(x: f32[8, 16]) -> (z) { a = exp(x); s = sum(a, axes=[0]); z = div(a, s) }",
     "loop [8, 16] cols 1: exp sum | stored a s\n"
     "loop [8, 16]: div | stored z\n"},
    {"middle",
     "graph g(x: f32[8, 4, 16]) -> (s) { a = exp(x); s = sum(a, axes=[1]) }",
     "loop [8, 4, 16]: exp | stored a\n"
     "kernel: sum | stored s\n"},
    {"both",
     "graph g(x: f32[8, 16]) -> (r, c, t) { a = exp(x); r = sum(a, axes=[1]); "
     "c = sum(a, axes=[0]); t = sum(a) }",
     "loop [8, 16] cols 1: exp sum sum sum | stored r c t\n"},
    {"total_of_rows",
     "graph g(x: f32[8, 16]) -> (t) { a = exp(x); r = max(a, axes=[1]); l = log(r); "
     "t = sum(l) }",
     "loop [8, 16] cols 1: exp max log sum | stored t\n"},
    {"two_axes",
     "graph g(x: f32[8, 4, 16], b: f32[4, 1]) -> (z) { a = add(x, b); "
     "s = sum(a, axes=[1, 2], keepdims=true); z = sub(a, s) }",
     "loop [8, 4, 16]: add | stored a\n"
     "loop [8, 4, 16] cols 2: sum sub | stored z\n"},
    {"two_axes_dense",
     "graph g(x: f32[8, 4, 16]) -> (z) { a = exp(x); "
     "s = sum(a, axes=[1, 2], keepdims=true); z = sub(a, s) }",
     "loop [8, 4, 16] cols 2: exp sum sub | stored z\n"},
    {"conflict",
     "graph g(x: f32[8, 4, 16]) -> (p, q) { a = exp(x); p = sum(a, axes=[2]); "
     "q = sum(a, axes=[1, 2]) }",
     "loop [8, 4, 16] cols 1: exp sum | stored a p\n"
     "loop [8, 4, 16] cols 2: sum | stored q\n"},
    {"vector",
     "graph g(x: f32[10]) -> (z) { m = max(x); d = sub(x, m); e = exp(d); s = sum(e); "
     "l = log(s); z = sub(d, l) }",
     "loop [10] cols 1: max sub exp sum log sub | stored z\n"},
    {"long_vector",
     "graph g(x: f32[1000]) -> (z) { m = max(x); d = sub(x, m); s = sum(d); l = log(s); "
     "z = sub(d, l) }",
     "loop [1000]: max | stored m\n"
     "loop [1000]: sub sum | stored d s\n"
     "scalars: log | stored l\n"
     "loop [1000]: sub | stored z\n"},
    {"scalars",
     "graph g(a: f64, b: f64) -> (z) { c = mul(a, b); d = sin(c); e = add(d, a); "
     "z = mul(e, e) }",
     "scalars: mul sin add mul | stored z\n"},
    {"scalar_feeds",
     "graph g(a: f64, x: f64[2000]) -> (z, t) { b = exp(a); y = mul(x, b); t = sum(y); "
     "u = log(t); z = mul(y, u) }",
     "scalars: exp | stored b\n"
     "loop [2000]: mul sum | stored y t\n"
     "scalars: log | stored u\n"
     "loop [2000]: mul | stored z\n"},
    {"diamond",
     "graph g(x: f32[16, 16], w: f32[16, 16]) -> (z) { a = exp(x); p = matmul(a, w); "
     "b = tanh(a); z = add(p, b) }",
     "loop [16, 16]: exp | stored a\n"
     "product [16, 16]: matmul tanh add | stored z\n"},
    {"two_products",
     ""
     "graph g(x: f32[4, 16], h: f32[4, 16], w: f32[16, 16], u: f32[16, 16], b: f32[16]) -> (z) { "
     "p = matmul(x, w); q = matmul(h, u); s = add(p, q); t = add(s, b); z = tanh(t) }",
     "product [4, 16]: matmul | stored q\n"
     "product [4, 16]: matmul add add tanh | stored z\n"},
    {"empty",
     "graph g(x: f32[0, 3]) -> (z, s, c) { z = exp(x); s = sum(z, axes=[1]); "
     "c = sum(z, axes=[0]) }",
     "loop [0, 3]: exp | stored z\n"
     "kernel: sum | stored s\n"
     "kernel: sum | stored c\n"},
    {"ones",
     "graph g(x: f32[1, 8, 1], y: f32[8]) -> (z) { s = sum(x, axes=[0]); "
     "r = reshape(s, shape=[8]); e = exp(r); z = mul(e, y) }",
     "loop [8]: sum exp mul | stored z\n"},
    {"eight_axes",
     "graph g(x: f32[2, 1, 2, 1, 2, 1, 2, 3]) -> (z) { a = exp(x); "
     "s = sum(a, axes=[6, 7], keepdims=true); z = div(a, s) }",
     "loop [2, 2, 2, 2, 3] cols 2: exp sum div | stored z\n"},
    {"views",
     "graph g(x: f32[8, 16]) -> (z, k) { a = exp(x); t = transpose(a); b = tanh(t); "
     "r = reshape(a, shape=[2, 4, 16]); z = sin(r); k = cumsum(t, axis=0) }",
     "loop [8, 16]: exp | stored a\n"
     "loop [2, 4, 16]: sin | stored z\n"
     "loop [16, 8] beside 1: transpose | stored t\n"
     "kernel: cumsum | stored k\n"},
    {"root_view",
     "graph g(x: f32[8, 16]) -> (t, b) { a = exp(x); t = transpose(a); "
     "b = broadcast(a, shape=[2, 8, 16]) }",
     "loop [8, 16]: exp | stored a\n"
     "loop [16, 8]: transpose | stored t\n"
     "loop [2, 8, 16] beside 1: broadcast | stored b\n"},
    {"iota_in_memory_and_counted",
     "graph g(x: f32[8, 16], l: i32[8]) -> (z, m) { i = iota(shape=[16]); "
     "c = reshape(l, shape=[8, 1]); h = equal(c, i); f = cast(h, dtype=f32); "
     "z = mul(x, f); m = cumsum(i, axis=0) }",
     "kernel: iota | stored i\n"
     "loop [8, 16]: equal cast mul | stored z\n"
     "kernel: cumsum | stored m\n"},
    {"iota_along_rows",
     "graph g(x: i32[8, 16]) -> (z) { i = iota(shape=[8, 16], axis=0); z = add(x, i) }",
     "loop [8, 16]: add | stored z\n"},
    {"computed_at_its_reader",
     "graph g(x: f32[8, 16], w: f32[16, 16]) -> (p, z) { y = sigmoid(x); "
     "p = matmul(y, w); n = sub(1, y); d = mul(y, n); e = exp(p); z = mul(e, d) }",
     "loop [8, 16]: sigmoid | stored y\n"
     "product [8, 16]: matmul sub mul exp mul | stored p z\n"},
    {"parts_where_they_belong",
     "graph g(x: f32[8, 16], w: f32[16, 16]) -> (y) { a = exp(x); b = matmul(x, w); "
     "c = concat(a, b, x, axis=1); y = tanh(c) }",
     "loop [8, 16]: exp | stored a\n"
     "product [8, 16]: matmul | stored b\n"
     "join: concat | stored c\n"
     "loop [8, 48]: tanh | stored y\n"},
    {"gates",
     "graph g(z: f32[8, 32], d: f32[8, 16], u: f32[16, 32]) -> (h) { "
     "p = section(z, start=[0, 0], size=[8, 16]); q = section(z, start=[0, 16], size=[8, 16]); "
     "i = mul(p, d); o = mul(q, d); y = concat(i, o, axis=1); h = matmul(y, u, transpose_b=true) }",
     "loop [8, 16]: mul | stored i\n"
     "loop [8, 16] beside 0: mul | stored o\n"
     "join: concat | stored y\n"
     "product [8, 16]: matmul | stored h\n"},
};
/* clang-format on */

#endif
