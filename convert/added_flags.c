#define _GNU_SOURCE
#include "added_flags.h"

#include "../formats/json.h"

#include <string.h>

#define SPACE "\xe2\x96\x81"    // U+2581, which stands for a space inside tokens

enum { MAX_PAIRS = 50000000 };  // of a normalized token and one that is not: more is not a tokenizer, and would take minutes

static const char *content_of(const cJSON *a)
{
    return cJSON_GetStringValue(json_get(a, "content"));
}

static bool is_normalized(const cJSON *a)
{
    return cJSON_IsTrue(json_get(a, "normalized"));
}

// The bytes of inner begin inside outer, past its first byte or at it, and end with it or before, or go on beyond its end.
static bool begins_inside(const char *outer, const char *inner)
{
    const size_t n = strlen(outer), m = strlen(inner);
    if (m == 0) return false;
    if (memmem(outer, n, inner, m)) return true;
    for (size_t i = n > m ? n - m + 1 : 1; i < n; i++)
        if (memcmp(outer + i, inner, n - i) == 0) return true;
    return false;
}

static bool check_flags(const cJSON *a, const char *where, err *e)
{
    static const char *const flags[] = { "lstrip", "rstrip", "single_word" };
    const char *text = content_of(a);
    bool on;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (!json_bool_or(a, flags[i], false, &on, where, e)) return false;
        if (on) return err_set(e, ERR_INPUT, "%s: added_tokens: token '%.80s': found %s true, expected false: GGUF cannot say so, and ids would change", where, text, flags[i]);
    }
    if (!json_bool_or(a, "normalized", false, &on, where, e)) return false;
    if (on && (strchr(text, ' ') || strstr(text, SPACE)))
        return err_set(e, ERR_INPUT, "%s: added_tokens: token '%.80s': found normalized true in a token with a space, expected false: GGUF cannot say so, "
                       "and ids would change", where, text);
    return true;
}

// Where two could be cut out of one place, Transformers takes the one without normalized; others the one that begins first.
static bool check_pair(const cJSON *normalized, const cJSON *other, const char *where, err *e)
{
    const char *outer = content_of(normalized), *inner = content_of(other);
    if (!inner || is_normalized(other) || !begins_inside(outer, inner)) return true;
    return err_set(e, ERR_INPUT, "%s: added_tokens: token '%.80s': found normalized true, expected false: GGUF cannot say so, and ids would change where "
                   "it meets '%.80s'", where, outer, inner);
}

bool added_flags_check(const cJSON *list, const char *where, err *e)
{
    int64_t pairs = 0;
    for (const cJSON *a = list ? list->child : NULL; a; a = a->next) {
        if (!cJSON_IsObject(a) || !content_of(a)) continue;
        if (!check_flags(a, where, e)) return false;
        if (!is_normalized(a)) continue;
        for (const cJSON *b = list->child; b; b = b->next) {
            if (++pairs > MAX_PAIRS) return err_set(e, ERR_INPUT, "%s: added_tokens: found more tokens with normalized true than can be compared with the others", where);
            if (!check_pair(a, b, where, e)) return false;
        }
    }
    return true;
}
