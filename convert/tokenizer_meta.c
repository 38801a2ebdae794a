#include "tokenizer_meta.h"

#include "../formats/json.h"
#include "../formats/utf8.h"
#include "added_flags.h"
#include "json_found.h"
#include "merge_meta.h"
#include "special_ids.h"
#include "text_cut.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const tokenizer_source *src;
    char         where[1100];   // "dir/tokenizer.json"
    cJSON       *root;          // owned, without the merges
    merges       merges;
    text_cut     cut;
    strmap       ids;           // of the tokens of model.vocab
    added_lists  lists;
    known_tokens known;
    vocab_token *t;             // owned: the tokens of model.vocab, then the added ones that it does not have
    int64_t      n_vocab, n;    // of model.vocab; all of them
    int32_t     *row;           // owned: [rows of the embedding] id -> place in t, or -1
    char        *respelled;     // owned: texts that stand in no file
    // they go into the file: always for TOK_GEMMA4, else where scores do not say all of them
    bool         list_merges;
} vocab_state;

static bool bad(const vocab_state *v, const char *what, err *e)
{
    return err_set(e, ERR_INPUT, "%s: %s", v->where, what);
}

// ---- the vocabulary -------------------------------------------------------------------------------------------------

static bool is_byte_token(const char *s, int64_t n)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    return n == 6 && memcmp(s, "<0x", 3) == 0 && strchr(hex, s[3]) && s[3] && strchr(hex, s[4]) && s[4] && s[5] == '>';
}

// The row of a token's id, where it has one, becomes its own.
static bool take_row(vocab_state *v, int64_t place, err *e)
{
    const vocab_token *t = &v->t[place];
    if (t->id >= v->src->n_vocab) return true;
    const int32_t old = v->row[t->id];
    if (old >= 0)
        return err_set(e, ERR_INPUT, "%s: id %d: found tokens '%.80s' and '%.80s', expected one", v->where, t->id,
                       v->t[old].s.s, t->s.s);
    v->row[t->id] = (int32_t)place;
    return true;
}

static bool read_token(vocab_state *v, const cJSON *it, const char *unk, err *e)
{
    const int64_t n = (int64_t)strlen(it->string);
    char    found[JSON_FOUND_BYTES];
    int64_t id;
    if (!json_as_i64(it, 0, INT32_MAX - 1, &id))
        return err_set(e, ERR_INPUT, "%s: token '%.80s': found id %s, expected one below %lld, the rows of the "
                       "embedding", v->where, it->string,
                       json_found(it, found), (long long)v->src->n_vocab);
    if (n > LIMIT_TOKEN_BYTES)
        return err_set(e, ERR_INPUT, "%s: token '%.40s...': found %lld bytes, expected at most %d", v->where,
                       it->string, (long long)n, LIMIT_TOKEN_BYTES);
    vocab_token *t = &v->t[v->n];
    *t = (vocab_token){ .s = { it->string, n }, .id = (int32_t)id };
    t->type = TOKEN_NORMAL;
    const bool pieces = v->cut.kind != TOK_BYTES;       // a byte-level vocabulary has neither
    if (pieces && unk && strcmp(unk, it->string) == 0) t->type = TOKEN_UNKNOWN;
    if (pieces && is_byte_token(it->string, n)) t->type = TOKEN_BYTE;
    strmap_put(&v->ids, it->string, n, (int32_t)id);
    return take_row(v, v->n++, e);
}

static int64_t count_children(const cJSON *v)
{
    int64_t n = 0;
    for (const cJSON *it = v ? v->child : NULL; it; it = it->next) n++;
    return n;
}

// Types as if there were no added tokens; those follow.
static bool read_vocab(vocab_state *v, err *e)
{
    const cJSON *model = json_get(v->root, "model"), *vocab = json_get(model, "vocab");
    const char  *unk = cJSON_GetStringValue(json_get(model, "unk_token"));
    const size_t rows = (size_t)v->src->n_vocab;
    if (!cJSON_IsObject(vocab) || !vocab->child) return bad(v, "model.vocab: expected an object of tokens and ids", e);
    v->n_vocab = count_children(vocab);
    v->t   = malloc((size_t)v->n_vocab * sizeof *v->t);
    v->row = malloc(rows * sizeof *v->row);
    if (!v->t || !v->row)
        return err_nomem(e, "the vocabulary", rows * sizeof *v->row + (size_t)v->n_vocab * sizeof *v->t);
    memset(v->row, 0xff, rows * sizeof *v->row);
    if (!strmap_init(&v->ids, v->n_vocab, e)) return false;
    for (const cJSON *it = vocab->child; it; it = it->next)
        if (!read_token(v, it, unk, e)) return false;
    return true;
}

