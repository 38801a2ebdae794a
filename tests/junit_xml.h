// junit_xml: reads a JUnit report of ours as strictly as XML 1.0 and the readers of Jenkins and Surefire do, and says
// what is wrong with it; for tests of reports. It shares nothing with what writes them. The same elements and
// attributes as a schema: tests/junit.xsd.
#ifndef HALLMARK_TESTS_JUNIT_XML_H
#define HALLMARK_TESTS_JUNIT_XML_H

#include "formats/utf8.h"
#include "suite.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { JUNIT_DEPTH = 8 };

typedef struct {
    const char *what;                       // for messages
    char open[JUNIT_DEPTH][16];             // elements that are open
    int  depth;
    int  tests, failures, errors, skipped, suites;              // found so far
    int  said_tests, said_failures, said_errors;                // by <testsuites>
    int  suite_said[4], suite_found[4];     // of the suite that is open: tests, failures, errors, skipped
    int  n_results;                         // of the case that is open
    char *skeleton;                         // if not NULL: the document without its texts and values is put there
} junit_doc;

typedef struct { const char *name, *inside, *must[6], *may[4]; } junit_element;

static const junit_element JUNIT_ELEMENTS[] = {
    { "testsuites", "",           { "name", "tests", "failures", "errors" }, { NULL } },
    { "testsuite",  "testsuites", { "name", "tests", "failures", "errors", "skipped" }, { "time" } },
    { "properties", "testsuite",  { NULL }, { NULL } },
    { "property",   "properties", { "name", "value" }, { NULL } },
    { "testcase",   "testsuite",  { "name", "classname", "time" }, { NULL } },
    { "failure",    "testcase",   { "type", "message" }, { NULL } },
    { "error",      "testcase",   { "type", "message" }, { NULL } },
    { "skipped",    "testcase",   { "message" }, { NULL } },
    { "system-out", "testcase",   { NULL }, { NULL } },
};

// Characters that XML 1.0 has, and of '&' the five entities alone.
static inline void junit_characters(const junit_doc *d, const char *s, size_t n)
{
    static const char *const known[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };
    for (size_t i = 0; i < n;) {
        const uint8_t *p = (const uint8_t *)s + i;
        const int len = utf8_len(p, (int64_t)(n - i));
        if (len == 0) ck_abort_msg("%s: byte 0x%02x is no UTF-8", d->what, p[0]);
        if (len == 1 && p[0] < 0x20 && p[0] != '\n') ck_abort_msg("%s: U+%04X in XML", d->what, p[0]);
        if (len == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe) ck_abort_msg("%s: U+FFF%X", d->what, p[2] & 0xf);
        bool ok = s[i] != '&' && s[i] != '<' && s[i] != '>';
        for (size_t k = 0; k < 5 && !ok; k++) ok = strncmp(s + i, known[k], strlen(known[k])) == 0;
        if (!ok) ck_abort_msg("%s: as it stands: %.40s", d->what, s + i);
        i += (size_t)len;
    }
}

static inline bool junit_is_one_of(const char *const *names, int most, const char *s, size_t n)
{
    for (int i = 0; i < most && names[i]; i++)
        if (strlen(names[i]) == n && strncmp(names[i], s, n) == 0) return true;
    return false;
}

static inline int junit_count(const junit_doc *d, const char *attributes, size_t n, const char *name)
{
    char text[64], *end;
    const char *at = NULL;
    snprintf(text, sizeof text, " %s=\"", name);
    for (const char *s = attributes; s < attributes + n && !at; s++)
        if (strncmp(s, text, strlen(text)) == 0) at = s + strlen(text);
    if (!at) return -1;
    const long v = strtol(at, &end, 10);
    ck_assert_msg(*end == '"' && v >= 0, "%s: %s is no count: %.20s", d->what, name, at);
    return (int)v;
}

// s behind the element's name; returns where its attributes end.
static inline const char *junit_attributes(const junit_doc *d, const junit_element *x, const char *s)
{
    int must = 0, asked = 0;
    while (asked < 6 && x->must[asked]) asked++;
    while (*s == ' ') {
        const char  *name = s + 1;
        const size_t n_name = strcspn(name, "=<> \"");
        ck_assert_msg(strncmp(name + n_name, "=\"", 2) == 0, "%s: an attribute: %.40s", d->what, name);
        const bool needed = junit_is_one_of(x->must, 6, name, n_name);
        ck_assert_msg(needed || junit_is_one_of(x->may, 4, name, n_name), "%s: attribute %.*s of %s", d->what,
                      (int)n_name, name, x->name);
        must += needed;
        const char  *value = name + n_name + 2;
        const size_t n = strcspn(value, "\"");
        junit_characters(d, value, n);
        ck_assert_msg(!memchr(value, '\n', n), "%s: a line's end in an attribute", d->what);
        if (n_name == 4 && strncmp(name, "time", 4) == 0) ck_assert_msg(n == 1 && *value == '0', "%s: a time", d->what);
        s = value + n + 1;
    }
    ck_assert_msg(must == asked, "%s: %s has %d of %d attributes that it must have", d->what, x->name, must, asked);
    return s;
}

