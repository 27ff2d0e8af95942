# The gradient checker, and the mutants that check it.

libwg_la_SOURCES += \
    src/check/check_compare.c \
    src/check/check_diff.c \
    src/check/check_eval.c \
    src/check/check_graph.c \
    src/check/check_hold.c \
    src/check/check_op.c \
    src/check/check_point.c \
    src/check/check_record.c \
    src/check/check_single.c \
    src/check/check_subject.h \
    src/check/check_watch.c \
    src/check/checking.h \
    src/check/gradcheck.c \
    src/check/mutant.c \
    src/check/mutant.h \
    src/check/mutant_kernel.c \
    src/check/mutate.c
