#!/bin/sh
# What the documents show is what there is. The ```c blocks of a document, one after the other,
# are an example, word for word. Each ```console block is run: its lines with "$ " are commands,
# what follows is what they print. Words must be equal, numbers near (5%), as computers differ in
# the last digits. UPDATE=1 writes what was printed into the documents; read the diff.
set -u
top=${WG_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
build=${WG_BUILDDIR:-$top/build}
command -v perl >/dev/null || exit 77

# The commands see the tree as it is after `make`, and leave nothing in it.
work=$(mktemp -d "${TMPDIR:-/tmp}/test_docs.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
ln -s "$build" "$work/build" && ln -s "$top/examples" "$work/examples" || exit 99
cd "$work" || exit 99

cat >check.pl <<'PERL'
use strict;
use warnings;

my $top = shift;
my %example = (
    'README.md'             => 'rosenbrock.c',
    'docs/adding-an-op.md'  => 'adding_an_op.c',
    'docs/tutorial.md'      => 'tutorial.c',
);
my $number = qr/-?\d+(?:\.\d+)?(?:e[-+]?\d+)?/;
my $bad = 0;

sub slurp { local $/; open my $f, '<', $_[0] or die "$_[0]: $!\n"; return scalar <$f> }
sub fail { print "test_docs: @_\n"; $bad++ }

# The first comment of an example says what it is; the document does so in its own words.
sub same_code {
    my ($doc, $text, $file) = @_;
    (my $code = slurp("$top/examples/$file")) =~ s{\A/\*.*?\*/\n}{}s;
    my $shown = join "\n", $text =~ /^```c\n(.*?)^```$/msg;
    return if $shown eq $code;
    fail("$doc: its C is not that of examples/$file");
    open my $f, '>', 'shown.c' or die; print $f $shown; close $f;
    open $f, '>', 'code.c' or die; print $f $code; close $f;
    system('diff', '-u', 'code.c', 'shown.c');
}

sub near {
    my ($x, $y) = @_;
    return abs($x - $y) <= 0.05 * abs($x) + 1e-9;
}

sub same_output {
    my ($x, $y) = @_;
    my @x = $x =~ /$number/g;
    my @y = $y =~ /$number/g;
    s/$number/0/g for $x, $y;
    return $x eq $y && !grep { !near($x[$_], $y[$_]) } 0 .. $#x;
}

# A console block, run: its commands with what they print.
sub run {
    my ($doc, $block) = @_;
    my $new = '';
    for my $command ($block =~ /^\$ (.*)$/mg) {
        my $output = `($command) 2>&1`;
        fail("$doc: $command: exit status " . ($? >> 8)) if $?;
        $new .= "\$ $command\n$output";
    }
    return $new;
}

for my $doc (sort keys %example) {
    my $text = slurp("$top/$doc");
    my $blocks = 0;
    same_code($doc, $text, $example{$doc});
    (my $new = $text) =~ s{^```console\n(.*?)^```$}{
        my ($old, $now) = ($1, run($doc, $1));
        $blocks++;
        fail("$doc: a command prints\n$now\nand not\n$old") unless $ENV{UPDATE} || same_output($old, $now);
        "```console\n$now```"}gmse;
    fail("$doc: runs nothing") unless $blocks;
    next if !$ENV{UPDATE} || $new eq $text;
    open my $f, '>', "$top/$doc" or die "$doc: $!\n";
    print $f $new;
    close $f or die "$doc: $!\n";
}
exit($bad ? 1 : 0);
PERL
perl check.pl "$top"
