/* What the grammar makes of a .wg text: a syntax tree in an arena, whose leaves are places in the
 * text. grammar.y and lex.l build it, replay.c records it on a tape. Only src/text includes it. */
#ifndef WG_TEXT_AST_H
#define WG_TEXT_AST_H

#include <setjmp.h>
#include "base/ctx.h"
#include "base/str.h"

/* Bytes [start, end) of the text. Lines and columns are counted only for a message. */
typedef struct wg__loc {
    uint32_t start, end;
} wg__loc;

typedef enum wg__ast_kind {
    WG__AST_NUMBER, /* 12, 0.5, inf, nan(0x7fc00001), true; see `negative` */
    WG__AST_WORD,   /* name or dotted.name: a value, a dtype, a fn, a dimension symbol, `all` */
    WG__AST_VALUE,  /* %12 */
    WG__AST_FN,     /* @2 */
    WG__AST_STRING,
    WG__AST_LIST,   /* args: its elements */
    WG__AST_CALL,   /* callee, args: operands and attributes */
    WG__AST_BINARY, /* args: both sides, or the operand of -; op. In dimensions: 2*N + 1 */
    WG__AST_DIM     /* args: symbol expression, size. N=64 */
} wg__ast_kind;

typedef struct wg__ast wg__ast;
struct wg__ast {
    uint8_t kind; /* wg__ast_kind */
    bool negative;
    char op;
    uint16_t depth; /* of args below; limited, as what walks the tree recurses */
    wg__loc at;
    wg__loc callee; /* of a call */
    wg__loc key;    /* as an argument: attribute name; empty for an operand */
    wg__ast *args, *next;
};

/* label: type, at a definition. */
typedef struct wg__target wg__target;
struct wg__target {
    wg__loc label; /* name or %12 */
    wg__loc name;  /* the string after %12; empty when there is none */
    wg__loc dtype; /* empty: no type given */
    wg__ast *dims;
    wg__target *next;
};

typedef enum wg__stmt_kind {
    WG__STMT_INPUT,
    WG__STMT_PARAM,
    WG__STMT_CONST,
    WG__STMT_LET,
    WG__STMT_SCOPE,
    WG__STMT_FN
} wg__stmt_kind;

typedef struct wg__stmt wg__stmt;
struct wg__stmt {
    uint8_t kind; /* wg__stmt_kind */
    wg__loc at;
    wg__loc label;       /* fn: name or @2 */
    wg__loc name;        /* fn: the string after @2; scope: its name; graph: name or string */
    wg__loc origin;      /* ^ref; empty: none */
    wg__target *targets; /* what it defines; fn: formal inputs */
    wg__ast *value;      /* right hand side; fn: outputs */
    wg__stmt *body, *next;
};

/* Memory that is given back all at once. */
typedef struct wg__arena_chunk wg__arena_chunk;
typedef struct wg__arena {
    wg_ctx *ctx;
    wg__arena_chunk *chunk;
} wg__arena;
void *wg__arena_alloc(wg__arena *arena, size_t size); /* zeroed; NULL when memory is out */
void wg__arena_free(wg__arena *arena);

typedef struct wg__parser {
    wg_ctx *ctx;
    const char *text; /* borrowed */
    uint32_t size;
    const char *file;
    wg__arena arena;
    wg__stmt *graph; /* the result: a fn statement */
    /* the scanner */
    void *scanner;
    wg__loc token;
    uint32_t nesting; /* of ( and [, in which ends of lines do not count */
    int heading;      /* token of `graph` or `fn`, up to the ( behind its name */
    jmp_buf leave;    /* out of memory, or after a complaint */
    /* the first error */
    wg_status status;
    wg__str message;
} wg__parser;

/* Reads p->text into p->graph; false with p->status set. */
bool wg__parse_tree(wg__parser *p);

/* The scanner: `buffer` is a copy of the text with two NULs behind it, `size` counts them. */
bool wg__scan_start(wg__parser *p, char *buffer, size_t size);
/* The next token's code, its place in p->token; 0 at the end. */
int wg__scan(wg__parser *p);

/* Takes "file:line:column: what", the line and a caret as the message, unless there is one.
 * Returns false, for `return wg__complain(...)`. */
bool wg__complain(wg__parser *p, wg__loc at, const char *format, ...) WG_PRINTF(3, 4);
bool wg__complain_memory(wg__parser *p);

/* The line of byte `at`, from 1. */
size_t wg__line_of(const wg__parser *p, uint32_t at);

/* For "%.*s": the bytes of `at`, cut when they are many. */
int wg__clip(const wg__parser *p, wg__loc at);
#define WG__SHOW(p, at) wg__clip((p), (at)), (p)->text + (at).start

static inline bool wg__loc_empty(wg__loc at) { return at.start == at.end; }
/* The bytes as a NUL-terminated string in the arena. */
char *wg__loc_text(wg__parser *p, wg__loc at);
bool wg__loc_is(const wg__parser *p, wg__loc at, const char *text);
/* The string that the literal at `at` stands for, in the arena; NULL with a complaint. */
char *wg__loc_string(wg__parser *p, wg__loc at);

/* [A-Za-z_][A-Za-z0-9_]*; and such a one that is no keyword. */
bool wg__is_identifier(const char *text);
bool wg__is_name(const char *text);

/* The candidate nearest to a mistyped word, for "did you mean". */
typedef struct wg__nearest {
    char word[64];
    char best[64];
    size_t distance;
} wg__nearest;
void wg__nearest_start(wg__nearest *n, const char *word, size_t size);
void wg__nearest_offer(wg__nearest *n, const char *candidate);
/* `; did you mean "best"?`, or "". */
const char *wg__nearest_hint(const wg__nearest *n, char *room, size_t size);

#endif
