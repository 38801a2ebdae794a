// page: reads an HTML page of ours as strictly as XML and says what is wrong with it; for tests of reports. It shares
// nothing with what writes them.
#ifndef HALLMARK_TESTS_PAGE_H
#define HALLMARK_TESTS_PAGE_H

#include "suite.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PAGE_DEPTH = 32, PAGE_IDS = 4096 };

typedef struct {
    const char *what;               // for messages
    char  open[PAGE_DEPTH][16];     // elements that are open
    int   depth;
    char  id[PAGE_IDS][12], named[PAGE_IDS][12];    // ids there are; ids that attributes name
    int   n_ids, n_named;
    int   heading;                  // level of the last one
    int   n_plots, n_tables, n_h1, n_marks;
    char *skeleton;                 // if not NULL: the page without its texts is put there
    char  text[64];                 // how the text before the last tag begins
} page;

static inline bool page_inside(const page *p, const char *name)
{
    for (int i = 0; i < p->depth; i++)
        if (strcmp(p->open[i], name) == 0) return true;
    return false;
}

static inline void page_named(page *p, const char *value, size_t n)
{
    char ids[64], *rest = NULL;
    snprintf(ids, sizeof ids, "%.*s", (int)n, value);
    for (char *id = strtok_r(ids, " ", &rest); id; id = strtok_r(NULL, " ", &rest)) {
        ck_assert_int_lt(p->n_named, PAGE_IDS);
        snprintf(p->named[p->n_named++], 12, "%.11s", id);
    }
}

static inline void page_attribute(page *p, const char *element, const char *name, size_t n_name, const char *value,
                                  size_t n)
{
    static const char *const allowed[] = {
        "lang", "charset", "name", "content", "http-equiv", "class", "role", "aria-label", "aria-labelledby",
        "aria-describedby", "aria-hidden", "tabindex", "scope", "id", "width", "height", "viewBox", "overflow", "dir",
        "d", "x", "y", "x1", "x2", "y1", "y2" };
    bool ok = false;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0] && !ok; i++)
        ok = strlen(allowed[i]) == n_name && strncmp(allowed[i], name, n_name) == 0;
    ck_assert_msg(ok, "%s: attribute %.*s of %s", p->what, (int)n_name, name, element);
    const bool plain = !memchr(value, '<', n) && !memchr(value, '&', n);
    ck_assert_msg(plain, "%s: in an attribute: %.*s", p->what, (int)n, value);
    if (n_name <= 2 && name[0] != 'd' && name[0] != 'i') {      // a coordinate: a number, in percent or not
        ck_assert_msg(n > 0 && strspn(value, "-0123456789.") + (value[n - 1] == '%') == n, "%s: %.*s=%.*s", p->what,
                      (int)n_name, name, (int)n, value);
    }
    if (n_name == 2 && strncmp(name, "id", 2) == 0) {
        ck_assert_int_lt(p->n_ids, PAGE_IDS);
        snprintf(p->id[p->n_ids++], 12, "%.*s", (int)n, value);
    }
    if (n_name == 15 && strncmp(name, "aria-labelledby", 15) == 0) page_named(p, value, n);
    if (n_name == 16 && strncmp(name, "aria-describedby", 16) == 0) page_named(p, value, n);
}

static inline void page_element(page *p, const char *name, const char *attributes, size_t n)
{
    if (name[0] == 'h' && name[1] >= '1' && name[1] <= '6') {
        const int level = name[1] - '0';
        ck_assert_msg(level <= p->heading + 1, "%s: h%d after h%d", p->what, level, p->heading);
        p->heading = level;
        p->n_h1 += level == 1;
    }
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)n, attributes);
    const bool outer = strcmp(name, "svg") == 0 && !page_inside(p, "svg");
    const bool plot = outer && strstr(text, "role=\"img\"");
    if (outer) ck_assert_msg(plot || strstr(text, "aria-hidden"), "%s: a plot of no role", p->what);
    if (plot) ck_assert_msg(strstr(text, "aria-labelledby=\""), "%s: a plot that is called nothing", p->what);
    if (plot) ck_assert_msg(strstr(text, "aria-describedby=\""), "%s: a plot that is not described", p->what);
    p->n_plots += plot;
    p->n_tables += strcmp(name, "table") == 0;
    p->n_marks += strcmp(name, "mark") == 0;
    if (strcmp(name, "th") == 0) ck_assert_msg(strstr(text, "scope=\""), "%s: a th of no scope", p->what);
    if (strcmp(name, "html") == 0) ck_assert_msg(strstr(text, "lang=\"en\""), "%s: no language", p->what);
}

