# wengert.m4: the macros of our configure.ac.

# WG_OPTION(NAME, DEFAULT, HELP): --enable-NAME or --disable-NAME, as $enable_NAME = yes or no.
AC_DEFUN([WG_OPTION], [
AC_ARG_ENABLE([$1],
    [AS_HELP_STRING(m4_if([$2], [yes], [--disable-$1], [--enable-$1]), [$3])],
    [AS_CASE([$enableval], [yes|no], [], [AC_MSG_ERROR([--enable-$1 takes yes or no])])],
    [enable_$1=$2])
])

# WG_MISSING(PACKAGE): note a Debian package that is not there.
AC_DEFUN([WG_MISSING], [
AS_CASE([" $wg_missing "], [*" $1 "*], [], [wg_missing="${wg_missing:+$wg_missing }$1"])
])

# WG_STOP_IF_MISSING: name everything noted, in one error.
AC_DEFUN([WG_STOP_IF_MISSING], [
AS_IF([test -n "$wg_missing"], [AC_MSG_ERROR([missing packages: $wg_missing
    On Debian and its relatives:
        sudo apt-get install $wg_missing])])
])

# WG_MODULE(VARIABLE, PKG-CONFIG MODULES, PACKAGE): VARIABLE_CFLAGS and VARIABLE_LIBS.
AC_DEFUN([WG_MODULE], [
PKG_CHECK_MODULES([$1], [$2], [], [WG_MISSING([$3])])
])

# WG_LIBRARY(VARIABLE, FUNCTION, LIBRARY, HEADER, PACKAGE): VARIABLE_LIBS, for what pkg-config does
# not know.
AC_DEFUN([WG_LIBRARY], [
AC_CHECK_HEADER([$4],
    [AC_CHECK_LIB([$3], [$2], [$1_LIBS=-l$3], [WG_MISSING([$5])])], [WG_MISSING([$5])])
AC_SUBST([$1_LIBS])
])

# WG_TOOL(PROGRAM, PACKAGE, PRODUCT): a generator, not needed where its product is in the tarball.
AC_DEFUN([WG_TOOL], [
AC_CHECK_PROG([wg_have_$1], [$1], [yes], [no])
AS_IF([test "$wg_have_$1" = no && test ! -f "$srcdir/$3"], [WG_MISSING([$2])])
])

# WG_PROBE_CFLAGS(VARIABLE, FLAGS): append those flags that the compiler takes without a word.
AC_DEFUN([WG_PROBE_CFLAGS], [
for wg_flag in m4_normalize([$2]); do
    AC_MSG_CHECKING([whether $CC takes $wg_flag])
    wg_saved=$CFLAGS
    CFLAGS="$CFLAGS -Werror $wg_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
        [AC_MSG_RESULT([yes]); $1="${$1:+$$1 }$wg_flag"],
        [AC_MSG_RESULT([no])])
    CFLAGS=$wg_saved
done
])

# WG_PROBE_LDFLAGS(VARIABLE, FLAGS): the same for the linker.
AC_DEFUN([WG_PROBE_LDFLAGS], [
for wg_flag in m4_normalize([$2]); do
    AC_MSG_CHECKING([whether the linker takes $wg_flag])
    wg_saved=$LDFLAGS
    LDFLAGS="$LDFLAGS $wg_flag"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
        [AC_MSG_RESULT([yes]); $1="${$1:+$$1 }$wg_flag"],
        [AC_MSG_RESULT([no])])
    LDFLAGS=$wg_saved
done
])

# WG_NEED_FLAGS(FLAGS): flags asked for by an option, for compiler and linker; an error without.
AC_DEFUN([WG_NEED_FLAGS], [
AC_MSG_CHECKING([whether $CC builds with $1])
wg_saved=$CFLAGS
CFLAGS="$CFLAGS $1"
AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes])], [AC_MSG_ERROR([$CC cannot build with $1])])
CFLAGS=$wg_saved
WG_CFLAGS="${WG_CFLAGS:+$WG_CFLAGS }$1"
WG_LDFLAGS="${WG_LDFLAGS:+$WG_LDFLAGS }$1"
])
