// check_lines: see check_lines.h.
#include "check_lines.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 5 };

// Takes both texts over.
void check_add(check_lines *l, bool proved, text_buf *what, text_buf *by)
{
    check_line *grown = realloc(l->v, ((size_t)l->n + 1) * sizeof *grown);
    check_line  x = { proved, text_take(what), text_take(by) };
    if (grown) l->v = grown;
    if (!grown || !x.what || !x.by) {
        free(x.what);
        free(x.by);
        l->failed = true;
        return;
    }
    l->v[l->n++] = x;
}

void check_lines_free(check_lines *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->v[i].what);
        free(l->v[i].by);
    }
    free(l->v);
}

void check_add_words(check_lines *l, bool proved, const char *what, const char *by)
{
    text_buf w = { 0 }, b = { 0 };
    text_words(&w, what);
    text_words(&b, by);
    check_add(l, proved, &w, &b);
}

// Text from outside as it stands: it is made safe where the line is written.
void check_put(text_buf *t, const char *s) { text_raw(t, s, strlen(s)); }

void check_put_s(text_buf *t, int n) { text_words(t, n == 1 ? "" : "s"); }

// "hallmark check PATH"
text_buf check_again(const char *path)
{
    text_buf t = { 0 };
    text_words(&t, "hallmark check ");
    text_puts(&t, TEXT_SHELL, path);
    return t;
}

// ---- lists of artifacts --------------------------------------------------------------------------------------------

int check_count(const check_proof *p, check_is is)
{
    int n = 0;
    for (int i = 0; i < p->n_artifacts; i++) n += is(&p->v[i]);
    return n;
}

// "a, b and 3 more"; n of them.
void check_put_one(text_buf *t, const char *name, int at, int n)
{
    if (at == MOST_NAMES) text_printf(t, " and %d more", n - at);
    if (at >= MOST_NAMES) return;
    if (at > 0) text_words(t, ", ");
    check_put(t, name);
}

void check_put_those(text_buf *t, const check_proof *p, check_is is)
{
    const int n = check_count(p, is);
    int at = 0;
    for (int i = 0; i < p->n_artifacts; i++)
        if (is(&p->v[i])) check_put_one(t, p->v[i].name, at++, n);
}

bool check_is_written(const check_proof *p, const char *name)
{
    for (int i = 0; i < p->written.n; i++)
        if (strcmp(p->written.v[i], name) == 0) return true;
    return false;
}