// One tag, s behind its '<'; returns what follows its '>'.
static inline const char *page_tag(page *p, const char *s)
{
    static const char *const allowed[] = {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "h4", "p", "b", "dl",
        "dt", "dd", "code", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "br", "small", "span",
        "bdi", "mark", "ol", "ul", "li", "details", "summary", "figure", "figcaption", "svg", "desc", "g", "path",
        "line", "rect", "text" };
    char   name[16];
    bool   closing = *s == '/', ok = false;
    s += closing;
    const size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
    ck_assert_msg(n > 0 && n < sizeof name, "%s: no tag: %.40s", p->what, s);
    snprintf(name, sizeof name, "%.*s", (int)n, s);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0] && !ok; i++) ok = strcmp(allowed[i], name) == 0;
    ck_assert_msg(ok, "%s: element %s", p->what, name);
    s += n;
    const char *from = s;
    while (*s == ' ') {
        const char  *a = s + 1;
        const size_t n_name = strcspn(a, "=<> \"");
        ck_assert_msg(strncmp(a + n_name, "=\"", 2) == 0, "%s: an attribute: %.40s", p->what, a);
        const char  *value = a + n_name + 2;
        const size_t n_value = strcspn(value, "\"");
        page_attribute(p, name, a, n_name, value, n_value);
        s = value + n_value + 1;
    }
    const bool empty = *s == '/', is_void = strcmp(name, "meta") == 0 || strcmp(name, "br") == 0;
    ck_assert_msg(s[empty] == '>', "%s: a tag's end: %.40s", p->what, s);
    if (closing) {
        ck_assert_msg(p->depth > 0 && strcmp(p->open[p->depth - 1], name) == 0, "%s: </%s> closes %s", p->what, name,
                      p->depth > 0 ? p->open[p->depth - 1] : "nothing");
        p->depth--;
    } else page_element(p, name, from, (size_t)(s - from));
    if (!closing && !empty && !is_void) {
        ck_assert_int_lt(p->depth, PAGE_DEPTH);
        snprintf(p->open[p->depth++], 16, "%s", name);
    }
    return s + empty + 1;
}

static inline const char *page_text(const page *p, const char *s)
{
    static const char *const known[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };
    const bool style = p->depth > 0 && strcmp(p->open[p->depth - 1], "style") == 0;
    for (; *s && *s != '<'; s++) {
        ck_assert_msg(*s != '>' || style, "%s: a bare >: %.40s", p->what, s);
        bool ok = *s != '&';
        for (size_t i = 0; i < 5 && !ok; i++) ok = strncmp(s, known[i], strlen(known[i])) == 0;
        ck_assert_msg(ok, "%s: a bare &: %.40s", p->what, s);
    }
    return s;
}

// The whole page. p: zeros, but for `what` and `skeleton`, which has room for the page.
static inline void page_read(page *p, const char *s)
{
    static const char DOCTYPE[] = "<!DOCTYPE html>\n";
    char *w = p->skeleton;
    ck_assert_msg(strncmp(s, DOCTYPE, sizeof DOCTYPE - 1) == 0, "%s: no doctype", p->what);
    for (s += sizeof DOCTYPE - 1; *s;) {
        const char *from = s;
        s = *s == '<' ? page_tag(p, s + 1) : page_text(p, s);
        if (!w || *from != '<') continue;
        memcpy(w, from, (size_t)(s - from));
        w += s - from;
    }
    if (w) *w = '\0';
    ck_assert_msg(p->depth == 0, "%s: %s is left open", p->what, p->depth > 0 ? p->open[p->depth - 1] : "");
    ck_assert_msg(p->n_h1 == 1, "%s: %d h1", p->what, p->n_h1);
    for (int i = 0; i < p->n_ids; i++)
        for (int k = 0; k < i; k++)
            ck_assert_msg(strcmp(p->id[i], p->id[k]) != 0, "%s: id %s twice", p->what, p->id[i]);
    for (int i = 0; i < p->n_named; i++) {
        bool there = false;
        for (int k = 0; k < p->n_ids && !there; k++) there = strcmp(p->named[i], p->id[k]) == 0;
        ck_assert_msg(there, "%s: no element has the id %s", p->what, p->named[i]);
    }
}

#endif
