// Reading the vocabulary from a file's metadata: texts, types, and the ids with a role.
#include "tokenizer_internal.h"

#include "../formats/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MODEL  "tokenizer.ggml.model"
#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES  "tokenizer.ggml.token_type"
#define KEY_SCORES "tokenizer.ggml.scores"
#define KEY_MERGES "tokenizer.ggml.merges"
#define KEY_SPACE  "tokenizer.ggml.add_space_prefix"

static const char *const k_models[] = { "gemma4", "llama", "gpt2" };

// Keys that name one id. What Transformers calls special tokens are found in a text and left out of a decoded one,
// whatever type the file gives them; the ids that end a text are a role of their own.
static const struct { const char *key; uint8_t flags; } k_roles[] = {
    { "tokenizer.ggml.bos_token_id",     TOK_SPECIAL | TOK_ADDED },
    { "tokenizer.ggml.eos_token_id",     TOK_SPECIAL | TOK_ADDED | TOK_END },
    { "tokenizer.ggml.unknown_token_id", TOK_SPECIAL | TOK_ADDED },
    { "tokenizer.ggml.padding_token_id", TOK_SPECIAL | TOK_ADDED },
    { "tokenizer.ggml.mask_token_id",    TOK_SPECIAL | TOK_ADDED },
    { "tokenizer.ggml.eot_token_id",     TOK_END },
    { "tokenizer.ggml.eom_token_id",     TOK_END },
};
enum { N_ROLES = sizeof k_roles / sizeof *k_roles };

// Lists of every id that ends a text (generation_config.json's eos_token_id). Where a file has one, it is the whole
// answer.
static const char *const k_end_lists[] = { "hallmark.eos_token_ids", "tokenizer.ggml.eos_token_ids" };

// Without a list, the ends of a turn are known by their text, as in llama.cpp.
static const char *const k_end_texts[] = { "<eos>",      "<end_of_turn>", "<turn|>",      "<|tool_response>",
                                           "<|eot_id|>", "<|im_end|>",    "<|endoftext|>" };

bool tokenizer_bad_key(const gguf *g, const char *key, err *e, const char *fmt, ...)
{
    char    msg[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_INPUT, "%s: key '%s': %s", gguf_path(g), key, msg);
}

int64_t vocab_spell(char *dst, const char *src, int64_t n)
{
    int64_t w = 0;
    for (int64_t i = 0; i < n;) {
        // U+2581 is E2 96 81; in well-formed UTF-8 these three bytes are nothing else.
        if ((uint8_t)src[i] == 0xe2 && i + 2 < n && (uint8_t)src[i + 1] == 0x96 && (uint8_t)src[i + 2] == 0x81) {
            dst[w++] = ' ';
            i += 3;
        } else {
            dst[w++] = src[i++];
        }
    }
    return w;
}

int32_t vocab_find_hashed(const tokenizer *t, const char *s, int64_t n, uint64_t h)
{
    h = hash_place(&t->key, h);
    for (uint32_t i = (uint32_t)h & t->slot_mask; t->slots[i].id >= 0; i = (i + 1) & t->slot_mask) {
        if (t->slots[i].hash != (uint32_t)(h >> 32)) continue;
        const token *k = &t->tokens[t->slots[i].id];
        if (k->n == n && memcmp(t->text + k->off, s, (size_t)n) == 0) return t->slots[i].id;
    }
    return -1;
}

int32_t vocab_find(const tokenizer *t, const char *s, int64_t n)
{
    return vocab_find_hashed(t, s, n, hash_bytes(&t->key, s, n));
}

// ---- texts and types -----------------------------------------------------------------------------------------------

static bool check_array(const gguf *g, const char *key, const gguf_kv *kv, bool elem_ok, const char *want, int64_t n,
                        err *e)
{
    if (!kv) return tokenizer_bad_key(g, key, e, "not found, expected an array of %s", want);
    if (kv->type != GGUF_ARRAY || !elem_ok)
        return tokenizer_bad_key(g, key, e, "found another type, expected an array of %s", want);
    if (n >= 0 && kv->n != n)
        return tokenizer_bad_key(g, key, e, "found %lld elements, expected %lld, as many as there are tokens",
                                 (long long)kv->n, (long long)n);
    return true;
}

