# Public headers. Each compiles alone, as C11 and as C++ (tools/dev/check-headers).

include_HEADERS = include/wengert.h

wengertincludedir = $(includedir)/wengert
wengertinclude_HEADERS = \
    include/wengert/check.h \
    include/wengert/control.h \
    include/wengert/ctx.h \
    include/wengert/draw.h \
    include/wengert/grad.h \
    include/wengert/op.h \
    include/wengert/ops.h \
    include/wengert/optim.h \
    include/wengert/program.h \
    include/wengert/rnn.h \
    include/wengert/tape.h \
    include/wengert/tensor.h \
    include/wengert/text.h \
    include/wengert/types.h
