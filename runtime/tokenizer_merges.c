// The merge table: which pairs of tokens become one, and in which order.
//
// "gemma4" files list their merges, and any file that lists them is taken at its word. "llama" files (Gemma 3 as it is
// published) have none. What Transformers' reader of GGUF files makes of them (integrations/gguf, generate_merges) is
// done here too: a merge for every way to split a token's text in two tokens, in the order of the merged token's id,
// and among the splits of one token the longer left side first. Between texts of ordinary tokens that is Gemma's own
// order. Among runs of spaces Gemma's own tokenizer.json has the longest first, so it cuts 33 spaces into 31 and 2, and
// this order into 16 and 17: a converted file that is to say so must list its merges.
#include "tokenizer_internal.h"

#include "../formats/utf8.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MERGES "tokenizer.ggml.merges"

static uint32_t pair_slot(const tokenizer *t, int32_t left, int32_t right)
{
    return (uint32_t)hash_place(&t->key, hash_pair(&t->key, (uint32_t)left, (uint32_t)right)) & t->merge_mask;
}

// The slot of the pair, or the empty one where it would go.
static merge_slot *find_slot(const tokenizer *t, int32_t left, int32_t right)
{
    uint32_t i = pair_slot(t, left, right);
    while (t->merges[i].left >= 0 && (t->merges[i].left != left || t->merges[i].right != right))
        i = (i + 1) & t->merge_mask;
    return &t->merges[i];
}

int32_t merges_find(const tokenizer *t, int32_t left, int32_t right, int32_t *id)
{
    const merge_slot *m = find_slot(t, left, right);
    if (m->left < 0) return INT32_MAX;
    *id = m->id;
    return m->rank;
}

// n: a power of two.
static bool new_table(tokenizer *t, uint32_t n, err *e)
{
    t->merges = malloc(n * sizeof *t->merges);
    if (!t->merges) return err_nomem(e, "the merges", n * sizeof *t->merges);
    memset(t->merges, 0xff, n * sizeof *t->merges);
    t->merge_mask = n - 1;
    return true;
}

static bool grow_table(tokenizer *t, err *e)
{
    merge_slot *old = t->merges;
    uint32_t    n = t->merge_mask + 1;
    bool        ok = new_table(t, n * 2, e);
    for (uint32_t i = 0; ok && i < n; i++)
        if (old[i].left >= 0) *find_slot(t, old[i].left, old[i].right) = old[i];
    free(old);
    return ok;
}

// Symbols on the two sides of a cut must never merge. A symbol's text ends and begins as the text around the cut does,
// unless it is a byte of a character or the unknown token; a vocabulary that merges such symbols, or that fuses unknown
// ones, is never cut.
static void note_join(tokenizer *t, int32_t left, int32_t right)
{
    const token *l = &t->tokens[left], *r = &t->tokens[right];
    uint8_t      a = (uint8_t)t->text[l->off + l->n - 1u], b = (uint8_t)t->text[r->off];
    t->joined[a][b >> 5] |= 1u << (b & 31);
    if ((l->flags | r->flags) & TOK_BYTE || left == t->unk || right == t->unk) t->may_cut = false;
}

// A pair that stands again has the rank of the last time, as in Transformers.
static bool add_merge(tokenizer *t, int32_t left, int32_t right, int32_t id, const gguf *g, err *e)
{
    if (t->n_merges >= MAX_MERGES)
        return tokenizer_bad_key(g, KEY_MERGES, e, "found more than %d pairs that merge", MAX_MERGES);
    if (t->n_merges * 2 > (int64_t)t->merge_mask && !grow_table(t, e)) return false;
    *find_slot(t, left, right) = (merge_slot){ .left = left, .right = right, .rank = (int32_t)t->n_merges, .id = id };
    t->n_merges++;
    note_join(t, left, right);
    return true;
}

// ---- merges that the file lists ------------------------------------------------------------------------------------

// A side of a merge in display spelling; -1: it has none.
static int64_t spell_side(const tokenizer *t, char *dst, const char *s, int64_t n)
{
    return t->byte_level ? bytes_spell((uint8_t *)dst, s, n) : vocab_spell(dst, s, n);
}

