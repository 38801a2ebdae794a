// lab_places: see lab_places.h.
#include "lab_places.h"
#include <stdlib.h>
#include <string.h>

static char *copy_of(const char *s, int64_t n)
{
    char *to = malloc((size_t)n + 1);
    if (!to) return NULL;
    memcpy(to, s, (size_t)n);
    to[n] = '\0';
    return to;
}

// The text of ids from .. to - 1 of a chunk, cut to what the chunk has. A NUL in it ends it.
static char *text_of(const lab_plan *p, const int32_t *ids, int64_t from, int64_t to, err *e)
{
    char   *s = NULL;
    int64_t n;
    if (from < 0) from = 0;
    if (to > p->chunk) to = p->chunk;
    if (from >= to) return copy_of("", 0);
    return tokenizer_decode(model_tokenizer(p->artifacts[0].m), ids + from, to - from, false, &s, &n, e) ? s : NULL;
}

static char *piece_of(const lab_plan *p, int32_t id)
{
    const char *s = "";
    int64_t     n = 0;
    if (id < 0 || !tokenizer_piece(model_tokenizer(p->artifacts[0].m), id, &s, &n)) return copy_of("", 0);
    return copy_of(s, n);
}

static bool fill_place(lab_place *w, const lab_plan *p, const int32_t *ids, const lab_point *x, err *e)
{
    const int64_t next = w->position + 1;
    w->before = text_of(p, ids, next - LAB_AROUND, next, e);
    w->next = text_of(p, ids, next, next + 1, e);
    w->after = text_of(p, ids, next + 1, next + 1 + LAB_AROUND, e);
    w->base_best = piece_of(p, x->base_top);
    w->best = piece_of(p, x->top);
    const bool ok = w->before && w->next && w->after && w->base_best && w->best;
    return ok || e->kind != ERR_NONE || err_nomem(e, "a place's text", 0);
}

// Puts position i in its place among those found so far.
static int insert(const lab_cell *c, int64_t worst[LAB_WORST], int n, int64_t i)
{
    int at = n;
    while (at > 0 && c->points[i].kl > c->points[worst[at - 1]].kl) at--;
    if (at == LAB_WORST) return n;
    const int kept = n < LAB_WORST ? n : LAB_WORST - 1;
    memmove(worst + at + 1, worst + at, (size_t)(kept - at) * sizeof *worst);
    worst[at] = i;
    return kept + 1;
}

bool lab_places_find(lab_cell *c, const lab_plan *p, int64_t chunk, err *e)
{
    int64_t worst[LAB_WORST];
    const lab_chunk *k = &p->chunks[chunk];
    const int32_t *ids = p->texts[k->text].ids + k->first;
    int n = 0;
    for (int64_t i = 0; i < lab_points(p); i++)
        if (c->points[i].kl > 0) n = insert(c, worst, n, i);
    c->worst = calloc((size_t)n + 1, sizeof *c->worst);
    if (!c->worst) return err_nomem(e, "places", (size_t)n * sizeof *c->worst);
    for (int i = 0; i < n; i++) {
        c->n_worst++;
        c->worst[i].position = p->skip + worst[i];
        if (!fill_place(&c->worst[i], p, ids, &c->points[worst[i]], e)) return false;
    }
    return true;
}