// ---- added tokens ---------------------------------------------------------------------------------------------------

static bool surrounded(const char *s, const char *open, const char *close)
{
    size_t n = strlen(s), a = strlen(open), b = strlen(close);
    return n >= a + b && memcmp(s, open, a) == 0 && memcmp(s + n - b, close, b) == 0;
}

// Gemma 3 marks <unused7> and the like as ordinary; in the published files they are control tokens (llama.cpp's
// does_token_look_special).
static bool looks_special(const char *s)
{
    static const char *const names[] = { "<pad>", "<mask>", "<2mass>", "[@BOS@]" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(s, names[i]) == 0) return true;
    return surrounded(s, "<|", "|>") || surrounded(s, "<\xef\xbd\x9c", "\xef\xbd\x9c>")
        || surrounded(s, "<unused", ">");
}

// Gemma 3's runs of spaces are user-defined tokens, which readers look for in the text as it is, before spaces are
// replaced. A text with anything else in it keeps its spelling: a tokenizer looks for that. Written to *to, which is
// moved on.
static void put_spaces_back(vocab_token *t, char **to)
{
    char   *s = *to;
    int64_t n = 0;
    for (int64_t i = 0; i < t->s.n; i += 3) {
        if (strncmp(t->s.s + i, TOKEN_SPACE, 3) != 0) return;
        s[n++] = ' ';
    }
    s[n] = 0;
    t->s = (gguf_str){ s, n };
    *to += n + 1;
}

static void set_added(const vocab_state *v, vocab_token *t, unsigned flags, char **respelled)
{
    bool special = flags & ADDED_SPECIAL;
    const bool gemma4 = v->cut.kind == TOK_GEMMA4;
    const bool pieces = v->cut.kind == TOK_LLAMA;
    special = gemma4 ? special && !token_is_visible(t->s.s, t->s.n) : special || looks_special(t->s.s);
    t->added = true;
    t->type  = special ? TOKEN_CONTROL : TOKEN_USER_DEFINED;
    if (pieces && !special) put_spaces_back(t, respelled);
}

enum { MAX_LINES = 8 };         // of one kind in the log

static void log_id(const vocab_state *v, const added_token *a, int64_t *n_moved, int64_t *n_beyond)
{
    if (a->id >= v->src->n_vocab) {
        if (++*n_beyond <= MAX_LINES)
            progress_logf(v->src->log, "left out: token '%.80s' of %s has id %lld, beyond the %lld rows of the "
                          "embedding: it can be neither embedded nor chosen, and a text that spells it is refused",
                          a->text, a->file, (long long)a->id, (long long)v->src->n_vocab);
    } else if (a->said >= 0 && a->said != a->id && ++*n_moved <= MAX_LINES) {
        progress_logf(v->src->log, "token '%.80s' of %s: the file gives it id %lld, Transformers and this file %lld",
                      a->text, a->file, (long long)a->said,
                      (long long)a->id);
    }
}

static void log_ids(const vocab_state *v)
{
    int64_t n_moved = 0, n_beyond = 0;
    for (int64_t i = 0; i < v->known.added.n; i++) log_id(v, &v->known.added.t[i], &n_moved, &n_beyond);
    if (n_beyond > MAX_LINES) progress_logf(v->src->log, "left out: %lld more tokens beyond the embedding",
                                            (long long)(n_beyond - MAX_LINES));
    if (n_moved > MAX_LINES) progress_logf(v->src->log, "%lld more tokens have another id than the file gives them",
                                           (long long)(n_moved - MAX_LINES));
}

