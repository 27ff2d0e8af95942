#!/bin/sh
# The tool from outside. Golden cases: tests/cli/NAME.case holds a command line and, below it, what
# it must print to standard output, to standard error, and its exit code, all exactly; what is not
# there is nothing, or 0. NAME.in, if there, is its standard input. UPDATE=1 writes the cases anew;
# read the diff. Below them: what holds whatever the registry has.
top=${WG_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
build=${WG_BUILDDIR:-$top/build}
cases=$top/tests/cli
failed=0
LC_ALL=C
export LC_ALL
unset ARGP_HELP_FMT

test -x "$build/wengert" || {
    echo "test_cli: no tool in $build"
    exit 99
}

work=$(mktemp -d "${TMPDIR:-/tmp}/test_cli.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" || exit 99
printf '#!/bin/sh\nexec "%s/wengert" "$@"\n' "$build" >"$work/bin/wengert"
chmod +x "$work/bin/wengert"
PATH=$work/bin:$PATH
export PATH
cd "$cases" || exit 99

fail() {
    echo "test_cli: $*"
    failed=1
}

# ---- golden cases ----------------------------------------------------------------------------

# The case as it went.
transcript() {
    echo "$command"
    test ! -s "$work/out" || { echo '--- out'; cat "$work/out"; }
    test ! -s "$work/err" || { echo '--- err'; cat "$work/err"; }
    test "$code" = 0 || echo "--- exit $code"
}

count=0
for case in *.case; do
    input=/dev/null
    test -e "${case%.case}.in" && input=${case%.case}.in
    command=$(sed 1q "$case")
    eval "${command#??}" <"$input" >"$work/out" 2>"$work/err"
    code=$?
    transcript >"$work/case"
    test -z "$UPDATE" || cp "$work/case" "$case"
    diff -u "$case" "$work/case" || fail "$case: not as it should be"
    count=$((count + 1))
done
test $count -gt 0 || fail "no cases"

# ---- what holds whatever the registry has ------------------------------------------------------

# last LINES-OF PATTERN: the last line printed matches.
last() {
    tail -n 1 "$work/out" | grep -Eq "$1" || fail "last line is '$(tail -n 1 "$work/out")', not $1"
}

# Every op of the list can be asked for by name.
wengert ops >"$work/ops" || fail "ops fails"
names=$(sed -n 's/^\([a-z][a-z0-9_]*\)(.*/\1/p' "$work/ops")
test "$(echo "$names" | wc -l)" -gt 50 || fail "ops lists too few"
test "$(echo "$names" | sort | uniq -d)" = "" || fail "ops lists one twice"
# shellcheck disable=SC2086
wengert ops $names >"$work/out" || fail "ops NAME... fails"
test "$(grep -c '^kernels:' "$work/out")" = "$(echo "$names" | wc -l)" || fail "ops NAME is short"

# Checks of some ops and of a model; the whole registry is walked elsewhere.
wengert check add matmul softmax_xent >"$work/out" || fail "check fails"
last '^3 passed, 0 failed$'
wengert check mlp.wg scan.wg >"$work/out" || fail "check of a model fails"
last '^2 passed, 0 failed$'
wengert check --seed 7 -v tanh >"$work/one" || fail "check --seed fails"
wengert check --seed 7 -v tanh >"$work/two" || fail "check --seed fails"
cmp "$work/one" "$work/two" || fail "equal seeds, unequal reports"
wengert check --mutants mul tanh >"$work/out" || fail "check --mutants misses"
last '^[1-9][0-9]* caught, 0 missed$'

# Canonical text prints as itself, also through standard input and with gradients.
for graph in mlp.wg scan.wg; do
    for grad in '' --grad; do
        # shellcheck disable=SC2086
        wengert print $grad $graph >"$work/one" || fail "print $grad $graph fails"
        wengert print - <"$work/one" >"$work/two" || fail "print does not read what it printed"
        cmp "$work/one" "$work/two" || fail "print $grad $graph is not stable"
    done
done

# Pictures in each format; the file and standard output are the same.
for format in dot svg png pdf; do
    wengert dot --grad -T $format mlp.wg -o "$work/one" || fail "dot -T $format -o fails"
    wengert dot --grad -T $format mlp.wg >"$work/two" || fail "dot -T $format fails"
    test -s "$work/one" || fail "dot -T $format draws nothing"
    test $format = pdf || cmp "$work/one" "$work/two" || fail "dot -T $format differs with -o"
done

# How a graph is compiled: all steps that are announced are there, also those that fusing leaves; twice
# the same.
for graph in square.wg mlp.wg scan.wg; do
    for options in '' --grad '--executor=reference --grad'; do
        # shellcheck disable=SC2086
        wengert explain $options $graph >"$work/one" || fail "explain $options $graph fails"
        # shellcheck disable=SC2086
        wengert explain $options $graph >"$work/two" || fail "explain $options $graph fails"
        cmp "$work/one" "$work/two" || fail "explain $options $graph is not stable"
        steps=$(sed -n 's/^steps: //p' "$work/one")
        test "$(sed '1,/^steps:/d' "$work/one" | grep -c '^ \{2,5\}[0-9][0-9]*  [a-z]')" = "$steps" ||
            fail "explain $options $graph does not show all steps"
    done
done

# Steps of a sub-tape stand below the step that runs it, as often as it runs; fusion names the sub-tape;
# what the steps name is in the graph below.
wengert explain --grad scan.wg >"$work/out" || fail "explain --grad scan.wg fails"
grep -q '^ *step, 5 times:$' "$work/out" || fail "explain shows no sub-tape"
grep -A1 '^ *step, 5 times:$' "$work/out" | grep -q '^ \{10,\}0  [a-z]' || fail "explain shows no steps of a sub-tape"
grep -A1 '^ *[0-9]*  scan ' "$work/out" | grep -q 'flop, ' || fail "explain counts no flops of a scan"
wengert explain --grad mlp.wg >"$work/out" || fail "explain --grad mlp.wg fails"
for id in $(sed -n '/^fusion:/,/^graph:/s/[^%]*\(%[0-9]*\)[^%]*/\1 /gp' "$work/out"); do
    sed '1,/^graph:/d' "$work/out" | grep -q "^ *\(const \)\{0,1\}$id: \|[(, ]$id[:,)]" ||
        fail "explain: $id is not in the graph"
done

# Heat: shares of all that is computed make up the whole (labels are rounded).
for options in --profile '--profile=3 --grad --threads=1' '--profile=3 --grad --executor=reference'; do
    # shellcheck disable=SC2086
    wengert dot $options mlp.wg >"$work/out" || fail "dot $options fails"
    grep -o '<b>[0-9.]*%</b>' "$work/out" | tr -d '<>/b%' |
        awk '{ sum += $1; n++ } END { exit !(n > 2 && sum > 95 && sum < 105) }' ||
        fail "dot $options: the shares are not 100%"
done
wengert dot --profile=3 -T svg scan.wg >"$work/out" || fail "dot --profile -T svg fails"
grep -q '%' "$work/out" || fail "a picture shows no shares"

# A full disk is noticed, whatever is printed.
if test -w /dev/full; then
    for args in --help ops 'print mlp.wg' 'explain mlp.wg' 'dot mlp.wg' 'dot -T svg mlp.wg' 'check add'; do
        eval "wengert $args" >/dev/full 2>"$work/err"
        test $? = 3 || fail "$args: a full disk is not noticed"
        test -s "$work/err" || fail "$args: a full disk is not told"
    done
    wengert dot mlp.wg -o /dev/full 2>/dev/null
    test $? = 3 || fail "dot -o: a full disk is not noticed"
fi

test $failed = 0 && echo "test_cli: $count cases passed"
exit $failed
