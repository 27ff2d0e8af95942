/* The syntax tree's memory, the text behind its places, and messages: the first error with file,
 * line, column, the line itself and a caret. */
#include <stdio.h>
#include <string.h>

#include "text/ast.h"

/* ---- arena --------------------------------------------------------------------------------- */

enum { CHUNK_SIZE = 1 << 16, ALIGNMENT = 16 };

struct wg__arena_chunk {
    wg__arena_chunk *older;
    size_t used, size; /* of the whole chunk, this header included */
};

static bool add_chunk(wg__arena *arena, size_t need)
{
    size_t header = (sizeof(wg__arena_chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t size = need > CHUNK_SIZE - header ? header + need : CHUNK_SIZE;
    wg__arena_chunk *chunk = wg__alloc(arena->ctx, size);
    if (!chunk)
        return false;
    *chunk = (wg__arena_chunk){arena->chunk, header, size};
    arena->chunk = chunk;
    return true;
}

void *wg__arena_alloc(wg__arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    wg__arena_chunk *c = arena->chunk;
    if (!c || c->size - c->used < size) {
        if (!add_chunk(arena, size))
            return NULL;
        c = arena->chunk;
    }
    void *memory = (char *)c + c->used;
    c->used += size;
    return memset(memory, 0, size);
}

void wg__arena_free(wg__arena *arena)
{
    while (arena->chunk) {
        wg__arena_chunk *older = arena->chunk->older;
        wg__free(arena->ctx, arena->chunk);
        arena->chunk = older;
    }
}

/* ---- text ---------------------------------------------------------------------------------- */

static bool continues(char c) /* a byte inside a UTF-8 sequence */
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

int wg__clip(const wg__parser *p, wg__loc at)
{
    enum { MOST = 60 };
    uint32_t n = at.end - at.start;
    if (n > MOST)
        for (n = MOST; n && continues(p->text[at.start + n]);)
            n--;
    return (int)n;
}

char *wg__loc_text(wg__parser *p, wg__loc at)
{
    size_t n = at.end - at.start;
    char *copy = wg__arena_alloc(&p->arena, n + 1);
    if (!copy)
        wg__complain_memory(p);
    else if (n)
        memcpy(copy, p->text + at.start, n);
    return copy;
}

bool wg__loc_is(const wg__parser *p, wg__loc at, const char *text)
{
    size_t n = strlen(text);
    return at.end - at.start == n && memcmp(p->text + at.start, text, n) == 0;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdefABCDEF", *d = c ? strchr(digits, c) : NULL;
    int i = d ? (int)(d - digits) : -1;
    return i < 16 ? i : i - 6;
}

/* The byte that the escape behind a backslash stands for, 0 when there is none; moves *at past
 * it. */
static char unescape(const char **at)
{
    static const char pairs[] = "\"\"\\\\n\nt\t";
    char c = *(*at)++;
    if (c == 'x' && hex_digit((*at)[0]) >= 0 && hex_digit((*at)[1]) >= 0) {
        int byte = hex_digit((*at)[0]) * 16 + hex_digit((*at)[1]);
        *at += 2;
        return (char)byte;
    }
    for (const char *pair = pairs; *pair; pair += 2)
        if (c == pair[0])
            return pair[1];
    return 0;
}

char *wg__loc_string(wg__parser *p, wg__loc at)
{
    char *text = wg__loc_text(p, at);
    if (!text)
        return NULL;
    char *to = text;
    const char *end = text + (at.end - at.start) - 1; /* the closing quote */
    for (const char *from = text + 1; from < end; to++) {
        wg__loc here = {at.start + (uint32_t)(from - text), at.end};
        bool escape = *from == '\\';
        from += escape;
        *to = escape ? unescape(&from) : *from++;
        if (*to)
            continue;
        wg__complain(p, here,
                     escape ? "a string knows \\\" \\\\ \\n \\t and \\x01 to \\xff"
                            : "a string cannot hold a zero byte");
        return NULL;
    }
    *to = 0;
    return text;
}

/* ---- names --------------------------------------------------------------------------------- */

static bool name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

bool wg__is_identifier(const char *text)
{
    for (size_t i = 0; text[i]; i++)
        if (!name_char(text[i], i == 0))
            return false;
    return *text != 0;
}

bool wg__is_name(const char *text)
{
    static const char *const keywords[] = {"graph", "fn",    "scope", "input", "param",  "const",
                                           "true",  "false", "inf",   "nan",   "foreign"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(text, keywords[i]) == 0)
            return false;
    return wg__is_identifier(text);
}

/* ---- messages ------------------------------------------------------------------------------ */

enum { SHOWN = 100 }; /* bytes of the line on either side of the caret */

static bool is_control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

/* Adds bytes with `instead` in place of control characters; tabs stay. */
static void add_clean(wg__str *s, const char *text, size_t n, const char *instead)
{
    for (size_t i = 0; i < n; i++)
        if (is_control(text[i]) && text[i] != '\t')
            wg__str_add(s, instead);
        else
            wg__str_addn(s, text + i, 1);
}

size_t wg__line_of(const wg__parser *p, uint32_t at)
{
    size_t line = 1;
    for (uint32_t i = 0; i < at; i++)
        line += p->text[i] == '\n';
    return line;
}

/* "file:line:column: " of byte `at`; returns where its line starts. Columns count characters. */
static uint32_t add_place(wg__str *s, const wg__parser *p, uint32_t at)
{
    uint32_t start = at, column = 1;
    while (start && p->text[start - 1] != '\n')
        start--;
    for (uint32_t i = start; i < at; i++)
        column += !continues(p->text[i]);
    wg__str_addf(s, "%s:%zu:%u: ", p->file, wg__line_of(p, at), column);
    return start;
}

/* The line and the caret below it; of a long line the part around. */
static void add_line(wg__str *s, const wg__parser *p, uint32_t start, uint32_t at)
{
    uint32_t end = at, limit = p->size - at > SHOWN ? at + SHOWN : p->size;
    while (end < limit && p->text[end] != '\n')
        end++;
    while (end > at && end < p->size && continues(p->text[end]))
        end--;
    if (end > at && p->text[end - 1] == '\r')
        end--;
    bool cut = at - start > SHOWN;
    if (cut)
        for (start = at - SHOWN; continues(p->text[start]);)
            start++;
    wg__str_add(s, cut ? "\n..." : "\n");
    add_clean(s, p->text + start, end - start, "?");
    wg__str_add(s, cut ? "\n   " : "\n");
    for (uint32_t i = start; i < at; i++)
        if (!continues(p->text[i]))
            wg__str_add(s, p->text[i] == '\t' ? "\t" : " ");
    wg__str_add(s, "^");
}

bool wg__complain(wg__parser *p, wg__loc at, const char *format, ...)
{
    if (p->status)
        return false;
    p->status = WG_PARSE;
    wg__str what = wg__str_make(p->ctx);
    va_list args;
    va_start(args, format);
    wg__str_addv(&what, format, args);
    va_end(args);
    wg__str_clear(&p->message);
    uint32_t start = add_place(&p->message, p, at.start);
    add_clean(&p->message, wg__str_text(&what), what.failed ? 0 : what.len, " ");
    add_line(&p->message, p, start, at.start);
    if (what.failed || p->message.failed)
        p->status = WG_NO_MEMORY;
    wg__str_free(&what);
    return false;
}

bool wg__complain_memory(wg__parser *p)
{
    if (!p->status) {
        p->status = WG_NO_MEMORY;
        wg__str_addf(&p->message, "%s: out of memory", p->file);
    }
    return false;
}

/* ---- did you mean -------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b, size_t c)
{
    a = a < b ? a : b;
    return a < c ? a : c;
}

/* Edit distance in which exchanging two neighbours counts one (optimal string alignment), row by
 * row; both strings are shorter than 64. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][65], *before = rows[0], *above = rows[1], *row = rows[2], n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= strlen(a); i++) {
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], row[j], before[j - 2] + 1);
        }
    }
    return row[n];
}

void wg__nearest_start(wg__nearest *n, const char *word, size_t size)
{
    n->best[0] = 0;
    n->distance = size > 1 && size < sizeof n->word ? size / 4 + 1 : 0;
    snprintf(n->word, sizeof n->word, "%.*s", n->distance ? (int)size : 0, word);
}

void wg__nearest_offer(wg__nearest *n, const char *candidate)
{
    if (!n->distance || strlen(candidate) >= sizeof n->best)
        return;
    size_t d = distance(n->word, candidate);
    if (d < n->distance || (d == n->distance && !n->best[0])) {
        n->distance = d;
        strcpy(n->best, candidate);
    }
}

const char *wg__nearest_hint(const wg__nearest *n, char *room, size_t size)
{
    room[0] = 0;
    if (n->best[0])
        snprintf(room, size, "; did you mean %s?", n->best);
    return room;
}
