# One pass per file, and the table of them all.

libwg_la_SOURCES += \
    src/pass/canon.c \
    src/pass/expand.c \
    src/pass/pass.h \
    src/pass/pipeline.c
