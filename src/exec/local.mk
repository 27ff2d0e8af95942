# Programs, plans, sessions, states and the executors.

libwg_la_SOURCES += \
    src/exec/arena.c \
    src/exec/error.c \
    src/exec/exec.h \
    src/exec/init.c \
    src/exec/plan.c \
    src/exec/program.c \
    src/exec/reference.c \
    src/exec/session.c \
    src/exec/state.c \
    src/exec/value.c
