# Recurrent layers, recorded as scans.

libwg_la_SOURCES += \
    src/rnn/rnn.c \
    src/rnn/rnn.h \
    src/rnn/rnn_cell.c \
    src/rnn/truncate.c
