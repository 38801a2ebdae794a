// modelfile: reads a Modelfile as Ollama's documentation and parser say it is read, for tests of those that write one;
// it shares nothing with them.
//   NAME value            names of letters; the value goes to the end of the line
//   PARAMETER name value
//   # a comment           where an instruction could begin
// A value that begins with three quotes, or one, goes on until a line ends with as many; white space around it is not
// part of it, nor are the quotes. Nothing is escaped.
#ifndef HALLMARK_TESTS_MODELFILE_H
#define HALLMARK_TESTS_MODELFILE_H

#include "suite.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MODELFILE_MOST = 64 };
typedef struct { char name[32], *value; } modelfile_line;
typedef struct { modelfile_line v[MODELFILE_MOST]; int n; } modelfile;

static inline bool modelfile_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The value of n bytes at s without quotes, malloc'd; NULL: it is not at its end yet.
static inline char *modelfile_unquoted(const char *s, size_t n)
{
    while (n > 0 && modelfile_blank(s[n - 1])) n--;
    const size_t q = n >= 3 && strncmp(s, "\"\"\"", 3) == 0 ? 3 : n >= 1 && s[0] == '"' ? 1 : 0;
    if (n < 2 * q || (q > 0 && strncmp(s + n - q, "\"\"\"", q) != 0)) return NULL;
    return strndup(s + q, n - 2 * q);
}

static inline const char *modelfile_word(char word[32], const char *s)
{
    const size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    ck_assert_msg(n > 0 && n < 32 && (s[n] == ' ' || s[n] == '\t'), "no instruction: %.60s", s);
    for (size_t i = 0; i < n; i++) word[i] = (char)tolower((unsigned char)s[i]);
    word[n] = '\0';
    return s + n;
}

static inline const char *modelfile_instruction(modelfile *m, const char *s)
{
    static const char *const KNOWN[] = { "from", "parameter", "template", "system", "adapter", "license", "message" };
    modelfile_line *l = &m->v[m->n];
    bool known = false;
    ck_assert_int_lt(m->n, MODELFILE_MOST);
    s = modelfile_word(l->name, s);
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) known |= strcmp(l->name, KNOWN[i]) == 0;
    ck_assert_msg(known, "no instruction: %s", l->name);
    if (strcmp(l->name, "parameter") == 0) s = modelfile_word(l->name, s + strspn(s, " \t"));
    s += strspn(s, " \t");
    const char *end = s;
    do {
        end += *end == '\n';
        end += strcspn(end, "\n");
        l->value = modelfile_unquoted(s, (size_t)(end - s));
    } while (!l->value && *end);
    ck_assert_msg(l->value != NULL, "a value that does not end: %.60s", s);
    m->n++;
    return end;
}

static inline void modelfile_read(modelfile *m, const char *s)
{
    m->n = 0;
    while (*s)
        if (modelfile_blank(*s)) s++;
        else if (*s == '#')      s += strcspn(s, "\n");
        else                     s = modelfile_instruction(m, s);
    ck_assert_msg(m->n > 0 && strcmp(m->v[0].name, "from") == 0, "no FROM first");
}

// The i-th value of that name; NULL: there are fewer.
static inline const char *modelfile_get(const modelfile *m, const char *name, int i)
{
    for (int k = 0; k < m->n; k++)
        if (strcmp(m->v[k].name, name) == 0 && i-- == 0) return m->v[k].value;
    return NULL;
}

static inline void modelfile_free(modelfile *m)
{
    for (int i = 0; i < m->n; i++) free(m->v[i].value);
    m->n = 0;
}

#endif
