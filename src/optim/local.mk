# Optimisers, recorded as graph.

libwg_la_SOURCES += \
    src/optim/clip.c \
    src/optim/optim.c
