#!/bin/sh
# tools/dev/gen-ops: what is committed is what it writes, and --check notices every stale product.
top=${WG_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
gen=$top/tools/dev/gen-ops
products='docs/ops.md include/wengert/ops.h ops/builtin.c src/tape/wrappers.c'
failed=0

command -v perl >/dev/null || exit 77
work=$(mktemp -d "${TMPDIR:-/tmp}/test_gen.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

fail() {
    echo "test_gen: $*"
    failed=1
}

# Written anew into an empty folder, everything equals what is committed.
perl "$gen" -C "$top" -o "$work/new" || fail "gen-ops failed"
for product in $products; do
    cmp "$work/new/$product" "$top/$product" || fail "$product is stale: run make gen-ops"
done

# A copy of the sources with a family more and an op's text changed: each product is stale.
mkdir "$work/copy"
(cd "$top" && tar -cf - $products ops include src/tape) | (cd "$work/copy" && tar -xf -)
chmod -R u+w "$work/copy"
sed -i.old 's|ops/random\.c|ops/random.c ops/more.c|' "$work/copy/ops/local.mk"
printf '/* One more. */\n{.sig = "more(x; k: int) -> y", .doc = "More."}\n' >"$work/copy/ops/more.c"
stale=$(perl "$gen" --check -C "$work/copy") && fail "--check is content with stale products"
for product in $products; do
    echo "$stale" | grep -q "^$product is stale" || fail "--check does not name $product"
done

# A malformed signature and a missing text are refused by name.
refuses() {
    printf '/* One more. */\n{%s}\n' "$1" >"$work/copy/ops/more.c"
    message=$(perl "$gen" -C "$work/copy" -o "$work/none" 2>&1) && fail "accepted: $1"
    echo "$message" | grep -q 'ops/more\.c: ' || fail "refused without the file's name: $message"
}
refuses '.sig = "more(x; k: int)", .doc = "More."'
refuses '.sig = "more(x) -> y"'
test -e "$work/none" && fail "something was written all the same"

exit $failed
