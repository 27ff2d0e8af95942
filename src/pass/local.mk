# One pass per file, and the table of them all.

libwg_la_SOURCES += \
    src/pass/algebra.c \
    src/pass/algebra.h \
    src/pass/algebra_arith.c \
    src/pass/algebra_choice.c \
    src/pass/algebra_shape.c \
    src/pass/canon.c \
    src/pass/cluster.c \
    src/pass/cluster.h \
    src/pass/cluster_text.c \
    src/pass/cse.c \
    src/pass/dce.c \
    src/pass/epilogue.c \
    src/pass/expand.c \
    src/pass/finite.c \
    src/pass/fold.c \
    src/pass/fuse.c \
    src/pass/fuse.h \
    src/pass/hoist.c \
    src/pass/horizontal.c \
    src/pass/layout.c \
    src/pass/layout.h \
    src/pass/lower.c \
    src/pass/order.c \
    src/pass/pass.h \
    src/pass/pipeline.c \
    src/pass/roles.c \
    src/pass/sink.c \
    src/pass/unify.c
