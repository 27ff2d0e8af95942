# DOT through cgraph; render.c, alone in libwengert-draw, draws through gvc.

libwg_la_SOURCES += \
    src/draw/dot.c \
    src/draw/frame.c \
    src/draw/frame.h \
    src/draw/label.c \
    src/draw/picture.c \
    src/draw/picture.h \
    src/draw/style.c

libwgdraw_la_SOURCES += \
    src/draw/render.c
