# Programs, plans, sessions, states and the executors.

libwg_la_SOURCES += \
    src/exec/arena.c \
    src/exec/cache.c \
    src/exec/code.c \
    src/exec/error.c \
    src/exec/exec.h \
    src/exec/explain.c \
    src/exec/fit.c \
    src/exec/identity.c \
    src/exec/init.c \
    src/exec/kernel.c \
    src/exec/look.c \
    src/exec/place.c \
    src/exec/plan.c \
    src/exec/ports.c \
    src/exec/profile.c \
    src/exec/program.c \
    src/exec/reference.c \
    src/exec/reference.h \
    src/exec/session.c \
    src/exec/state.c \
    src/exec/value.c