static bool well_formed(const char *s, int64_t n)
{
    for (int64_t i = 0; i < n;) {
        int k = utf8_len((const uint8_t *)s + i, n - i);
        if (!k) return false;
        i += k;
    }
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

// "<0xNN>": the byte, or -1.
static int byte_of(const char *s, int64_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || hex_digit(s[3]) < 0 || hex_digit(s[4]) < 0) return -1;
    return hex_digit(s[3]) * 16 + hex_digit(s[4]);
}

bool vocab_is_respelled(const tokenizer *t, gguf_str s)
{
    for (int64_t i = 0; i < s.n; i++)
        if (s.s[i] != ' ') return false;
    return t->sentencepiece;
}

// The stand-in for an id without a token. A vocabulary may have far more of them than tokens, so they stay out of the
// index.
static bool is_padding(int32_t id, gguf_str s, token_type type)
{
    char text[32];
    if (type != TOKEN_UNUSED || s.n > (int64_t)sizeof text) return false;
    const int n = snprintf(text, sizeof text, "[PAD%d]", id);
    return s.n == n && memcmp(s.s, text, (size_t)n) == 0;
}

// The same of a byte-level vocabulary: its bytes where its characters stand for some, else the text itself, which is no
// result of merging. An added token may be one too: a tokenizer's vocabulary has it, and its merges make it.
static bool read_byte_level(tokenizer *t, int32_t id, gguf_str s, token_type type)
{
    token *k = &t->tokens[id];
    const int64_t n = bytes_spell((uint8_t *)t->text + k->off, s.s, s.n);
    const bool added = type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_USER_DEFINED;
    if (added) k->flags |= TOK_ADDED;
    if (type == TOKEN_CONTROL || type == TOKEN_UNKNOWN) k->flags |= TOK_SPECIAL;
    if (n >= 0 && !is_padding(id, s, type)) k->flags |= added ? TOK_RESULT : TOK_MERGES;
    if (n < 0) memcpy(t->text + k->off, s.s, (size_t)s.n);
    k->n = (uint16_t)(n < 0 ? s.n : n);
    return true;
}

// One token's type and text become its flags and display spelling. The file's spelling is `s`.
static bool read_token(tokenizer *t, int32_t id, gguf_str s, token_type type, const gguf *g, err *e)
{
    token *k = &t->tokens[id];
    if (s.n > TOKEN_MAX_BYTES)
        return tokenizer_bad_key(g, KEY_TOKENS, e, "[%d]: found %lld bytes, expected at most %d", id, (long long)s.n,
                                 TOKEN_MAX_BYTES);
    if (s.n == 0) return true;      // an id that no text becomes, and that becomes no text
    if (!well_formed(s.s, s.n)) return tokenizer_bad_key(g, KEY_TOKENS, e, "[%d]: found bytes that are not UTF-8", id);
    if (t->byte_level) return read_byte_level(t, id, s, type);

    // A text holds no plain space when it comes to merging, so a token that has one never merges. The exception:
    // "llama" files spell Gemma's runs of U+2581 as spaces, and as user-defined. A text's spaces become them by
    // merging; a text's own U+2581 are added tokens in a tokenizer.json that lists them, but not to Transformers'
    // reader of files that have no merges.
    bool has_space = memchr(s.s, ' ', (size_t)s.n) != NULL;
    bool respelled = has_space && vocab_is_respelled(t, s);
    if ((!has_space || respelled) && !is_padding(id, s, type)) k->flags |= TOK_MERGES;
    if (type == TOKEN_CONTROL || type == TOKEN_UNKNOWN) k->flags |= TOK_ADDED | TOK_SPECIAL;
    if (type == TOKEN_USER_DEFINED && (!respelled || t->lists_merges)) k->flags |= TOK_ADDED;
    int byte = byte_of(s.s, s.n);
    if (byte >= 0) {
        k->flags |= TOK_BYTE;
        k->byte = (uint8_t)byte;
        char canonical[8];      // only this spelling is what byte fallback looks for
        snprintf(canonical, sizeof canonical, "<0x%02X>", (unsigned)byte);
        if (memcmp(s.s, canonical, 6) == 0) t->byte_id[byte] = id;
    } else if (type == TOKEN_BYTE) {
        return tokenizer_bad_key(g, KEY_TOKENS, e, "[%d]: found '%.*s', expected <0xNN>, as its type is byte", id,
                                 (int)s.n, s.s);
    }
    k->n = (uint16_t)vocab_spell(t->text + k->off, s.s, s.n);
    return true;
}

