/* The grammar of the .wg language (docs/language.md). Actions only build the tree of ast.h. The end
 * of a line ends a statement, as ';' does; between ( ) and [ ] lines may be broken. Infix operators
 * stand in dimensions alone so far: `dim` is where the expressions of the full language will come
 * from. */
%code requires {
#include "text/ast.h"
}
%define api.pure full
%define api.prefix {wg__yy}
%define api.token.prefix {WG__T_}
%define api.location.type {wg__loc}
%define parse.error custom
%define lr.type canonical-lr
%locations
%param {wg__parser *p}

%union {
    wg__loc loc;
    wg__ast *expr;
    struct { wg__ast *first, *last; } exprs;
    wg__target *target;
    struct { wg__target *first, *last; } targets;
    wg__stmt *stmt;
    struct { wg__stmt *first, *last; } stmts;
}

%code {
#include <string.h>

/* The parser's stack grows in the arena, up to a depth that no written graph reaches. */
#define YYMALLOC(size) make(p, (size))
#define YYFREE(ptr) ((void)(ptr))
#define YYMAXDEPTH 10000

#define YYLLOC_DEFAULT(result, rhs, n)                                                             \
    ((result).start = (n) ? YYRHSLOC(rhs, 1).start : YYRHSLOC(rhs, 0).end,                         \
     (result).end = (n) ? YYRHSLOC(rhs, n).end : YYRHSLOC(rhs, 0).end)

static int yylex(WG__YYSTYPE *value, wg__loc *at, wg__parser *p);
static void yyerror(const wg__loc *at, wg__parser *p, const char *message);

static void *make(wg__parser *p, size_t size);
static wg__ast *leaf(wg__parser *p, wg__ast_kind kind, wg__loc at);
static wg__ast *node(wg__parser *p, wg__ast_kind kind, wg__loc at, wg__ast *args);
static wg__ast *pair(wg__parser *p, wg__ast_kind kind, wg__loc at, char op, wg__ast *a,
                      wg__ast *b);
static wg__ast *negated(wg__parser *p, wg__loc at, wg__ast *a);
static wg__target *target(wg__parser *p, wg__loc label, wg__loc name);
static wg__stmt *stmt(wg__parser *p, wg__stmt_kind kind, wg__loc at);

/* Appends an item to a list that may be empty. */
#define APPEND(list, item)                                                                         \
    ((list).last = *((list).last ? &(list).last->next : &(list).first) = (item))
#define START(list, item) ((list).first = (list).last = (item))
}

%token END 0 "end of file" NL "end of line"
%token GRAPH "'graph'" FN "'fn'" SCOPE "'scope'" INPUT "'input'" PARAM "'param'" CONST "'const'"
%token WORD "name" PATH "dotted name" VALUE "%number" FNID "@number" STRING "string"
%token INT "integer" FLOAT "number" BOOL "bool" ARROW "'->'"
%token '(' "'('" ')' "')'" '[' "'['" ']' "']'" '{' "'{'" '}' "'}'"
%token ',' "','" ';' "';'" ':' "':'" '=' "'='" '^' "'^'" '+' "'+'" '-' "'-'" '*' "'*'" '/' "'/'"

%left '+' '-'
%left '*' '/'
%precedence NEGATION

%type <loc> word gname label_name origin ref
%type <expr> expr arg call init list elements_or_one element dim number outs
%type <exprs> args args1 elements elements1 refs refs1
%type <target> label target typed
%type <targets> formals formals1 targets targets1
%type <stmt> stmt fn definition
%type <stmts> block lines

%%

file: lines0 GRAPH gname '(' formals ')' lines0 ARROW outs block lines0 {
    p->graph = stmt(p, WG__STMT_FN, @2);
    p->graph->name = $gname;
    p->graph->targets = $formals.first;
    p->graph->value = $outs;
    p->graph->body = $block.first;
};

lines0: %empty | lines0 NL;

gname: WORD { $$ = @1; } | STRING { $$ = @1; };

formals: %empty { START($$, NULL); } | formals1;
formals1: typed { START($$, $1); } | formals1 ',' typed { $$ = $1; APPEND($$, $3); };

outs: '(' refs ')' { $$ = node(p, WG__AST_LIST, @$, $2.first); }
    | ref { $$ = node(p, WG__AST_LIST, @$, leaf(p, WG__AST_WORD, @1)); };
refs: %empty { START($$, NULL); } | refs1;
refs1: ref { START($$, leaf(p, WG__AST_WORD, @1)); }
    | refs1 ',' ref { $$ = $1; APPEND($$, leaf(p, WG__AST_WORD, @3)); };
ref: WORD { $$ = @1; } | PATH { $$ = @1; } | VALUE { $$ = @1; };

block: lines0 '{' lines '}' { $$ = $3; }
    | lines0 '{' lines stmt '}' { $$ = $3; APPEND($$, $4); };
lines: %empty { START($$, NULL); }
    | lines end
    | lines stmt end { $$ = $1; APPEND($$, $2); };
end: NL | ';';

