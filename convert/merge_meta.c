#include "merge_meta.h"

#include <stdlib.h>
#include <string.h>

typedef struct { int32_t left, right, result; } made;     // ids

// ---- are its tokens tokens? -----------------------------------------------------------------------------------------

static bool join(const merges *all, int64_t i, const merge_vocab *v, char **buf, int64_t *cap, made *out, err *e)
{
    const merge  *m = &all->m[i];
    const char   *s = all->joined + m->off, *right = s + m->n_left + 1;
    const int64_t n = (int64_t)m->n_left + m->n_right;
    if (*cap < n) {
        char *p = realloc(*buf, (size_t)(2 * n));
        if (!p) return err_nomem(e, "a merge", (size_t)(2 * n));
        *buf = p;
        *cap = 2 * n;
    }
    memcpy(*buf, s, (size_t)m->n_left);
    memcpy(*buf + m->n_left, right, (size_t)m->n_right);
    *out = (made){ strmap_get(v->ids, s, m->n_left), strmap_get(v->ids, right, m->n_right),
                   strmap_get(v->ids, *buf, n) };
    const int show_left = m->n_left < 80 ? m->n_left : 80, show_right = m->n_right < 80 ? m->n_right : 80;
    if (out->left < 0 || out->right < 0 || out->result < 0)
        return err_set(e, ERR_INPUT, "%s: merges: element %lld '%.*s' + '%.*s': not in the vocabulary", v->where,
                       (long long)i, show_left, s, show_right, right);
    if (out->left < v->n_rows && out->right < v->n_rows && out->result < v->n_rows) return true;
    return err_set(e, ERR_INPUT, "%s: merges: element %lld '%.*s' + '%.*s': found ids %d, %d and %d, expected ids "
                   "below %lld, the rows of the embedding", v->where, (long long)i, show_left, s, show_right, right,
                   out->left, out->right, out->result, (long long)v->n_rows);
}

static bool join_all(const merges *m, const merge_vocab *v, made *out, err *e)
{
    char   *buf = NULL;
    int64_t cap = 0;
    bool    ok = true;
    for (int64_t i = 0; ok && i < m->n; i++) ok = join(m, i, v, &buf, &cap, &out[i], e);
    free(buf);
    return ok;
}

// Of merges of one pair the last stays, in its place.
static bool drop_repeated(merges *m, made *d, const merge_vocab *v, err *e)
{
    int64_t kept = 0;
    strmap  last = { 0 };
    bool   *drop = calloc((size_t)m->n + 1, sizeof *drop);
    if (!drop) return err_nomem(e, "merges", (size_t)m->n);
    if (!strmap_init(&last, m->n, e)) { free(drop); return false; }
    for (int64_t i = m->n - 1; i >= 0; i--)
        drop[i] = strmap_put(&last, (const char *)&d[i], 2 * (int64_t)sizeof d[i].left, (int32_t)i) >= 0;
    for (int64_t i = 0; i < m->n; i++) {
        if (drop[i]) continue;
        m->m[kept] = m->m[i];
        d[kept++] = d[i];
    }
    if (kept < m->n) progress_logf(v->log, "merges: %lld stand more than once: the last of each counts, as in "
                                   "Transformers, and is the one in the file",
                                   (long long)(m->n - kept));
    m->n = kept;
    strmap_free(&last);
    free(drop);
    return true;
}

// ---- can scores say their order? ------------------------------------------------------------------------------------

