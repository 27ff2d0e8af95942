# Values, nodes, types, attributes, scopes, sub-tapes, the registry, the verifier.

libwg_la_SOURCES += \
    src/tape/attrs.c \
    src/tape/contract.c \
    src/tape/control.c \
    src/tape/control.h \
    src/tape/copy.c \
    src/tape/equal.c \
    src/tape/fn.c \
    src/tape/infer.c \
    src/tape/infer.h \
    src/tape/init_kinds.c \
    src/tape/init_kinds.h \
    src/tape/inline.c \
    src/tape/loops.c \
    src/tape/nest.c \
    src/tape/nest.h \
    src/tape/op.h \
    src/tape/record.c \
    src/tape/registry.c \
    src/tape/registry.h \
    src/tape/resize.c \
    src/tape/rule.c \
    src/tape/rule.h \
    src/tape/scope.c \
    src/tape/sig.c \
    src/tape/source.c \
    src/tape/tape.c \
    src/tape/tape.h \
    src/tape/var.c \
    src/tape/verify.c \
    src/tape/wrappers.c