// Merges go in the order of ids, which is that of the scores in every SentencePiece BPE vocabulary. One where it is not
// (another kind of model) would be cut otherwise than its maker meant.
static bool check_scores(const tokenizer *t, const gguf *g, const gguf_kv *scores, const gguf_kv *types, err *e)
{
    float last = INFINITY, score = 0;
    if (!scores || !t->sentencepiece || t->lists_merges) return true;
    for (int32_t id = 0; id < t->n_vocab; id++) {
        int64_t type;
        if (!gguf_arr_i64(types, id, &type) || type != TOKEN_NORMAL) continue;
        if (!gguf_arr_f32(scores, id, &score) || !(score <= last))
            return tokenizer_bad_key(g, KEY_SCORES, e,
                                     "[%d]: found %g after %g, expected scores that fall with the ids, as merges are "
                                     "made in that order", id, (double)score, (double)last);
        last = score;
    }
    return true;
}

static bool read_tokens(tokenizer *t, const gguf *g, err *e)
{
    const gguf_kv *texts = gguf_find_kv(g, KEY_TOKENS), *types = gguf_find_kv(g, KEY_TYPES),
                  *scores = gguf_find_kv(g, KEY_SCORES);
    if (!check_array(g, KEY_TOKENS, texts, texts && texts->elem == GGUF_STRING, "strings", -1, e)) return false;
    if (texts->n < 1 || texts->n > LIMIT_VOCAB || texts->n_bytes > (int64_t)1 << 30)
        return tokenizer_bad_key(g, KEY_TOKENS, e, "found %lld tokens, expected 1 to %d", (long long)texts->n,
                                 LIMIT_VOCAB);
    if (!check_array(g, KEY_TYPES, types, types && types->elem == GGUF_I32, "i32", texts->n, e)) return false;
    // Scores are not read beyond this: Gemma merges in the order of ids, which published files' scores only repeat (but
    // for the -1000 of added tokens).
    if (scores && !check_array(g, KEY_SCORES, scores, scores->elem == GGUF_F32, "f32", texts->n, e)) return false;

    t->n_vocab = (int32_t)texts->n;
    t->lists_merges = gguf_find_kv(g, KEY_MERGES) != NULL;
    t->tokens = calloc((size_t)texts->n, sizeof *t->tokens);
    t->text = malloc((size_t)texts->n_bytes);       // holds the lengths too, so there is room to spare
    if (!t->tokens || !t->text) return err_nomem(e, "the vocabulary", (size_t)texts->n_bytes);
    gguf_str_iter it = gguf_strs(texts);
    gguf_str      s;
    uint32_t      off = 0;
    for (int32_t id = 0; id < t->n_vocab; id++) {
        int64_t type;
        if (!gguf_next_str(&it, &s)) return tokenizer_bad_key(g, KEY_TOKENS, e, "ends before [%d]", id);
        if (!gguf_arr_i64(types, id, &type) || type < 0 || type >= N_TOKEN_TYPES)
            return tokenizer_bad_key(g, KEY_TYPES, e, "[%d]: expected 0 to %d", id, N_TOKEN_TYPES - 1);
        t->tokens[id].off = off;
        if (!read_token(t, id, s, (token_type)type, g, e)) return false;
        off += t->tokens[id].n;
    }
    return check_scores(t, g, scores, types, e);
}

// ---- the table from text to id -------------------------------------------------------------------------------------

// An added token whose text another token has stays out: merging makes that one.
static bool index_token(tokenizer *t, int32_t id, const gguf *g, err *e)
{
    const token *k = &t->tokens[id];
    uint64_t     h = hash_place(&t->key, hash_bytes(&t->key, t->text + k->off, k->n));
    uint32_t     i = (uint32_t)h & t->slot_mask;
    for (; t->slots[i].id >= 0; i = (i + 1) & t->slot_mask) {
        if (t->slots[i].hash != (uint32_t)(h >> 32)) continue;
        const token *o = &t->tokens[t->slots[i].id];
        if (o->n != k->n || memcmp(t->text + o->off, t->text + k->off, k->n) != 0) continue;
        if (k->flags & TOK_RESULT) return true;
        return tokenizer_bad_key(g, KEY_TOKENS, e, "[%d]: found '%.*s' again, first at [%d]", id, k->n,
                                 t->text + k->off, t->slots[i].id);
    }
    t->slots[i] = (text_slot){ .hash = (uint32_t)(h >> 32), .id = id };
    return true;
}

