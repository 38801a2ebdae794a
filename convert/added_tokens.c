#include "added_tokens.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    added_tokens *a;
    const strmap *vocab;
    int64_t       n_vocab, next;    // next: the first free id of this round
    int64_t       max;              // largest id that was given, or -1
} numbering;

// Transformers adds tokens in rounds; each begins behind the vocabulary, or behind what was added beyond it.
static void begin_round(numbering *m) { m->next = m->max >= m->n_vocab ? m->max + 1 : m->n_vocab; }

static bool add(numbering *m, const added_entry *x, unsigned more_flags, const char *dir, err *e)
{
    const size_t n = strlen(x->text);
    if (n == 0) return true;        // Transformers passes over it
    if (n > LIMIT_TOKEN_BYTES)
        return err_set(e, ERR_INPUT, "%s/%s: token '%.40s...': found %zu bytes, expected at most %d", dir, x->file,
                       x->text, n, LIMIT_TOKEN_BYTES);
    const int32_t at = strmap_put(&m->a->by_text, x->text, (int64_t)n, (int32_t)m->a->n);
    if (at >= 0) {
        added_token *t = &m->a->t[at];
        t->flags = x->flags | more_flags | (t->flags & ADDED_SPECIAL);
        if (x->id >= 0) t->said = x->id;
        return true;
    }
    const int32_t known = strmap_get(m->vocab, x->text, (int64_t)n);
    const int64_t id = known >= 0 ? known : m->next++;
    if (id > m->max) m->max = id;
    m->a->t[m->a->n++] = (added_token){ .text = x->text, .n = (int32_t)n, .id = id, .said = x->id, .file = x->file,
                                        .flags = x->flags | more_flags,
                                        .in_vocab = known >= 0 };
    return true;
}

static bool has(const strmap *m, const char *text) { return strmap_get(m, text, (int64_t)strlen(text)) >= 0; }

// An eos_token that no file lists as a token would get a fresh id, and no text would ever end with it.
static bool check_eos(const numbering *m, const added_lists *l, const tokenizer_source *s, err *e)
{
    const char *text = l->text[NAME_EOS];
    if (!text || !l->text_file[NAME_EOS] || has(m->vocab, text) || has(&m->a->by_text, text)) return true;
    for (int64_t i = 0; i < l->extra.n; i++)
        if (strcmp(l->extra.e[i].text, text) == 0) return true;
    return err_set(e, ERR_INPUT, "%s/%s: eos_token: found '%.80s', which is a token of no file, expected one of the "
                   "vocabulary or of the added tokens", s->dir,
                   l->text_file[NAME_EOS], text);
}

static bool add_all(numbering *m, const added_lists *l, const strmap *names, const tokenizer_source *s, err *e)
{
    begin_round(m);
    for (int64_t i = 0; i < l->file.n; i++)
        if (!add(m, &l->file.e[i], 0, s->dir, e)) return false;
    begin_round(m);
    for (int64_t i = 0; i < l->listed.n; i++)
        if (!add(m, &l->listed.e[i], has(names, l->listed.e[i].text) ? ADDED_SPECIAL : 0, s->dir, e)) return false;
    if (!check_eos(m, l, s, e)) return false;
    const int64_t listed = m->a->n;     // tokens that have come by now are not added again by their names
    for (int g = 0; g < 2; g++) {
        const added_list *group = g == 0 ? &l->named : &l->extra;
        for (int64_t i = 0; i < group->n; i++) {
            const int32_t at = strmap_get(&m->a->by_text, group->e[i].text, (int64_t)strlen(group->e[i].text));
            if ((at < 0 || at >= listed) && !add(m, &group->e[i], g == 0 ? ADDED_SPECIAL : 0, s->dir, e)) return false;
        }
    }
    return true;
}

// The id beyond the embedding that a file gives is what people know the token by, and the fresh one would be a row that
// nothing was trained for.
static void keep_beyond(added_tokens *a, int64_t n_rows)
{
    for (int64_t i = 0; i < a->n; i++)
        if (!a->t[i].in_vocab && a->t[i].said >= n_rows) a->t[i].id = a->t[i].said;
}

bool known_tokens_number(known_tokens *k, err *e)
{
    const added_lists *l = k->lists;
    added_tokens *a = &k->added;
    const int64_t most = l->file.n + l->listed.n + l->named.n + l->extra.n;
    numbering m = { .a = a, .vocab = k->vocab, .n_vocab = k->n_vocab, .max = -1 };
    strmap names = { 0 };
    memset(a, 0, sizeof *a);
    a->t = malloc(((size_t)most + 1) * sizeof *a->t);
    bool ok = a->t || err_nomem(e, "added tokens", (size_t)most * sizeof *a->t);
    ok = ok && strmap_init(&a->by_text, most, e) && strmap_init(&names, l->named.n, e);
    for (int64_t i = 0; ok && i < l->named.n; i++)
        strmap_put(&names, l->named.e[i].text, (int64_t)strlen(l->named.e[i].text), 1);
    ok = ok && add_all(&m, l, &names, k->s, e);
    strmap_free(&names);
    if (ok) keep_beyond(a, k->s->n_vocab);
    return ok;
}

void known_tokens_free(known_tokens *k)
{
    free(k->added.t);
    strmap_free(&k->added.by_text);
    memset(&k->added, 0, sizeof k->added);
}

int64_t known_tokens_id(const known_tokens *k, const char *text)
{
    if (!text) return -1;
    const int64_t n = (int64_t)strlen(text);
    const int32_t at = strmap_get(&k->added.by_text, text, n);
    return at >= 0 ? k->added.t[at].id : strmap_get(k->vocab, text, n);
}

bool known_tokens_adds(const known_tokens *k, int64_t id)
{
    for (int64_t i = 0; i < k->added.n; i++)
        if (k->added.t[i].id == id) return true;
    return false;
}
