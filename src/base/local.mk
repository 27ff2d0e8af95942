# Status, allocator, arena, vectors, strings, context: knows nothing above it.

libwg_la_SOURCES += \
    src/base/alloc.c \
    src/base/alloc.h \
    src/base/ctx.c \
    src/base/ctx.h \
    src/base/isa.c \
    src/base/isa.h \
    src/base/philox.h \
    src/base/pool.c \
    src/base/pool.h \
    src/base/revolve.c \
    src/base/revolve.h \
    src/base/status.c \
    src/base/str.c \
    src/base/str.h \
    src/base/team.c \
    src/base/team.h
