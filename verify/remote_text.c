// remote_text: see remote_text.h.
#include "remote_text.h"
#include "../formats/text_file.h"
#include <stdlib.h>
#include <string.h>

static bool whole_characters(const char *s, int64_t n) { return n > 0 && utf8_valid_bytes(s, n) == n; }

// The bytes of all ids that have text; *n_steps of them.
static bool put_text(remote_text *x, const tokenizer *t, const fixture *f, const fixture_case *c, err *e)
{
    const char *piece;
    int64_t     n, room = c->prompt_bytes + 1;
    for (int64_t i = 0; i < f->tokens && !tokenizer_is_special(t, c->generated_ids[i]); i++) {
        if (!tokenizer_piece(t, c->generated_ids[i], &piece, &n)) break;
        room += n;
        x->n_steps++;
    }
    x->text  = calloc((size_t)room, 1);
    x->begin = calloc((size_t)x->n_steps + 1, sizeof *x->begin);
    x->asked = calloc((size_t)x->n_steps + 1, sizeof *x->asked);
    if (!x->text || !x->begin || !x->asked) return err_nomem(e, "a text", (size_t)room);
    memcpy(x->text, c->prompt, (size_t)c->prompt_bytes);
    x->begin[0] = c->prompt_bytes;
    for (int64_t i = 0; i < x->n_steps; i++) {
        tokenizer_piece(t, c->generated_ids[i], &piece, &n);
        memcpy(x->text + x->begin[i], piece, (size_t)n);
        x->begin[i + 1] = x->begin[i] + n;
    }
    return true;
}

// Does the text before a step encode to the ids before it?
static bool encodes(const remote_text *x, const tokenizer *t, const fixture_case *c, int64_t step, bool *same, err *e)
{
    int32_t *ids = NULL;
    int64_t  n = 0;
    *same = false;
    if (!tokenizer_encode(t, x->text, x->begin[step], true, true, &ids, &n, e)) return false;
    *same = n == c->n_prompt + step && memcmp(ids, c->prompt_ids, (size_t)c->n_prompt * sizeof *ids) == 0
         && memcmp(ids + c->n_prompt, c->generated_ids, (size_t)step * sizeof *ids) == 0;
    free(ids);
    return true;
}

bool remote_text_new(remote_text *x, const tokenizer *t, const fixture *f, const fixture_case *c, err *e)
{
    memset(x, 0, sizeof *x);
    if (!put_text(x, t, f, c, e) || !encodes(x, t, c, 0, &x->same_prompt, e)) return false;
    x->whole_prompt = whole_characters(x->text, x->begin[0]) && !memchr(x->text, 0, (size_t)x->begin[0]);
    for (int64_t i = 0; i < x->n_steps; i++) {
        const int64_t n = x->begin[i + 1] - x->begin[i];
        if (!whole_characters(x->text, x->begin[i]) || !whole_characters(x->text + x->begin[i], n)) continue;
        if (memchr(x->text, 0, (size_t)x->begin[i])) continue;          // no JSON reader of theirs need take it
        if (!encodes(x, t, c, i, &x->asked[i], e)) return false;
    }
    return true;
}

void remote_text_free(remote_text *x)
{
    free(x->text);
    free(x->begin);
    free(x->asked);
    memset(x, 0, sizeof *x);
}

char *remote_text_before(const remote_text *x, int64_t step)
{
    char *s = calloc((size_t)x->begin[step] + 1, 1);
    if (s) memcpy(s, x->text, (size_t)x->begin[step]);
    return s;
}

int64_t remote_text_length(const remote_text *x, int64_t n_free)
{
    int64_t n = n_free < x->n_steps ? n_free : x->n_steps;
    while (n > 0 && !whole_characters(x->text + x->begin[0], x->begin[n] - x->begin[0])) n--;
    return n;
}

bool remote_text_follows(const remote_text *x, int64_t step, const char **answer)
{
    const size_t n = (size_t)(x->begin[step + 1] - x->begin[step]);
    if (strncmp(*answer, x->text + x->begin[step], n) != 0) return false;
    *answer += n;
    return true;
}

int32_t remote_text_id(const tokenizer *t, const fixture_step *s, int top_k, const char *answer)
{
    int32_t     id = -1;
    const char *piece;
    int64_t     n, longest = 0;
    for (int k = 0; k < top_k; k++) {
        if (tokenizer_is_special(t, s->ids[k]) || !tokenizer_piece(t, s->ids[k], &piece, &n)) continue;
        if (n <= longest || strncmp(answer, piece, (size_t)n) != 0) continue;
        longest = n;
        id      = s->ids[k];
    }
    return id;
}
