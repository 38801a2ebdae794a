// Encoding and decoding. The order of things is that of Transformers' fast tokenizer for Gemma (tokenizer.json): added
// tokens are cut out of the text, what lies between them is normalized (a space becomes U+2581) and merged; decoding
// joins the texts of the tokens, U+2581 a space again, runs of byte tokens as UTF-8.
#include "tokenizer.h"
#include "tokenizer_internal.h"

#include "../formats/utf8.h"

#include <stdlib.h>
#include <string.h>

// A text that nowhere can be cut takes some forty bytes of memory a byte while it is merged.
#define MAX_TEXT_BYTES ((int64_t)1 << 26)

int32_t tokenizer_n_vocab(const tokenizer *t) { return t->n_vocab; }
int32_t tokenizer_bos(const tokenizer *t) { return t->bos; }
bool    tokenizer_add_bos(const tokenizer *t) { return t->add_bos; }

static bool has_flag(const tokenizer *t, int32_t id, uint8_t flag)
{
    return id >= 0 && id < t->n_vocab && (t->tokens[id].flags & flag);
}

bool tokenizer_is_end(const tokenizer *t, int32_t id) { return has_flag(t, id, TOK_END); }
bool tokenizer_is_special(const tokenizer *t, int32_t id) { return has_flag(t, id, TOK_SPECIAL); }

// ---- encoding ------------------------------------------------------------------------------------------------------

// Bytes at p that one U+FFFD stands for: the longest beginning of a well-formed sequence, or one byte (Unicode 15,
// section 3.9, "substitution of maximal subparts"; Python's errors="replace").
int tokenizer_bad_len(const uint8_t *p, int64_t n)
{
    int want = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : p[0] >= 0xe0 && p[0] <= 0xef ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 1;
    if (want == 1 || n < 2) return 1;
    uint8_t lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < lo || p[1] > hi) return 1;
    int k = 2;
    while (k < want && k < n && (p[k] & 0xc0) == 0x80) k++;
    return k;
}

// The text with U+FFFD for what is not UTF-8: *fixed (malloc'd), or NULL where nothing had to change.
static bool repair(const char *text, int64_t n, char **fixed, int64_t *n_fixed, err *e)
{
    const uint8_t *p = (const uint8_t *)text;
    int64_t good = 0, w = 0;
    *fixed = NULL;
    *n_fixed = n;
    for (int k; good < n && (k = utf8_len(p + good, n - good)) > 0;) good += k;
    if (good == n) return true;
    char *s = malloc((size_t)n * 3);
    if (!s) return err_nomem(e, "a text to encode", (size_t)n * 3);
    for (int64_t i = 0; i < n;) {
        int k = utf8_len(p + i, n - i);
        if (k > 0) {
            memcpy(s + w, text + i, (size_t)k);
            w += k;
        } else {
            k = tokenizer_bad_len(p + i, n - i);
            memcpy(s + w, "\xef\xbf\xbd", 3);
            w += 3;
        }
        i += k;
    }
    *fixed = s;
    *n_fixed = w;
    return true;
}

static bool refuse_beyond(const tokenizer *t, const added_token *a, int64_t at, err *e)
{
    return err_set(e, ERR_INPUT,
                   "a text to encode: offset %lld: found '%.*s', a token that the embedding has no row for, expected "
                   "one with an id below %d",
                   (long long)at, (int)a->n, t->added_text + a->off, t->n_vocab);
}

// A special token that is not to be parsed stays part of the text around it, whole: the search goes on behind it.
static bool encode_text(bpe *b, const tokenizer *t, const char *s, int64_t n, bool parse_special, err *e)
{
    added_match *m = NULL;
    int64_t begin = 0, from = 0, i = 0;
    bool    ok = added_find(t, s, n, &m, &i, e);
    while (ok && i-- > 0) {
        const added_token *a = m[i].token;
        if (m[i].at < from) continue;       // inside the one before
        from = m[i].at + a->n;
        if (a->id < 0) ok = refuse_beyond(t, a, m[i].at, e);
        else if (parse_special || !(t->tokens[a->id].flags & TOK_SPECIAL)) {
            ok = bpe_text(b, s + begin, m[i].at - begin, begin == 0, e) && bpe_push(b, a->id, e);
            begin = from;
        }
    }
    free(m);
    return ok && bpe_text(b, s + begin, n - begin, begin == 0, e);
}