static bool place_added(vocab_state *v, err *e)
{
    const added_tokens *a = &v->known.added;
    size_t bytes = 1;
    for (int64_t i = 0; i < a->n; i++) bytes += (size_t)a->t[i].n + 1;
    char *w = v->respelled = malloc(bytes);
    vocab_token *t = realloc(v->t, (size_t)(v->n + a->n) * sizeof *t);
    if (t) v->t = t;
    if (!w || !t) return err_nomem(e, "the added tokens", bytes + (size_t)(v->n + a->n) * sizeof *t);
    for (int64_t i = 0; i < a->n; i++) {
        const added_token *one = &a->t[i];
        if (one->id >= v->src->n_vocab) continue;
        if (!one->in_vocab) {
            v->t[v->n] = (vocab_token){ .s = { one->text, one->n }, .id = (int32_t)one->id };
            if (!take_row(v, v->n++, e)) return false;
        }
        set_added(v, &v->t[v->row[one->id]], one->flags, &w);
    }
    return true;
}

static bool read_added(vocab_state *v, tokenizer_build build, err *e)
{
    v->known = (known_tokens){ .s = v->src, .lists = &v->lists, .vocab = &v->ids, .n_vocab = v->n_vocab };
    if (!added_lists_read(&v->lists, build, v->src, v->root, e)) return false;
    if (!known_tokens_number(&v->known, e)) return false;
    if (!added_flags_check(&v->known.added, &v->cut, v->src->dir, e)) return false;
    log_ids(v);
    return place_added(v, e);
}

// A token of the vocabulary beyond the rows of the embedding that is no added token: no merge makes it (merge_meta.h),
// but a text may hold it as a character.
static bool check_beyond(const vocab_state *v, err *e)
{
    int64_t n = 0;
    for (int64_t i = 0; i < v->n_vocab; i++) {
        const vocab_token *t = &v->t[i];
        if (t->id < v->src->n_vocab || strmap_get(&v->known.added.by_text, t->s.s, t->s.n) >= 0) continue;
        if (t->type == TOKEN_BYTE || (t->s.n > 0 && utf8_len((const uint8_t *)t->s.s, t->s.n) == t->s.n))
            return err_set(e, ERR_INPUT, "%s: token '%.80s': found id %d, expected one below %lld, the rows of the "
                           "embedding", v->where, t->s.s, t->id,
                           (long long)v->src->n_vocab);
        n++;
    }
    if (n) progress_logf(v->src->log, "left out: %lld tokens of the vocabulary beyond the %lld rows of the embedding, "
                         "which no text becomes", (long long)n,
                         (long long)v->src->n_vocab);
    return true;
}

// ---- keys -----------------------------------------------------------------------------------------------------------

typedef struct { uint8_t *text; float *score; int32_t *type; int64_t n_bytes; } token_arrays;

static int pad_text(char pad[32], int64_t id) { return snprintf(pad, 32, "[PAD%lld]", (long long)id); }

// The token of an id; for an id without one its stand-in, spelled in `pad`.
static gguf_str text_of(const vocab_state *v, int64_t id, char pad[32])
{
    if (v->row[id] >= 0 && v->t[v->row[id]].s.n > 0) return v->t[v->row[id]].s;
    return (gguf_str){ pad, pad_text(pad, id) };
}

// rank counts the ordinary tokens.
static float score_of(const vocab_state *v, const vocab_token *t, int64_t *rank)
{
    if (v->cut.kind == TOK_GEMMA4) return -1000;
    if (!t) return -10000;
    if (t->type == TOKEN_NORMAL) return -(float)(*rank)++;
    return t->added ? -1000 : 0;
}

static void fill_arrays(const vocab_state *v, token_arrays *a)
{
    uint8_t *w = a->text;
    int64_t  rank = 0, n_pad = 0;
    char     pad[32];
    for (int64_t id = 0; id < v->src->n_vocab; id++) {
        const gguf_str     s = text_of(v, id, pad);
        const vocab_token *t = s.s == pad ? NULL : &v->t[v->row[id]];
        memcpy(w, &s.n, 8);
        memcpy(w + 8, s.s, (size_t)s.n);
        w += 8 + s.n;
        a->score[id] = score_of(v, t, &rank);
        a->type[id]  = t ? t->type : TOKEN_UNUSED;
        n_pad += !t;
    }
    if (n_pad) progress_logf(v->src->log, "padded: %lld ids of %lld have no token and become [PAD<id>]",
                             (long long)n_pad, (long long)v->src->n_vocab);
}