stmt: definition origin { $$ = $1; $$->origin = $2; }
    | SCOPE STRING block {
        $$ = stmt(p, WG__STMT_SCOPE, @1);
        $$->name = @2;
        $$->body = $3.first;
    }
    | fn '(' formals ')' lines0 ARROW outs block {
        $$ = $1;
        $$->targets = $formals.first;
        $$->value = $outs;
        $$->body = $block.first;
    };

fn: FN WORD { $$ = stmt(p, WG__STMT_FN, @2); $$->label = @2; }
    | FN FNID { $$ = stmt(p, WG__STMT_FN, @2); $$->label = @2; }
    | FN FNID STRING { $$ = stmt(p, WG__STMT_FN, @2); $$->label = @2; $$->name = @3; };

definition: INPUT typed { $$ = stmt(p, WG__STMT_INPUT, @2); $$->targets = $2; }
    | PARAM typed '=' init {
        $$ = stmt(p, WG__STMT_PARAM, @2);
        $$->targets = $2;
        $$->value = $4;
    }
    | CONST typed '=' elements_or_one {
        $$ = stmt(p, WG__STMT_CONST, @2);
        $$->targets = $2;
        $$->value = $4;
    }
    | target '=' expr {
        $$ = stmt(p, WG__STMT_LET, @1);
        $$->targets = $1;
        $$->value = $3;
    }
    | '(' targets ')' '=' expr {
        $$ = stmt(p, WG__STMT_LET, @1);
        $$->targets = $2.first;
        $$->value = $5;
    }
    | call { $$ = stmt(p, WG__STMT_LET, @1); $$->value = $1; };

origin: %empty { $$ = (wg__loc){0, 0}; } | '^' ref { $$ = @2; };

targets: %empty { START($$, NULL); } | targets1;
targets1: target { START($$, $1); } | targets1 ',' target { $$ = $1; APPEND($$, $3); };
target: label | typed;
typed: label ':' WORD { $$ = $1; $$->dtype = @3; }
    | label ':' WORD list { $$ = $1; $$->dtype = @3; $$->dims = $4; };
label: WORD { $$ = target(p, @1, (wg__loc){0, 0}); }
    | VALUE label_name { $$ = target(p, @1, $2); };
label_name: %empty { $$ = (wg__loc){0, 0}; } | STRING { $$ = @1; };

/* Later: infix operators, as in `dim`. */
expr: number
    | BOOL { $$ = leaf(p, WG__AST_NUMBER, @1); }
    | ref { $$ = leaf(p, WG__AST_WORD, @1); }
    | FNID { $$ = leaf(p, WG__AST_FN, @1); }
    | STRING { $$ = leaf(p, WG__AST_STRING, @1); }
    | list
    | call;
number: INT { $$ = leaf(p, WG__AST_NUMBER, @1); }
    | FLOAT { $$ = leaf(p, WG__AST_NUMBER, @1); }
    | '-' number { $$ = negated(p, @$, $2); };

call: word '(' args ')' {
    $$ = node(p, WG__AST_CALL, @$, $3.first);
    $$->callee = @1;
};
args: %empty { START($$, NULL); } | args1;
args1: arg { START($$, $1); } | args1 ',' arg { $$ = $1; APPEND($$, $3); };
arg: expr | word '=' expr { $$ = $3; $$->key = @1; };
/* An initialiser; a string takes any name. */
init: call
    | STRING '(' args ')' { $$ = node(p, WG__AST_CALL, @$, $3.first); $$->callee = @1; };
/* Ops and attributes may be called as the keywords are. */
word: WORD { $$ = @1; }
    | GRAPH { $$ = @1; }
    | FN { $$ = @1; }
    | SCOPE { $$ = @1; }
    | INPUT { $$ = @1; }
    | PARAM { $$ = @1; }
    | CONST { $$ = @1; };

elements_or_one: list
    | number { $$ = node(p, WG__AST_LIST, @$, $1); }
    | BOOL { $$ = node(p, WG__AST_LIST, @$, leaf(p, WG__AST_NUMBER, @1)); };
list: '[' elements ']' { $$ = node(p, WG__AST_LIST, @$, $2.first); };
elements: %empty { START($$, NULL); } | elements1;
elements1: element { START($$, $1); } | elements1 ',' element { $$ = $1; APPEND($$, $3); };
element: dim
    | FNID { $$ = leaf(p, WG__AST_FN, @1); }
    | dim '=' INT {
        $$ = pair(p, WG__AST_DIM, @$, '=', $1, leaf(p, WG__AST_NUMBER, @3));
    };
dim: INT { $$ = leaf(p, WG__AST_NUMBER, @1); }
    | FLOAT { $$ = leaf(p, WG__AST_NUMBER, @1); }
    | BOOL { $$ = leaf(p, WG__AST_NUMBER, @1); }
    | WORD { $$ = leaf(p, WG__AST_WORD, @1); }
    | '(' dim ')' { $$ = $2; }
    | dim '+' dim { $$ = pair(p, WG__AST_BINARY, @$, '+', $1, $3); }
    | dim '-' dim { $$ = pair(p, WG__AST_BINARY, @$, '-', $1, $3); }
    | dim '*' dim { $$ = pair(p, WG__AST_BINARY, @$, '*', $1, $3); }
    | dim '/' dim { $$ = pair(p, WG__AST_BINARY, @$, '/', $1, $3); }
    | '-' dim %prec NEGATION { $$ = negated(p, @$, $2); };