static inline void junit_take(junit_doc *d, const char *name, const char *attributes, size_t n)
{
    static const char *const counts[4] = { "tests", "failures", "errors", "skipped" };
    if (strcmp(name, "testsuites") == 0) {
        d->said_tests    = junit_count(d, attributes, n, "tests");
        d->said_failures = junit_count(d, attributes, n, "failures");
        d->said_errors   = junit_count(d, attributes, n, "errors");
    }
    if (strcmp(name, "testsuite") == 0) {
        d->suites++;
        memset(d->suite_found, 0, sizeof d->suite_found);
        for (int i = 0; i < 4; i++) d->suite_said[i] = junit_count(d, attributes, n, counts[i]);
    }
    static const char *const counted[4] = { "testcase", "failure", "error", "skipped" };
    int found = -1;
    for (int i = 0; i < 4; i++)
        if (strcmp(name, counted[i]) == 0) found = i;
    if (found == 0) d->n_results = 0;
    if (found > 0) d->n_results++;
    if (found >= 0) d->suite_found[found]++;
    ck_assert_msg(d->n_results <= 1, "%s: a case of several results: readers take the first", d->what);
}

static inline void junit_close(junit_doc *d, const char *name)
{
    ck_assert_msg(d->depth > 0 && strcmp(d->open[d->depth - 1], name) == 0, "%s: </%s> closes %s", d->what, name,
                  d->depth > 0 ? d->open[d->depth - 1] : "nothing");
    d->depth--;
    if (strcmp(name, "testsuite") != 0) return;
    for (int i = 0; i < 4; i++)
        ck_assert_msg(d->suite_said[i] == d->suite_found[i], "%s: count %d of a suite: says %d, has %d", d->what, i,
                      d->suite_said[i], d->suite_found[i]);
    d->tests    += d->suite_found[0];
    d->failures += d->suite_found[1];
    d->errors   += d->suite_found[2];
    d->skipped  += d->suite_found[3];
}

static inline const junit_element *junit_element_of(const junit_doc *d, const char *name)
{
    for (size_t i = 0; i < sizeof JUNIT_ELEMENTS / sizeof *JUNIT_ELEMENTS; i++)
        if (strcmp(JUNIT_ELEMENTS[i].name, name) == 0) return &JUNIT_ELEMENTS[i];
    ck_abort_msg("%s: element %s", d->what, name);
    return NULL;
}

// One tag, s behind its '<'; returns what follows its '>'.
static inline const char *junit_tag(junit_doc *d, const char *s)
{
    char name[16];
    const bool closing = *s == '/';
    s += closing;
    const size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz-");
    ck_assert_msg(n > 0 && n < sizeof name, "%s: no tag: %.40s", d->what, s);
    snprintf(name, sizeof name, "%.*s", (int)n, s);
    const junit_element *x = junit_element_of(d, name);
    s += n;
    if (closing) {
        junit_close(d, name);
        ck_assert_msg(*s == '>', "%s: a tag's end: %.20s", d->what, s);
        return s + 1;
    }
    const char *parent = d->depth > 0 ? d->open[d->depth - 1] : "";
    ck_assert_msg(strcmp(parent, x->inside) == 0, "%s: %s stands in '%s'", d->what, name, parent);
    const char *from = s;
    s = junit_attributes(d, x, s);
    junit_take(d, name, from, (size_t)(s - from));
    const bool empty = *s == '/';
    ck_assert_msg(s[empty] == '>', "%s: a tag's end: %.40s", d->what, s);
    snprintf(d->open[d->depth++], 16, "%s", name);
    if (empty) junit_close(d, name);
    return s + empty + 1;
}

// A tag without its values.
static inline char *junit_skeleton_of(char *w, const char *from, const char *to)
{
    bool value = false;
    for (; from < to; from++) {
        if (*from == '"') value = !value;
        if (!value) *w++ = *from;
    }
    return w;
}

// The whole document. d: zeros, but for `what` and `skeleton`, which has room for it.
static inline void junit_read(junit_doc *d, const char *s)
{
    static const char DECLARATION[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    char *w = d->skeleton;
    ck_assert_msg(strncmp(s, DECLARATION, sizeof DECLARATION - 1) == 0, "%s: no declaration", d->what);
    for (s += sizeof DECLARATION - 1; *s;) {
        const char *from = s;
        const bool tag = *s == '<';
        if (tag) s = junit_tag(d, s + 1);
        else s += strcspn(s, "<");
        if (!tag) junit_characters(d, from, (size_t)(s - from));
        if (w && tag) w = junit_skeleton_of(w, from, s);
    }
    if (w) *w = '\0';
    ck_assert_msg(d->depth == 0, "%s: %s is left open", d->what, d->depth > 0 ? d->open[d->depth - 1] : "");
    ck_assert_msg(d->said_tests == d->tests && d->said_failures == d->failures && d->said_errors == d->errors,
                  "%s: <testsuites> says %d, %d, %d; there are %d, %d, %d", d->what, d->said_tests, d->said_failures,
                  d->said_errors, d->tests, d->failures, d->errors);
}

#endif
