#include "added_flags.h"

#include "vocab_token.h"

#include <stdlib.h>
#include <string.h>

// Tokens without normalized, sorted by their bytes. Those that begin with one of them stand behind it without a gap.
typedef struct {
    const added_token *t;
    // bytes of the shortest of them that this one begins with (its own, if there is no other)
    int32_t            shortest;
} sorted_token;

static int by_text(const void *pa, const void *pb)
{
    const added_token *a = ((const sorted_token *)pa)->t, *b = ((const sorted_token *)pb)->t;
    const int c = memcmp(a->text, b->text, (size_t)(a->n < b->n ? a->n : b->n));
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

static bool is_ascii(const char *s)
{
    while (*s && (unsigned char)*s < 0x80) s++;
    return !*s;
}

static bool is_spaces(const char *s) { return s[strspn(s, " ")] == 0; }

// What GGUF cannot say of a token for which Transformers looks in the normalized text, in words; NULL: it can.
static const char *normalized_fault(const added_token *t, const text_cut *c)
{
    const bool spaces = c->kind != TOK_BYTES;       // are made U+2581
    if (spaces && (strchr(t->text, ' ') || strstr(t->text, TOKEN_SPACE))) return "in a token with a space";
    // Its own text gets the mark too, and is found only where a space or the beginning of a text comes before it.
    if (c->kind == TOK_LLAMA && c->prefix == SPACE_EACH) return "under a normalizer that puts U+2581 before a text";
    if (c->kind == TOK_BYTES && c->nfc && !is_ascii(t->text)) return "in a token that NFC may compose otherwise";
    return NULL;
}

static bool check_flags(const added_token *t, const text_cut *c, const char *dir, err *e)
{
    static const struct { unsigned flag; const char *name; } flags[] = {
        { ADDED_LSTRIP, "lstrip" }, { ADDED_RSTRIP, "rstrip" }, { ADDED_SINGLE_WORD, "single_word" },
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (t->flags & flags[i].flag)
            return err_set(e, ERR_INPUT, "%s/%s: token '%.80s': found %s true, expected false: GGUF cannot say so, and "
                           "ids would change", dir, t->file, t->text,
                           flags[i].name);
    const char *fault = t->flags & ADDED_NORMALIZED ? normalized_fault(t, c) : NULL;
    if (fault)
        return err_set(e, ERR_INPUT, "%s/%s: token '%.80s': found normalized true %s, expected false: GGUF cannot say "
                       "so, and ids would change", dir, t->file, t->text, fault);
    if (c->kind == TOK_LLAMA && is_spaces(t->text))
        return err_set(e, ERR_INPUT, "%s/%s: token '%.80s': found nothing but spaces, expected U+2581 in their place: "
                       "that is what they mean in GGUF", dir, t->file, t->text);
    return true;
}

// Bytes that both begin with.
static int32_t common(const added_token *a, const added_token *b)
{
    int32_t n = 0;
    while (n < a->n && n < b->n && a->text[n] == b->text[n]) n++;
    return n;
}

// A token that is a beginning of s, or, with or_longer, one that s is a beginning of; NULL if there is none. Every
// token that s begins with is a beginning of the last one not behind s too, so that one and its shortest beginning
// tell.
static const added_token *find_at(const sorted_token *sorted, int64_t n_sorted, const char *s, int32_t n,
                                  bool or_longer)
{
    const added_token  key = { .text = s, .n = n };
    const sorted_token wanted = { .t = &key };
    int64_t lo = 0, hi = n_sorted;          // the first one behind s
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (by_text(&sorted[mid], &wanted) <= 0) lo = mid + 1;
        else hi = mid;
    }
    if (lo > 0 && sorted[lo - 1].shortest <= common(sorted[lo - 1].t, &key)) return sorted[lo - 1].t;
    if (or_longer && lo < n_sorted && common(sorted[lo].t, &key) == n) return sorted[lo].t;
    return NULL;
}

// Where two could be cut out of one place, Transformers takes the one without normalized; others the one that begins
// first.
static bool check_normalized(const added_token *t, const sorted_token *sorted, int64_t n, const char *dir, err *e)
{
    for (int32_t i = 0; i < t->n; i++) {
        const added_token *other = find_at(sorted, n, t->text + i, t->n - i, i > 0);
        if (other)
            return err_set(e, ERR_INPUT, "%s/%s: token '%.80s': found normalized true, expected false: GGUF cannot say "
                           "so, and ids would change where it meets '%.80s'", dir, t->file, t->text, other->text);
    }
    return true;
}

static int64_t sort_others(const added_tokens *a, sorted_token *sorted)
{
    int64_t n = 0;
    for (int64_t i = 0; i < a->n; i++)
        if (!(a->t[i].flags & ADDED_NORMALIZED)) sorted[n++] = (sorted_token){ &a->t[i], a->t[i].n };
    qsort(sorted, (size_t)n, sizeof *sorted, by_text);
    for (int64_t i = 1; i < n; i++)
        if (common(sorted[i - 1].t, sorted[i].t) >= sorted[i - 1].shortest) sorted[i].shortest = sorted[i - 1].shortest;
    return n;
}

bool added_flags_check(const added_tokens *a, const text_cut *c, const char *dir, err *e)
{
    sorted_token *sorted = malloc(((size_t)a->n + 1) * sizeof *sorted);
    if (!sorted) return err_nomem(e, "added tokens", (size_t)a->n * sizeof *sorted);
    const int64_t n = sort_others(a, sorted);
    bool ok = true;
    for (int64_t i = 0; ok && i < a->n; i++) {
        ok = check_flags(&a->t[i], c, dir, e);
        if (ok && (a->t[i].flags & ADDED_NORMALIZED)) ok = check_normalized(&a->t[i], sorted, n, dir, e);
    }
    free(sorted);
    return ok;
}
