# The op families, in registry order: the one list of them. A new family adds a line here;
# `make gen-ops` then brings ops/builtin.c, the typed wrappers and docs/ops.md up to date. core, call,
# scan, while, branch and custom come first: src/tape/registry.h knows their ops by index.

wg_families = \
    ops/core.c \
    ops/call.c \
    ops/scan.c \
    ops/while.c \
    ops/branch.c \
    ops/custom.c \
    ops/arith.c \
    ops/math.c \
    ops/compare.c \
    ops/prob.c \
    ops/reduce.c \
    ops/along.c \
    ops/shape.c \
    ops/slice.c \
    ops/index.c \
    ops/matmul.c \
    ops/softmax.c \
    ops/random.c \
    ops/cells.c \
    ops/replay.c

noinst_LTLIBRARIES += libwgops.la
libwgops_la_SOURCES = $(wg_families) \
    ops/batch.h \
    ops/branch.h \
    ops/builtin.c \
    ops/elementwise.h \
    ops/kernel.h \
    ops/loop.h \
    ops/loop_made.h \
    ops/loop_run.h \
    ops/pairs.c \
    ops/replay.h \
    ops/replay_run.c \
    ops/rules.h \
    ops/scan_forward.c \
    ops/scan_rules.c \
    ops/simd.h \
    ops/simd_other.h \
    ops/simd_x86.h \
    ops/subtape.h \
    ops/while.h \
    ops/while_forward.c \
    ops/while_rules.c
libwgops_la_CPPFLAGS = $(AM_CPPFLAGS) -DWG_BUILDING
libwgops_la_CFLAGS = $(AM_CFLAGS) $(WG_KERNEL_CFLAGS) $(WG_LIB_CFLAGS)

gen-ops:
	$(top_srcdir)/tools/dev/gen-ops

.PHONY: gen-ops
EXTRA_DIST += tools/dev/gen-ops
