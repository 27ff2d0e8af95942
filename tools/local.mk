# The tool, one cmd_*.c per verb, and the scripts.

bin_PROGRAMS += wengert
wengert_SOURCES = \
    tools/cli.c \
    tools/cli.h \
    tools/cli_graph.c \
    tools/cli_run.c \
    tools/cmd_check.c \
    tools/cmd_dot.c \
    tools/cmd_explain.c \
    tools/cmd_ops.c \
    tools/cmd_print.c \
    tools/main.c
wengert_LDADD = libwengert-draw.la libwengert.la $(ARGP_LIBS) $(LIBM)

EXTRA_DIST += \
    tools/quickstart \
    tools/selftest \
    tools/dev/check-format \
    tools/dev/check-install \
    tools/dev/coverage \
    tools/dev/setup.sh
