# setup.sh: what tools/quickstart, tools/selftest and .ci/run share. Sourced, with $top set to the
# root of the source tree; leaves the shell there. POSIX sh.

# What a build needs, by Debian name.
wg_packages='gcc libc6-dev make perl autoconf automake libtool pkg-config bison flex check
    graphviz libgraphviz-dev libjansson-dev zlib1g-dev libsleef-dev libdnnl-dev libopenblas-dev'

say() { printf '\n==> %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# need_packages NAME...: install through apt-get whatever is not there.
need_packages() {
    wg_need=
    for wg_name in "$@"; do
        case $(dpkg-query -W -f='${Status}' "$wg_name" 2>/dev/null) in
        *' installed') ;;
        *) wg_need="$wg_need $wg_name" ;;
        esac
    done
    test -n "$wg_need" || return 0
    wg_need=${wg_need# }

    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
        die "no apt-get here. Install what these Debian packages hold, then see README.md to build by hand:
    $wg_need"
    wg_root=
    if test "$(id -u)" != 0; then
        command -v sudo >/dev/null || die "as root, run: apt-get install $wg_need"
        wg_root=sudo
    fi
    say "installing $wg_need"
    $wg_root env DEBIAN_FRONTEND=noninteractive apt-get update -q ||
        echo "the package lists could not be refreshed; trying with those that are here" >&2
    $wg_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $wg_need </dev/null ||
        die "apt-get could not install: $wg_need"
}

# configure_tree DIR [FLAG...]: a build tree in DIR, configured with these flags. Done once; again
# only for other flags or when the source has moved (make itself notices changed build files).
# Without flags any configuration will do.
configure_tree() {
    wg_dir=$1
    shift
    wg_where=$(sed -n 1p "$wg_dir/configured" 2>/dev/null)
    wg_flags=$(sed -n 2p "$wg_dir/configured" 2>/dev/null)
    if test "$wg_where" = "$PWD" && test -f "$wg_dir/Makefile"; then
        if test $# = 0 || test "$wg_flags" = "$*"; then return 0; fi
    fi
    if test ! -f Makefile.in || test ! -f build-aux/ltmain.sh || test ! -x configure ||
        test -n "$(find configure.ac Makefile.am m4/wengert.m4 ./*/local.mk src/*/local.mk -newer configure)"; then
        say "autoreconf"
        autoreconf -fi || die "autoreconf failed"
    fi
    say "configure in $wg_dir${*:+: $*}"
    rm -rf "$wg_dir"
    mkdir -p "$wg_dir"
    (cd "$wg_dir" && "$top/configure" -q "$@") || die "configure failed"
    printf '%s\n%s\n' "$PWD" "$*" >"$wg_dir/configured"
}

# build_tree DIR [TARGET...]
build_tree() {
    wg_dir=$1
    shift
    make -C "$wg_dir" --no-print-directory -j"$(nproc 2>/dev/null || echo 2)" "$@"
}

cd "$top" || exit 1
