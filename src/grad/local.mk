# Reverse sweep and forward mode.

libwg_la_SOURCES += \
    src/grad/grad.c \
    src/grad/jvp.c \
    src/grad/rule.c \
    src/grad/sweep.h \
    src/grad/vjp.c