bool tokenizer_encode(const tokenizer *t, const char *text, int64_t n, bool add_bos, bool parse_special,
                      int32_t **ids, int64_t *n_ids, err *e)
{
    bool    ok = false;
    char   *fixed = NULL;
    bpe    *b = NULL;
    *ids = NULL;
    *n_ids = 0;
    if (n < 0 || n > MAX_TEXT_BYTES)
        return err_set(e, ERR_INPUT, "a text to encode: found %lld bytes, expected at most %lld", (long long)n,
                       (long long)MAX_TEXT_BYTES);
    if (!repair(text, n, &fixed, &n, e) || !(b = bpe_new(t, n, e))) goto out;
    if (add_bos && t->add_bos && !bpe_push(b, t->bos, e)) goto out;
    if (!encode_text(b, t, fixed ? fixed : text, n, parse_special, e)) goto out;
    if (add_bos && t->add_eos && !bpe_push(b, t->eos, e)) goto out;
    bpe_take(b, ids, n_ids);
    ok = true;
out:
    bpe_free(b);
    free(fixed);
    return ok;
}

// ---- decoding ------------------------------------------------------------------------------------------------------

// Closes a run of byte tokens that was written raw at s: it stays if it is UTF-8 as a whole, else each byte becomes
// U+FFFD (the reference's ByteFallback decoder). s has room for three bytes a token. Returns the run's final length.
static int64_t close_run(char *s, int64_t n)
{
    int64_t good = 0;
    for (int k; good < n && (k = utf8_len((const uint8_t *)s + good, n - good)) > 0;) good += k;
    if (good == n) return n;
    for (int64_t i = 0; i < n; i++) memcpy(s + 3 * i, "\xef\xbf\xbd", 3);
    return 3 * n;
}

static bool decoded_room(const tokenizer *t, const int32_t *ids, int64_t n, int64_t *room, err *e)
{
    *room = 1;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->n_vocab)
            return err_set(e, ERR_INPUT, "ids to decode: [%lld]: found %d, expected 0 to %d", (long long)i, ids[i],
                           t->n_vocab - 1);
        *room += t->tokens[ids[i]].flags & TOK_BYTE ? 3 : t->tokens[ids[i]].n;
    }
    return true;
}

// Of a byte-level vocabulary all bytes are one text: what is not UTF-8 as a whole becomes U+FFFD.
static bool decode_bytes(const tokenizer *t, const int32_t *ids, int64_t n, bool skip_special, int64_t room, char **out,
                         int64_t *n_out, err *e)
{
    uint8_t *bytes = malloc((size_t)room);
    char    *s = malloc((size_t)room * 3);
    int64_t  w = 0;
    if (!bytes || !s) {
        free(bytes);
        free(s);
        return err_nomem(e, "a decoded text", (size_t)room * 4);
    }
    for (int64_t i = 0; i < n; i++) {
        const token *k = &t->tokens[ids[i]];
        if (skip_special && (k->flags & TOK_SPECIAL)) continue;
        memcpy(bytes + w, t->text + k->off, k->n);
        w += k->n;
    }
    *n_out = bytes_decode(s, bytes, w);
    s[*n_out] = 0;
    *out = s;
    free(bytes);
    return true;
}

bool tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t n, bool skip_special, char **out, int64_t *n_out,
                      err *e)
{
    int64_t room, w = 0, run = 0;
    *out = NULL;
    *n_out = 0;
    if (!decoded_room(t, ids, n, &room, e)) return false;
    if (t->byte_level) return decode_bytes(t, ids, n, skip_special, room, out, n_out, e);
    char *s = malloc((size_t)room);
    if (!s) return err_nomem(e, "a decoded text", (size_t)room);
    for (int64_t i = 0; i < n; i++) {
        const token *k = &t->tokens[ids[i]];
        if (skip_special && (k->flags & TOK_SPECIAL)) continue;     // a run of bytes goes on across it
        if (k->flags & TOK_BYTE) {
            s[w + run++] = (char)k->byte;
            continue;
        }
        w += close_run(s + w, run);
        run = 0;
        memcpy(s + w, t->text + k->off, k->n);
        w += k->n;
    }
    w += close_run(s + w, run);
    // What was put before a text goes again: one space, if the decoded text begins with one (Transformers' Strip).
    if (t->prefix != SPACE_NONE && w > 0 && s[0] == ' ') memmove(s, s + 1, (size_t)--w);
    s[w] = 0;
    *out = s;
    *n_out = w;
    return true;
}

bool tokenizer_piece(const tokenizer *t, int32_t id, const char **s, int64_t *n)
{
    if (id < 0 || id >= t->n_vocab) return false;
    const token *k = &t->tokens[id];
    *s = k->flags & TOK_BYTE ? (const char *)&t->bytes[k->byte] : t->text + k->off;
    *n = k->flags & TOK_BYTE ? 1 : k->n;
    return true;
}
