# The .wg printer and parser. Bison and flex write grammar.c, grammar.h and lex.c.

libwg_la_SOURCES += \
    src/text/ast.c \
    src/text/ast.h \
    src/text/evaluate.c \
    src/text/grammar.y \
    src/text/lex.l \
    src/text/parse.c \
    src/text/print.c \
    src/text/print.h \
    src/text/replay.c \
    src/text/replay.h \
    src/text/spell.c \
    src/text/values.c

# bison -y warns of whatever plain yacc lacks; we write for bison.
AM_YFLAGS = -d -Wno-yacc
# the name that automake expects, whatever prefix lex.l asks for
AM_LFLAGS = -olex.yy.c
BUILT_SOURCES += src/text/grammar.h
MAINTAINERCLEANFILES += src/text/grammar.c src/text/grammar.h src/text/lex.c
