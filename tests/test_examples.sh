#!/bin/sh
# The examples: each does what it says (they check their own claims), prints the graph that is
# committed as examples/NAME.wg, and that text is canonical. UPDATE=1 writes the .wg files anew.
top=${WG_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
build=${WG_BUILDDIR:-$top/build}
bin=$build/examples
failed=0

work=$(mktemp -d "${TMPDIR:-/tmp}/test_examples.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

fail() {
    echo "test_examples: $*"
    failed=1
}

# ---- each example ------------------------------------------------------------------------------

for name in adding char_rnn copy_task digits logistic lstm2 mixture rnn_bptt state_space; do
    text=$top/examples/$name.wg
    "$bin/$name" --wg "$work/$name.wg" --dot "$work/$name.dot" >"$work/out" 2>"$work/err"
    code=$?
    cat "$work/out" "$work/err"
    test $code = 77 && continue # what it reads is not on this system
    test $code = 0 || fail "$name: exit status $code"
    grep -q '^  ok ' "$work/out" || fail "$name: claims nothing"
    test -s "$work/err" && fail "$name: progress where there is no terminal"

    test -n "$UPDATE" && cp "$work/$name.wg" "$text"
    diff -u "$text" "$work/$name.wg" || fail "$name: the graph is not that of $text"
    "$build/wengert" print "$text" | diff -u "$text" - || fail "$name: $text is not canonical"
    for what in 'digraph' 'd_' 'legend'; do
        grep -q "$what" "$work/$name.dot" || fail "$name: no $what in the picture"
    done
    if command -v dot >/dev/null; then
        dot -Tcanon "$work/$name.dot" >/dev/null || fail "$name: dot does not read the picture"
    fi
done

# ---- their options -------------------------------------------------------------------------------

"$bin/mixture" --quiet >"$work/out" 2>&1 || fail "mixture --quiet fails"
test -s "$work/out" && fail "--quiet prints"
"$bin/rnn_bptt" --data "$top/examples/data/lynx.csv" || fail "rnn_bptt on lynx.csv fails"
"$bin/char_rnn" --data "$top/docs/tutorial.md" --epochs 4 || fail "char_rnn on the tutorial fails"

# Equal runs print equal lines; a figure that is missed fails, also when quiet.
"$bin/digits" --epochs 2 >"$work/one" && fail "digits is content with two epochs"
"$bin/digits" --epochs 2 >"$work/two"
cmp "$work/one" "$work/two" || fail "digits: two runs differ"
"$bin/digits" --epochs 1 --quiet | grep -q '^  FAILED ' || fail "digits --quiet hides a failure"

# What is not there, or not what was expected, is told.
refuses() {
    "$@" >"$work/out" 2>"$work/err" && fail "accepted: $*"
    test -s "$work/err" || fail "refused without a word: $*"
}
refuses "$bin/mixture" --data "$work/nothing.csv"
refuses "$bin/digits" --data "$top/examples/data/lynx.csv"
refuses "$bin/logistic" --data "$top/examples/data/README.md"
refuses "$bin/char_rnn" --data "$work/out"
refuses "$bin/state_space" --data "$top/examples/data/sunspots.csv"
refuses "$bin/mixture" --epochs 0
refuses "$bin/mixture" --wg "$work/no/such/folder"

exit $failed