static bool index_tokens(tokenizer *t, const gguf *g, err *e)
{
    uint32_t n = 16, n_merges = 0;
    for (int32_t id = 0; id < t->n_vocab; id++) n_merges += (t->tokens[id].flags & (TOK_MERGES | TOK_RESULT)) != 0;
    while (n < n_merges * 2u) n *= 2;
    t->slot_mask = n - 1;
    t->slots = malloc(n * sizeof *t->slots);
    if (!t->slots) return err_nomem(e, "the vocabulary's index", n * sizeof *t->slots);
    memset(t->slots, 0xff, n * sizeof *t->slots);
    for (int32_t id = 0; id < t->n_vocab; id++)
        if ((t->tokens[id].flags & TOK_MERGES) && !index_token(t, id, g, e)) return false;
    for (int32_t id = 0; id < t->n_vocab; id++)
        if ((t->tokens[id].flags & TOK_RESULT) && !index_token(t, id, g, e)) return false;
    t->has_space = vocab_find(t, " ", 1) >= 0;
    return true;
}

// ---- ids with a role -----------------------------------------------------------------------------------------------

static bool read_id(tokenizer *t, const gguf *g, const char *key, int32_t *id, err *e)
{
    int64_t v;
    *id = -1;
    if (!gguf_find_kv(g, key)) return true;
    if (!gguf_get_i64(g, key, &v, e)) return false;
    if (v < 0 || v >= t->n_vocab)
        return tokenizer_bad_key(g, key, e, "found id %lld, expected 0 to %d", (long long)v, t->n_vocab - 1);
    *id = (int32_t)v;
    return true;
}

static bool read_roles(tokenizer *t, const gguf *g, err *e)
{
    int32_t id[N_ROLES];
    for (int i = 0; i < N_ROLES; i++) {
        if (!read_id(t, g, k_roles[i].key, &id[i], e)) return false;
        if (id[i] < 0) continue;
        t->tokens[id[i]].flags |= k_roles[i].flags;
        if (t->tokens[id[i]].n == 0) t->tokens[id[i]].flags &= (uint8_t)~TOK_ADDED;
    }
    t->bos = id[0];
    t->eos = id[1];
    t->unk = id[2];
    // A file that does not say wants BOS when it has one: so llama.cpp and Transformers for sentencepiece vocabularies.
    // Of byte-level ones llama.cpp gives it to some.
    const bool by_itself = t->bos >= 0 && (!t->byte_level || t->pre->add_bos);
    return gguf_get_bool_or(g, "tokenizer.ggml.add_bos_token", by_itself, &t->add_bos, e)
        && gguf_get_bool_or(g, "tokenizer.ggml.add_eos_token", false, &t->add_eos, e);
}

// "llama" files that do not say have a space put before each part of a text, as in llama.cpp.
static bool read_prefix(tokenizer *t, const gguf *g, err *e)
{
    gguf_str name;
    bool     on;
    if (!gguf_get_bool_or(g, KEY_SPACE, t->sentencepiece, &on, e)) return false;
    if (!t->sentencepiece) {
        if (!on || t->byte_level) return true;      // llama.cpp does not look at it in byte-level files
        return tokenizer_bad_key(g, KEY_SPACE, e, "found true, expected false: Gemma puts no space first");
    }
    t->prefix = on ? SPACE_EACH : SPACE_NONE;
    if (!gguf_find_kv(g, KEY_HM_SPACE_PREFIX)) return true;
    if (!gguf_get_str(g, KEY_HM_SPACE_PREFIX, &name, e)) return false;
    const int p = space_prefix_find(name.s, name.n);
    if (p < 0 || (p == SPACE_NONE) != !on)
        return tokenizer_bad_key(g, KEY_HM_SPACE_PREFIX, e, "found '%.*s', expected %s",
                                 (int)(name.n < 40 ? name.n : 40), name.s,
                                 on ? "each, missing or first" : "none, as add_space_prefix is false");
    t->prefix = (space_prefix)p;
    return true;
}

