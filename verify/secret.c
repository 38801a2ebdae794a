// secret: see secret.h.
#include "secret.h"
#include "../formats/text.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// The number of n hexadecimal digits; -1: they are none.
static int hex(const char *s, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)s[i])) return -1;
        v = v * 16 + (isdigit((unsigned char)s[i]) ? s[i] - '0' : tolower((unsigned char)s[i]) - 'a' + 10);
    }
    return v;
}

// %2f, and %252f where it was encoded twice.
static size_t percent(const char *s, char c)
{
    if (*s != '%') return 0;
    for (const char *p = s + 1;; p += 2) {
        if (hex(p, 2) == (unsigned char)c) return (size_t)(p - s) + 2;
        if (strncmp(p, "25", 2) != 0) return 0;
    }
}

// The bytes of s that stand for c; 0: it begins with another character.
static size_t one(const char *s, char c)
{
    const size_t slashes = strspn(s, "\\"), encoded = percent(s, c);
    if (encoded) return encoded;
    if (slashes && s[slashes] == 'u' && hex(s + slashes + 1, 4) == (unsigned char)c) return slashes + 5;
    if (slashes && s[slashes] == 'x' && hex(s + slashes + 1, 2) == (unsigned char)c) return slashes + 3;
    if (c == '\\') return slashes;
    return s[slashes] == c ? slashes + 1 : 0;
}

static bool is_cut(const char *s) { return *s == '\0' || strncmp(s, "...", 3) == 0; }

// The bytes at s that are the key, or its beginning where the text was cut; 0: none.
static size_t key_at(const char *s, const char *key)
{
    const char *p = s;
    for (const char *k = key; *k; k++) {
        const size_t n = one(p, *k);
        if (n == 0) return k - key >= SECRET_LEAST && is_cut(p) ? (size_t)(p - s) : 0;
        p += n;
    }
    return (size_t)(p - s);
}

char *secret_hide(const char *s, const char *key)
{
    text_buf t = { 0 };
    while (key && *key && *s) {
        const size_t n = key_at(s, key);
        if (n > 0) text_words(&t, "***");
        else       text_raw(&t, s, 1);
        s += n > 0 ? n : 1;
    }
    text_words(&t, s);
    return text_take(&t);
}

// A name or a text of cJSON's own: "***" is no longer than what it stands for, so that it fits in its place.
static bool hide_in_place(char *s, const char *key)
{
    char *clean = s ? secret_hide(s, key) : NULL;
    if (s && !clean) return false;
    if (s) memcpy(s, clean, strlen(clean) + 1);
    free(clean);
    return true;
}

bool secret_hide_json(cJSON *doc, const char *key)
{
    if (!key || strlen(key) < SECRET_WORD) return true;
    for (cJSON *v = doc; v; v = v->next) {
        if (!hide_in_place(v->string, key) || !hide_in_place(v->valuestring, key)) return false;
        if (v->child && !secret_hide_json(v->child, key)) return false;
    }
    return true;
}
