# Dtypes, shapes, tensors, file formats.

libwg_la_SOURCES += \
    src/tensor/dtype.c \
    src/tensor/number.c \
    src/tensor/poly.c \
    src/tensor/safetensors.c \
    src/tensor/safetensors.h \
    src/tensor/safetensors_job.h \
    src/tensor/safetensors_write.c \
    src/tensor/shape.c \
    src/tensor/symbol.c \
    src/tensor/symbol.h \
    src/tensor/symbol_text.c \
    src/tensor/tensor.c \
    src/tensor/tensor.h