static bool plan_tokens(gguf_plan *p, const vocab_state *v, err *e)
{
    const int64_t n = v->src->n_vocab;
    token_arrays  a = { 0 };
    char          pad[32];
    for (int64_t id = 0; id < n; id++) a.n_bytes += 8 + text_of(v, id, pad).n;
    a.text  = malloc((size_t)a.n_bytes);
    a.score = malloc((size_t)n * sizeof *a.score);
    a.type  = malloc((size_t)n * sizeof *a.type);
    if (!a.text || !a.score || !a.type) {
        free(a.text);
        free(a.score);
        free(a.type);
        return err_nomem(e, "tokens", (size_t)a.n_bytes + (size_t)n * 8);
    }
    fill_arrays(v, &a);
    const bool text = gguf_plan_arr_own(p, "tokenizer.ggml.tokens", GGUF_STRING, n, a.text, a.n_bytes, e);
    bool score = true;
    if (v->cut.kind == TOK_BYTES) free(a.score);
    else score = gguf_plan_arr_own(p, "tokenizer.ggml.scores", GGUF_F32, n, (uint8_t *)a.score, 4 * n, e);
    const bool type = gguf_plan_arr_own(p, "tokenizer.ggml.token_type", GGUF_I32, n, (uint8_t *)a.type, 4 * n, e);
    return text && score && type;
}

static bool plan_beyond(gguf_plan *p, const vocab_state *v, err *e)
{
    const added_tokens *a = &v->known.added;
    gguf_str *s = malloc(((size_t)a->n + 1) * sizeof *s);
    int64_t   n = 0;
    if (!s) return err_nomem(e, "the added tokens", (size_t)a->n * sizeof *s);
    for (int64_t i = 0; i < a->n; i++)
        if (a->t[i].id >= v->src->n_vocab) s[n++] = (gguf_str){ a->t[i].text, a->t[i].n };
    const bool ok = n == 0 || gguf_plan_arr_str(p, KEY_BEYOND, s, n, e);
    free(s);
    return ok;
}

static bool plan_all(gguf_plan *p, vocab_state *v, err *e)
{
    text_frame f;
    if (!text_frame_read(&f, v->root, &v->known, v->where, e)) return false;
    if (!text_cut_plan_model(p, &v->cut, e)) return false;
    if (!plan_tokens(p, v, e) || (v->list_merges && !merge_meta_plan(p, &v->merges, v->where, e))) return false;
    return special_ids_plan(p, &v->known, &f, e)
        && text_frame_plan(p, &f, v->src, e)
        && text_cut_plan_rules(p, &v->cut, v->src->log, e)
        && plan_beyond(p, v, e)
        && special_ids_plan_suppressed(p, v->src, e);
}

static bool check_merges(vocab_state *v, err *e)
{
    const merge_vocab m = { .kind = v->cut.kind, .where = v->where, .ids = &v->ids, .t = v->t, .n = v->n_vocab,
                            .row = v->row, .n_rows = v->src->n_vocab,
                            .log = v->src->log };
    return merge_meta_check(&v->merges, &m, &v->list_merges, e);
}

bool tokenizer_meta_plan(gguf_plan *p, const tokenizer_source *s, err *e)
{
    vocab_state v = { .src = s };
    tokenizer_build build;
    bool ok = false;
    snprintf(v.where, sizeof v.where, "%s/tokenizer.json", s->dir);
    if (!merges_take(&v.merges, s->text, s->n_text, v.where, e)) goto out;
    v.root = json_parse(s->text, s->n_text, v.where, e);
    if (!v.root || !tokenizer_class_read(&build, s, e)) goto out;
    if (!text_cut_read(&v.cut, build, s, v.root, &v.merges, v.where, e)) goto out;
    ok = read_vocab(&v, e) && read_added(&v, build, e) && check_beyond(&v, e) && check_merges(&v, e)
        && plan_all(p, &v, e);
out:
    free(v.respelled);
    free(v.t);
    free(v.row);
    known_tokens_free(&v.known);
    added_lists_free(&v.lists);
    strmap_free(&v.ids);
    cJSON_Delete(v.root);
    merges_free(&v.merges);
    return ok;
}
