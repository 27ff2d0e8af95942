# Reverse sweep, forward mode, gradient checker.

libwg_la_SOURCES += \
    src/grad/check.h \
    src/grad/check_compare.c \
    src/grad/check_diff.c \
    src/grad/check_eval.c \
    src/grad/check_graph.c \
    src/grad/check_hold.c \
    src/grad/check_op.c \
    src/grad/check_point.c \
    src/grad/check_record.c \
    src/grad/check_subject.h \
    src/grad/grad.c \
    src/grad/gradcheck.c \
    src/grad/jvp.c \
    src/grad/mutant.c \
    src/grad/mutant.h \
    src/grad/mutant_kernel.c \
    src/grad/mutate.c \
    src/grad/rule.c \
    src/grad/sweep.h \
    src/grad/vjp.c
