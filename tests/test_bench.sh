#!/bin/sh
# The benchmarks build and run, print what they promise, and agree with their peers before they
# time anything (they end with a message otherwise). Tiny budgets: the figures mean nothing here.
build=${WG_BUILDDIR:-$(cd "$(dirname "$0")/.." && pwd)/build}
bin=$build/bench
failed=0
command -v perl >/dev/null || exit 77

work=$(mktemp -d "${TMPDIR:-/tmp}/test_bench.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

fail() {
    echo "test_bench: $*"
    failed=1
}

# They are no part of `make all`.
unset MAKEFLAGS MAKELEVEL MFLAGS
"${MAKE:-make}" -C "$build" bench-programs >"$work/make" 2>&1 || {
    cat "$work/make"
    echo "test_bench: the programs do not build"
    exit 1
}

# ---- --json: one object a line, with just these keys ---------------------------------------------

cat >"$work/check.pl" <<'PERL'
use strict;
use warnings;
use JSON::PP;

my ($least) = @ARGV;
my %keys = (name => 'text', threads => 'number', us => 'number', peer => 'text?',
            peer_us => 'number?', ratio => 'number?', peak_share => 'number?');
my ($rows, $bad) = (0, 0);
while (<STDIN>) {
    my $row = eval { JSON::PP->new->decode($_) };
    if (ref $row ne 'HASH') { print "no object: $_"; $bad++; next; }
    $rows++;
    print "keys: $_" and $bad++ if join(' ', sort keys %$row) ne join(' ', sort keys %keys);
    for my $key (keys %keys) {
        my $value = $row->{$key};
        my $good = !defined $value ? $keys{$key} =~ /\?/
                 : $keys{$key} =~ /number/ ? !ref $value && $value > 0
                 : length $value;
        print "$key: $_" and $bad++ unless $good;
    }
    # A peer has a time and a ratio, and they fit.
    next unless defined $row->{peer};
    my $ratio = $row->{peer_us} / $row->{us};
    print "ratio: $_" and $bad++ unless abs($ratio - $row->{ratio}) <= 1e-4 * $ratio;
}
print "rows: $rows, not $least\n" and $bad++ if $rows != $least;
exit($bad ? 1 : 0);
PERL

# rows N PROGRAM OPTIONS: exits 0 and prints N good rows.
rows() {
    count=$1
    program=$2
    shift 2
    "$bin/$program" --json --seconds=0.01 "$@" >"$work/out" 2>"$work/err" ||
        fail "$program $*: exit status $?"
    cat "$work/err"
    perl "$work/check.pl" "$count" <"$work/out" || fail "$program $*"
}

rows 6 record --only='local 1000 '
rows 2 record --only='wide 1000 re-recorded' --threads=1,2
rows 1 small --only=scalar
rows 1 small --only=mixture --executor=reference
rows 1 kernels --threads=1 --only='gelu(x) 4k'
rows 1 kernels --threads=1 --only='adam 4k'
rows 2 kernels --threads=1 --only='matmul f?? 64 64 64' # a glob: the whole name
rows 1 steps --threads=1 --python=none --only='MLP B32 RMSprop'
rows 4 steps --python=none --only='scalar chain'

# ---- the table ----------------------------------------------------------------------------------

"$bin/small" --seconds=0.01 --only=Rosenbrock >"$work/out" || fail "small: exit status $?"
test "$(wc -l <"$work/out")" -eq 2 || fail "small prints more than a head and a row"
head -n 1 "$work/out" | grep -q '^name  *threads  *us  *peer  *peer_us  *ratio  *peak_share' ||
    fail "the head of the table"
"$bin/steps" --python=none --threads=1 --seconds=0.01 --only='mixture' | grep -q ' no$\| yes$' ||
    fail "steps does not say what holds"

# ---- what is wrong is told ------------------------------------------------------------------------

refuses() {
    "$@" >"$work/out" 2>"$work/err" && fail "accepted: $*"
    test -s "$work/err" || fail "refused without a word: $*"
}
refuses "$bin/record" --threads=0
refuses "$bin/record" --threads=1,x
refuses "$bin/small" --seconds=-1
refuses "$bin/small" --executor=nonsense
refuses "$bin/kernels" --nonsense
"$bin/steps" --python=/no/such/python --threads=1 --seconds=0.01 --only=mixture >"$work/out" 2>"$work/err" ||
    fail "steps stops without PyTorch"
grep -q 'no PyTorch' "$work/err" || fail "steps does not say that PyTorch is missing"

exit $failed