static bool check_flags(const tokenizer *t, const gguf *g, err *e)
{
    if (t->add_bos && t->bos < 0)
        return tokenizer_bad_key(g, "tokenizer.ggml.add_bos_token", e, "found true, but there is no bos_token_id");
    if (t->add_eos && t->eos < 0)
        return tokenizer_bad_key(g, "tokenizer.ggml.add_eos_token", e, "found true, but there is no eos_token_id");
    if (t->byte_level) return true;
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] < 0 && t->unk < 0)
            return tokenizer_bad_key(g, KEY_TOKENS, e,
                                     "found neither <0x%02X> nor an unknown_token_id: not every text could be encoded",
                                     (unsigned)b);
    return true;
}

static void mark_text(tokenizer *t, const char *s, uint8_t flags)
{
    int32_t id = vocab_find(t, s, (int64_t)strlen(s));
    if (id >= 0) t->tokens[id].flags |= flags;
}

static bool read_ends(tokenizer *t, const gguf *g, err *e)
{
    bool listed = false;
    for (size_t l = 0; l < sizeof k_end_lists / sizeof *k_end_lists; l++) {
        const gguf_kv *kv = gguf_find_kv(g, k_end_lists[l]);
        if (!kv) continue;
        listed = true;
        if (kv->type != GGUF_ARRAY)
            return tokenizer_bad_key(g, kv->key, e, "found another type, expected an array of ids");
        for (int64_t i = 0; i < kv->n; i++) {
            int64_t id;
            if (!gguf_arr_i64(kv, i, &id) || id < 0 || id >= t->n_vocab)
                return tokenizer_bad_key(g, kv->key, e, "[%lld]: expected an id from 0 to %d", (long long)i,
                                         t->n_vocab - 1);
            t->tokens[id].flags |= TOK_END;
        }
    }
    if (listed) return true;
    for (size_t i = 0; i < sizeof k_end_texts / sizeof *k_end_texts; i++) mark_text(t, k_end_texts[i], TOK_END);
    return true;
}

static void mark_visible(tokenizer *t)
{
    for (const char *const *v = token_visible; *v; v++) {
        const int32_t id = vocab_find(t, *v, (int64_t)strlen(*v));
        if (id >= 0 && (t->tokens[id].flags & TOK_ADDED)) t->tokens[id].flags |= TOK_SPECIAL;
    }
}

// ---- opening and closing -------------------------------------------------------------------------------------------

static bool read_model(tokenizer *t, const gguf *g, err *e)
{
    gguf_str s;
    if (!gguf_get_str(g, KEY_MODEL, &s, e)) return false;
    for (size_t i = 0; i < sizeof k_models / sizeof *k_models; i++)
        if (s.n == (int64_t)strlen(k_models[i]) && memcmp(s.s, k_models[i], (size_t)s.n) == 0) {
            t->sentencepiece = strcmp(k_models[i], "llama") == 0;
            t->byte_level = strcmp(k_models[i], "gpt2") == 0;
            return !t->byte_level || bytes_open(t, g, e);
        }
    return tokenizer_bad_key(g, KEY_MODEL, e, "found '%.*s', expected gemma4, llama or gpt2",
                             (int)(s.n < 64 ? s.n : 64), s.s);
}

static bool load(tokenizer *t, const gguf *g, err *e)
{
    if (!read_model(t, g, e) || !read_tokens(t, g, e) || !index_tokens(t, g, e)) return false;
    if (!read_roles(t, g, e) || !read_prefix(t, g, e) || !check_flags(t, g, e) || !read_ends(t, g, e)) return false;
    if (t->byte_level) bytes_index(t);
    if (!t->sentencepiece && !t->byte_level) mark_visible(t);
    return added_load(t, g, e) && merges_load(t, g, e);
}

tokenizer *tokenizer_new(const gguf *g, err *e)
{
    tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        err_nomem(e, "the tokenizer", sizeof *t);
        return NULL;
    }
    for (int b = 0; b < 256; b++) {
        t->byte_id[b] = -1;
        t->bytes[b] = (uint8_t)b;
    }
    if (hash_key_draw(&t->key, e) && load(t, g, e)) return t;
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(tokenizer *t)
{
    if (!t) return;
    free(t->tokens);
    free(t->text);
    free(t->slots);
    free(t->merges);
    added_free(t);
    free(t);
}