%%

static int yylex(WG__YYSTYPE *value, wg__loc *at, wg__parser *p)
{
    int token;
    (void)value;
    do {
        token = wg__scan(p);
    } while (token == WG__T_NL && p->nesting);
    if (token == '(' || (!p->nesting && (token == WG__T_GRAPH || token == WG__T_FN)))
        p->heading = token;
    if (token == '(' || token == '[')
        p->nesting++;
    else if ((token == ')' || token == ']') && p->nesting)
        p->nesting--;
    *at = token ? p->token : (wg__loc){p->size, p->size};
    return token;
}

/* ---- the tree: out of memory leaves the parser --------------------------------------------- */

enum { DEEPEST = 500 }; /* of expressions within each other */

static void *make(wg__parser *p, size_t size)
{
    void *made = wg__arena_alloc(&p->arena, size);
    if (!made)
        longjmp(p->leave, 1);
    return made;
}

static wg__ast *node(wg__parser *p, wg__ast_kind kind, wg__loc at, wg__ast *args)
{
    wg__ast *e = make(p, sizeof *e);
    e->kind = (uint8_t)kind;
    e->at = at;
    e->args = args;
    for (; args; args = args->next)
        if (args->depth >= e->depth)
            e->depth = args->depth + 1;
    if (e->depth > DEEPEST) {
        wg__complain(p, at, "nested too deeply");
        longjmp(p->leave, 1);
    }
    return e;
}

static wg__ast *leaf(wg__parser *p, wg__ast_kind kind, wg__loc at)
{
    if (kind == WG__AST_WORD && p->text[at.start] == '%')
        kind = WG__AST_VALUE;
    return node(p, kind, at, NULL);
}

static wg__ast *pair(wg__parser *p, wg__ast_kind kind, wg__loc at, char op, wg__ast *a,
                      wg__ast *b)
{
    a->next = b;
    wg__ast *e = node(p, kind, at, a);
    e->op = op;
    return e;
}

/* -12 is a number, -N an operation on one side. */
static wg__ast *negated(wg__parser *p, wg__loc at, wg__ast *a)
{
    if (a->kind == WG__AST_NUMBER && !a->negative) {
        a->negative = true;
        return a;
    }
    wg__ast *e = node(p, WG__AST_BINARY, at, a);
    e->op = '-';
    return e;
}

static wg__target *target(wg__parser *p, wg__loc label, wg__loc name)
{
    wg__target *t = make(p, sizeof *t);
    t->label = label;
    t->name = name;
    return t;
}

static wg__stmt *stmt(wg__parser *p, wg__stmt_kind kind, wg__loc at)
{
    wg__stmt *s = make(p, sizeof *s);
    s->kind = (uint8_t)kind;
    s->at = at;
    return s;
}

/* ---- errors -------------------------------------------------------------------------------- */

enum { MOST_EXPECTED = 7 };

/* What stands there, as its text where that tells more than its kind. */
static void add_found(wg__parser *p, wg__str *s, yysymbol_kind_t kind, wg__loc at)
{
    const char *name = yysymbol_name(kind);
    if (kind == YYSYMBOL_YYEOF || kind == YYSYMBOL_NL || *name == '\'')
        wg__str_addf(s, "unexpected %s", name);
    else
        wg__str_addf(s, "unexpected %s %.*s", name, WG__SHOW(p, at));
}

static int yyreport_syntax_error(const yypcontext_t *where, wg__parser *p)
{
    yysymbol_kind_t expected[MOST_EXPECTED];
    int n = yypcontext_expected_tokens(where, expected, MOST_EXPECTED);
    wg__loc at = *yypcontext_location(where);
    wg__str s = wg__str_make(p->ctx);
    add_found(p, &s, yypcontext_token(where), at);
    for (int i = 0; i < n; i++)
        wg__str_addf(&s, "%s%s", i == 0 ? ", expected " : i + 1 < n ? ", " : " or ",
                     yysymbol_name(expected[i]));
    wg__complain(p, at, "%s", wg__str_text(&s));
    wg__str_free(&s);
    return 0;
}

/* Called by the parser itself only when its stack cannot grow. */
static void yyerror(const wg__loc *at, wg__parser *p, const char *message)
{
    (void)message;
    wg__complain(p, *at, "nested too deeply");
}

/* The scanner wants two NULs behind a text that it may write to. */
static bool start(wg__parser *p)
{
    char *buffer = wg__arena_alloc(&p->arena, (size_t)p->size + 2);
    if (buffer && p->size)
        memcpy(buffer, p->text, p->size);
    return buffer && wg__scan_start(p, buffer, (size_t)p->size + 2);
}

bool wg__parse_tree(wg__parser *p)
{
    if (setjmp(p->leave) || !start(p))
        return wg__complain_memory(p);
    yyparse(p);
    return !p->status;
}