// "left right": one space, between two tokens whose texts together are a third.
static bool read_merge(tokenizer *t, int64_t i, gguf_str s, const gguf *g, err *e)
{
    char        text[2 * TOKEN_MAX_BYTES];
    const char *space = s.n <= (int64_t)sizeof text ? memchr(s.s, ' ', (size_t)s.n) : NULL;
    int64_t     n_left = space ? space - s.s : 0, n_right = space ? s.n - n_left - 1 : 0;
    if (!n_left || !n_right || memchr(space + 1, ' ', (size_t)n_right))
        return tokenizer_bad_key(g, KEY_MERGES, e, "[%lld]: found '%.*s', expected two tokens and one space between",
                                 (long long)i, (int)(s.n < 256 ? s.n : 256), s.s);
    int64_t left = spell_side(t, text, s.s, n_left),
            right = left < 0 ? -1 : spell_side(t, text + left, space + 1, n_right);
    if (right < 0)
        return tokenizer_bad_key(g, KEY_MERGES, e, "[%lld]: found '%.*s', whose characters stand for no bytes",
                                 (long long)i, (int)(s.n < 256 ? s.n : 256), s.s);
    int32_t l = vocab_find(t, text, left), r = vocab_find(t, text + left, right),
            id = vocab_find(t, text, left + right);
    if (l < 0 || r < 0 || id < 0)
        return tokenizer_bad_key(g, KEY_MERGES, e, "[%lld]: found '%.*s', but its %s is not in the vocabulary",
                                 (long long)i, (int)(s.n < 256 ? s.n : 256), s.s,
                                 l < 0   ? "left side"
                                 : r < 0 ? "right side"
                                         : "result");
    return add_merge(t, l, r, id, g, e);
}

static bool read_merges(tokenizer *t, const gguf *g, const gguf_kv *kv, err *e)
{
    if (kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING)
        return tokenizer_bad_key(g, KEY_MERGES, e, "found another type, expected an array of strings");
    gguf_str_iter it = gguf_strs(kv);
    gguf_str      s;
    for (int64_t i = 0; gguf_next_str(&it, &s); i++)
        if (!read_merge(t, i, s, g, e)) return false;
    return true;
}

// ---- merges that the vocabulary implies ----------------------------------------------------------------------------

static bool split_token(tokenizer *t, int32_t id, const gguf *g, err *e)
{
    const char *s = t->text + t->tokens[id].off;
    int         n = t->tokens[id].n;
    uint64_t    prefix[TOKEN_MAX_BYTES + 1], suffix = 0, power = 1;
    prefix[0] = 0;
    for (int i = 0; i < n; i++) prefix[i + 1] = hash_append(&t->key, prefix[i], (uint8_t)s[i]);
    for (int i = n - 1; i > 0; i--) {       // the right side grows: the longest left side comes first
        suffix = hash_prepend(&t->key, suffix, (uint8_t)s[i], &power);
        if (((uint8_t)s[i] & 0xc0) == 0x80) continue;       // within a character
        int32_t left = vocab_find_hashed(t, s, i, prefix[i]);
        if (left < 0) continue;
        int32_t right = vocab_find_hashed(t, s + i, n - i, suffix);
        if (right >= 0 && !add_merge(t, left, right, id, g, e)) return false;
    }
    return true;
}

static bool derive_merges(tokenizer *t, const gguf *g, err *e)
{
    for (int32_t id = 0; id < t->n_vocab; id++)
        if ((t->tokens[id].flags & TOK_MERGES) && !split_token(t, id, g, e)) return false;
    return true;
}

bool merges_load(tokenizer *t, const gguf *g, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, KEY_MERGES);
    if (!kv && !t->sentencepiece) return tokenizer_bad_key(g, KEY_MERGES, e, "not found, expected an array of strings");
    uint32_t n = 16;
    while (kv && n < MAX_MERGES * 2u && n < (uint64_t)kv->n * 2u) n *= 2;      // without a list it grows
    t->may_cut = !t->byte_level;        // its words are short already
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] < 0) t->may_cut = false;
    if (!new_table(t, n, e)) return false;
    return kv ? read_merges(t, g, kv, e) : derive_merges(t, g, e);
}