// Ways to split a token's text in two tokens, over all tokens of the vocabulary.
static bool count_splits(const merge_vocab *v, int64_t *count, err *e)
{
    const hash_key *k = &v->ids->key;
    int64_t longest = 0;
    *count = 0;
    for (int64_t i = 0; i < v->n; i++)
        if (v->t[i].s.n > longest) longest = v->t[i].s.n;
    uint64_t *left = malloc(((size_t)longest + 1) * sizeof *left);      // hashes of the beginnings
    if (!left) return err_nomem(e, "a token", (size_t)longest * sizeof *left);
    for (int64_t i = 0; i < v->n; i++) {
        const char   *s = v->t[i].s.s;
        const int64_t n = v->t[i].s.n;
        uint64_t right = 0, power = 1;
        left[0] = 0;
        for (int64_t b = 0; b < n; b++) left[b + 1] = hash_append(k, left[b], (uint8_t)s[b]);
        for (int64_t b = n - 1; b > 0; b--) {
            right = hash_prepend(k, right, (uint8_t)s[b], &power);
            if (((uint8_t)s[b] & 0xc0) == 0x80) continue;       // within a character
            if (strmap_get_hashed(v->ids, s, b, left[b]) < 0) continue;
            *count += strmap_get_hashed(v->ids, s + b, n - b, right) >= 0;
        }
    }
    free(left);
    return true;
}

// Scores say which merge goes first by the id of what it makes, and that every pair that makes a token is a merge.
// Readers of such files (Transformers' generate_merges; runtime/tokenizer_merges.c) try the longer left side first.
// `usual`: the merges are exactly those, in that order. Added tokens are cut out of a text before any merge; among all
// others the order must be that of the scores.
static bool check_order(const merges *m, const made *d, const merge_vocab *v, bool *usual, err *e)
{
    int32_t last = -1, last_normal = -1, last_left = 0;
    *usual = true;
    for (int64_t i = 0; i < m->n; i++) {
        const int32_t id = d[i].result, left = m->m[i].n_left;
        *usual = *usual && (id > last || (id == last && left < last_left));
        last = id;
        last_left = left;
        if (v->t[v->row[id]].type != TOKEN_NORMAL) continue;
        if (id < last_normal)
            return err_set(e, ERR_INPUT, "%s: merges: element %lld makes id %d after id %d: scores cannot say that "
                           "order", v->where, (long long)i, id, last_normal);
        last_normal = id;
    }
    return true;
}

bool merge_meta_check(merges *m, const merge_vocab *v, bool *listed, err *e)
{
    int64_t splits = 0;
    bool    usual = false;
    *listed = true;
    if (m->n == 0) return err_set(e, ERR_INPUT, "%s: model.merges: found none", v->where);
    made *d = malloc((size_t)m->n * sizeof *d);
    if (!d) return err_nomem(e, "merges", (size_t)m->n * sizeof *d);
    bool ok = join_all(m, v, d, e) && drop_repeated(m, d, v, e);
    if (ok && v->kind == TOK_LLAMA) ok = check_order(m, d, v, &usual, e);
    if (ok && usual) ok = count_splits(v, &splits, e);
    free(d);
    if (!ok || v->kind != TOK_LLAMA) return ok;
    *listed = !usual || splits != m->n;
    if (*listed) progress_logf(v->log, "merges: not all that scores would say, or in another order: they are listed "
                               "beside the scores");
    return true;
}

bool merge_meta_plan(gguf_plan *p, const merges *m, const char *where, err *e)
{
    gguf_str *s = malloc(((size_t)m->n + 1) * sizeof *s);
    if (!s) return err_nomem(e, "merges", (size_t)m->n * sizeof *s);
    bool ok = true;
    for (int64_t i = 0; ok && i < m->n; i++) {
        const merge *one = &m->m[i];
        const char  *at = m->joined + one->off;
        s[i] = (gguf_str){ at, (int64_t)one->n_left + 1 + one->n_right };
        if (memchr(at, ' ', (size_t)one->n_left) || memchr(at + one->n_left + 1, ' ', (size_t)one->n_right))
            ok = err_set(e, ERR_INPUT, "%s: merges: element %lld '%.*s': a token holds a space", where, (long long)i,
                         s[i].n < 80 ? (int)s[i].n : 80, at);
    }
    ok = ok && gguf_plan_arr_str(p, "tokenizer.ggml.merges", s, m->n, e);
    free(s);
    return ok;
}
