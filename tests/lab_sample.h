// lab_sample: a laboratory's result made up by rule, for reports to be tried on: caches whose loss grows as their bytes
// shrink, files whose loss is their own, categories and bands that differ, places from texts in several scripts. No
// file, no model; the same sample gives the same result.
#ifndef HALLMARK_TESTS_LAB_SAMPLE_H
#define HALLMARK_TESTS_LAB_SAMPLE_H

#include "measure/lab_figures.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_KV = 40, SAMPLE_FILES = 4, SAMPLE_CATEGORIES = 6, SAMPLE_CONTEXT = 32768 };

typedef struct {
    int         n_kv;           // caches of each file, 1 .. SAMPLE_KV
    int         n_files;        // the base with them, 1 .. SAMPLE_FILES
    int         n_chunks;       // 1: no intervals
    int64_t     chunk;
    bool        nothing_lost;   // every KL is 0, every agreement 1
    bool        by_layer;       // caches of one layer alone
    const char *text;           // stands for every text from outside; NULL: harmless ones
} sample_opts;

typedef struct {
    lab_plan     plan;
    lab_result   result;
    lab_place   *places;
    int          n_places;
} lab_sample;

// Bits for each number that is cached, and the mean KL that it costs; from measurements of a small model.
static const struct { const char *kv; double bits, kl; const char *llama; } sample_kv[SAMPLE_KV] = {
    { "q8_0:rot", 8.5, 0.0007, "-ctk q8_0 -ctv q8_0" }, { "q8_0", 8.5, 0.0011, NULL },
    { "q4_0:rot", 4.5, 0.14, "-ctk q4_0 -ctv q4_0" }, { "q4_0", 4.5, 0.18, NULL }, { "bf16", 16, 0, NULL },
    { "kivi2:g32:r128", 2.6, 0.31, NULL }, { "k=q8_0,v=q4_0:rot", 6.5, 0.041, NULL },
    { "f16", 16, 0.000045, "-ctk f16 -ctv f16" }, { "q5_1", 6, 0.019, NULL }, { "q5_0", 5.5, 0.034, NULL },
    { "q4_1", 5, 0.09, NULL }, { "iq4_nl", 4.5, 0.12, NULL }, { "kivi4:g32:r128", 4.7, 0.016, NULL },
    { "q4_0+sink4+recent64", 4.53, 0.087, NULL }, { "sliding:q4_0;full:bf16", 7.4, 0.022, NULL },
    { "sliding:q8_0;full:q4_0:rot", 5.5, 0.11, NULL }, { "layers 0-5,29:bf16;*:q4_0", 7.1, 0.052, NULL },
    { "f32", 32, 0.000044, NULL }, { "k=bf16,v=q4_0", 10.25, 0.037, NULL }, { "k=q4_0,v=bf16", 10.25, 0.15, NULL },
    { "q5_1:rot", 6, 0.012, NULL }, { "q5_0:rot", 5.5, 0.026, NULL }, { "q4_1:rot", 5, 0.077, NULL },
    { "iq4_nl:rot", 4.5, 0.099, NULL }, { "kivi2:g64:r128", 2.4, 0.37, NULL }, { "kivi2:g32:r32", 2.5, 0.36, NULL },
    { "kivi4:g64:r128", 4.5, 0.02, NULL }, { "kivi4:g32:r32", 4.6, 0.018, NULL }, { "k=q8_0,v=q5_0", 7, 0.015, NULL },
    { "k=q8_0,v=q5_1", 7.25, 0.009, NULL }, { "k=q8_0,v=iq4_nl", 6.5, 0.029, NULL },
    { "k=q5_1,v=q4_0", 5.25, 0.06, NULL }, { "k=q5_1,v=q8_0", 7.25, 0.014, NULL },
    { "k=q4_0,v=q8_0", 6.5, 0.145, NULL }, { "k=f16,v=q8_0", 12.25, 0.0004, NULL },
    { "k=q8_0,v=f16", 12.25, 0.0009, NULL }, { "k=bf16,v=q5_1", 11, 0.006, NULL },
    { "q8_0+sink4", 8.5, 0.00108, NULL }, { "q4_0+sink4", 4.5, 0.161, NULL },
    { "kivi2:g32:r128+sink4", 2.62, 0.28, NULL },
};

static const struct { const char *category, *name; double loss; } sample_texts[SAMPLE_CATEGORIES] = {
    { "coding", "scheduler.py", 0.7 }, { "chat", "dialogues.txt", 1 }, { "tool_calling", "calls.jsonl", 0.5 },
    { "science", "papers.txt", 1.1 }, { "non_latin", "news-ar-ja-hi.txt", 1.7 }, { "long_document", "book.txt", 1.3 },
};

#define PLACE(at, before, next, after, base_best, best) \
    { at, (char *)(before), (char *)(next), (char *)(after), (char *)(base_best), (char *)(best) }
static const lab_place sample_places[SAMPLE_CATEGORIES] = {
    PLACE(310, "    def __init__(self, queue):\n        self.queue = ", "queue", "\n        self.done = False\n",
          "queue", "deque"),
    PLACE(17, "User: could you tell me which of the two trains is faster? Assistant:", " The",
          " second one takes forty minutes less,", " The", " It"),
    PLACE(402, "{\"name\": \"get_weather\", \"arguments\": {\"city\": ", "\"", "Zürich\", \"unit\": \"celsius\"}}",
          "\"", "["),
    PLACE(255, "where the second term vanishes as $n \\to \\infty$, so that <x> & <y> are", " equal",
          " in the limit; compare Figure 3 |a|", " equal", " orthogonal"),
    PLACE(77, "وقالت الوزارة في بيان لها إن عدد الزوار", " ارتفع", " خلال العام الماضي بنسبة كبيرة", " ارتفع", " بلغ"),
    PLACE(501, "彼は窓の外を見ながら、", "静か", "に言った。「もう遅い」と。", "静か", "何"),
};
static const char *const sample_types[SAMPLE_FILES] = { "BF16", "Q8_0", "Q4_K_M", "Q2_K" };
static const double sample_weights[SAMPLE_FILES] = { 0, 0.0031, 0.056, 0.44 };      // KL of the files alone

static const char sample_digest[] = "3b1f0e6a5d4c8b7a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2";

// Between 0.9 and 1.1, by a rule that knows no state.
static inline double sample_jitter(int a, int b, int c)
{
    uint32_t x = 2654435761u * (uint32_t)(a + 1) ^ 40503u * (uint32_t)(b + 7) ^ 69069u * (uint32_t)(c + 13);
    x ^= x >> 15;
    x *= 2246822519u;
    return 0.9 + 0.2 * (double)(x >> 8) / (double)(1 << 24);
}

static inline lab_figure sample_figure(const sample_opts *o, double v, double wide)
{
    if (o->n_chunks == 1) return (lab_figure){ v, NAN, NAN };
    return (lab_figure){ v, v * (1 - wide), v * (1 + wide) };
}

static inline lab_figure sample_share(const sample_opts *o, double v)
{
    lab_figure f = sample_figure(o, 1 - v, 0.2);
    return (lab_figure){ v, 1 - f.high, 1 - f.low };
}

static inline lab_figures sample_figures(const sample_opts *o, double kl, int64_t tokens, int chunks)
{
    if (o->nothing_lost) kl = 0;
    return (lab_figures){
        .tokens = tokens, .chunks = chunks, .kl_mean = sample_figure(o, kl, 0.08),
        .kl_median = sample_figure(o, kl / 9, 0.1), .kl_p90 = sample_figure(o, 2.3 * kl, 0.1),
        .kl_p99 = sample_figure(o, 12 * kl, 0.2), .kl_p999 = sample_figure(o, 31 * kl, 0.3),
        .kl_max = sample_figure(o, 70 * kl, 0.3), .top1 = sample_share(o, 1 - 0.18 * pow(kl / 0.14, 0.7)),
        .top5 = sample_share(o, 1 - 0.21 * pow(kl / 0.14, 0.7)), .change_mean = sample_figure(o, -0.05 * kl, 0.3),
        .change_rms = sample_figure(o, 0.2 * sqrt(kl), 0.1), .change_p99 = sample_figure(o, 0.7 * sqrt(kl), 0.1),
        .nll_base = 2.71828, .nll = 2.71828 + 0.6 * kl,
    };
}

static inline char *sample_text(const sample_opts *o, const char *harmless)
{
    return strdup(o->text ? o->text : harmless);
}

static inline void sample_plan(lab_plan *p, const sample_opts *o)
{
    p->n_artifacts = o->n_files;
    p->artifacts = calloc((size_t)o->n_files, sizeof *p->artifacts);
    for (int i = 0; i < o->n_files; i++) {
        char name[64];
        snprintf(name, sizeof name, "gemma-3-270m-it-%s.gguf", sample_types[i]);
        p->artifacts[i] = (lab_artifact){ .name = sample_text(o, name), .type = sample_text(o, sample_types[i]) };
        strcpy(p->artifacts[i].digest, sample_digest);
    }
    p->n_texts = o->n_chunks < SAMPLE_CATEGORIES ? 1 : SAMPLE_CATEGORIES;
    p->texts = calloc((size_t)p->n_texts, sizeof *p->texts);
    for (int i = 0; i < p->n_texts; i++) {
        p->texts[i] = (lab_text){ .category = sample_text(o, sample_texts[i].category),
                                  .name = sample_text(o, sample_texts[i].name), .chunks = o->n_chunks / p->n_texts };
        p->texts[i].tokens = p->texts[i].chunks * o->chunk + 99;
        strcpy(p->texts[i].sha256, sample_digest);
    }
    p->n_chunks = o->n_chunks;
    p->chunk    = o->chunk;
    p->context  = SAMPLE_CONTEXT;
    p->n_vocab  = 262144;
    p->bos      = 2;
    p->base_context_bytes = 2 * 1152 * (int64_t)SAMPLE_CONTEXT;
    strcpy(p->base_kv, "bf16");
    strcpy(p->arith, "bf16");
}

// Candidates: the base with each cache, then each other file with the base's own and each.
static inline void sample_candidates(lab_plan *p, const sample_opts *o)
{
    p->candidates = calloc((size_t)(o->n_files * (o->n_kv + 1)), sizeof *p->candidates);
    for (int f = 0; f < o->n_files; f++)
        for (int k = f == 0 ? 0 : -1; k < o->n_kv; k++) {
            char one[64];
            snprintf(one, sizeof one, "layers %d:%s;*:bf16", k / 2, k % 2 ? "k=bf16,v=q4_0" : "k=q4_0,v=bf16");
            lab_candidate *c = &p->candidates[p->n_candidates++];
            c->artifact = f;
            c->layer    = o->by_layer && k >= 0 ? k / 2 : -1;
            c->values   = k % 2 != 0;
            c->kv       = sample_text(o, k < 0 ? "bf16" : o->by_layer ? one : sample_kv[k].kv);
            c->llama    = k >= 0 && sample_kv[k].llama ? sample_text(o, sample_kv[k].llama) : NULL;
            const double bits = k < 0 ? 16 : o->by_layer ? 15.6 : sample_kv[k].bits;
            c->context_bytes = (int64_t)(bits * 1152 / 8 * SAMPLE_CONTEXT);
        }
}

static inline void sample_worst(lab_sample *s, const sample_opts *o, lab_category *c, int at, int category)
{
    for (int i = 0; i < LAB_WORST && c->f.kl_max.v > 0; i++) {
        const lab_place *from = &sample_places[(category + i) % SAMPLE_CATEGORIES];
        lab_place *to = &s->places[s->n_places++];
        *to = (lab_place){ from->position + i, sample_text(o, from->before), sample_text(o, from->next),
                           sample_text(o, from->after), sample_text(o, from->base_best), sample_text(o, from->best) };
        c->worst[c->n_worst++] = (lab_worst){ (at + i) % o->n_chunks, c->f.kl_max.v / (1 + i), to };
    }
}

static inline void sample_measure(lab_sample *s, const sample_opts *o, int at, double kl)
{
    const lab_plan *p = &s->plan;
    lab_measured   *m = &s->result.measured[at];
    const int64_t   each = p->chunk - 1 - p->skip;
    m->all = sample_figures(o, kl, each * p->n_chunks, o->n_chunks);
    m->n_categories = p->n_texts;
    m->categories   = calloc((size_t)p->n_texts, sizeof *m->categories);
    for (int i = 0; i < p->n_texts; i++) {
        lab_category *c = &m->categories[i];
        c->category = p->texts[i].category;
        const double more = sample_texts[i].loss * sample_jitter(at, i, 0);
        c->f = sample_figures(o, kl * more, each * p->texts[i].chunks, o->n_chunks);
        sample_worst(s, o, c, at, i);
    }
    m->bands = calloc(32, sizeof *m->bands);
    for (int64_t from = 0; from < p->chunk - 1;) {
        const int64_t to = from == 0 ? 256 : 2 * from, end = to < p->chunk - 1 ? to : p->chunk - 1;
        const double  more = pow(1.2, m->n_bands) * sample_jitter(at, m->n_bands, 1);
        const lab_figures f = sample_figures(o, 0.7 * kl * more, (end - from) * p->n_chunks, o->n_chunks);
        m->bands[m->n_bands++] = (lab_band){ from, end, f };
        from = to;
    }
}

static inline void sample_compounds(lab_sample *s, const sample_opts *o)
{
    lab_result *r = &s->result;
    r->compounds = calloc((size_t)(o->n_files * o->n_kv + 1), sizeof *r->compounds);
    for (int f = 1; f < o->n_files; f++)
        for (int k = 0; k < o->n_kv; k++) {
            const int first = o->n_kv + (f - 1) * (o->n_kv + 1);
            lab_compound *x = &r->compounds[r->n_compounds++];
            *x = (lab_compound){ .artifact = f, .kv = k, .weights = first, .cache = k, .both = first + 1 + k };
            const double sum = r->measured[x->weights].all.kl_mean.v + r->measured[k].all.kl_mean.v;
            x->share = sample_figure(o, r->measured[x->both].all.kl_mean.v / sum, 0.06);  // not finite where all is 0
        }
}

static inline lab_sample *lab_sample_new(const sample_opts *o)
{
    lab_sample *s = calloc(1, sizeof *s);
    lab_result *r = &s->result;
    sample_plan(&s->plan, o);
    sample_candidates(&s->plan, o);
    r->plan     = &s->plan;
    r->measured = calloc((size_t)s->plan.n_candidates, sizeof *r->measured);
    s->places   = calloc((size_t)(s->plan.n_candidates * SAMPLE_CATEGORIES * LAB_WORST), sizeof *s->places);
    for (int f = 0, at = 0; f < o->n_files; f++)
        for (int k = f == 0 ? 0 : -1; k < o->n_kv; k++, at++) {
            const double cache = k < 0 ? 0 : o->by_layer ? 0.0004 * (1 + k % 7) : sample_kv[k].kl;
            sample_measure(s, o, at, (cache + sample_weights[f]) * (cache > 0 && f > 0 ? 0.85 + 0.15 * f : 1));
        }
    sample_compounds(s, o);
    r->best    = o->n_kv > 0 ? 0 : -1;
    r->avoid   = o->n_kv > 3 ? 3 : -1;
    r->instead = r->avoid < 0 ? -1 : 2;
    return s;
}

static inline void lab_sample_free(lab_sample *s)
{
    lab_plan *p = &s->plan;
    for (int i = 0; i < p->n_artifacts; i++) free(p->artifacts[i].name), free(p->artifacts[i].type);
    for (int i = 0; i < p->n_texts; i++) free(p->texts[i].category), free(p->texts[i].name);
    for (int i = 0; i < p->n_candidates; i++) {
        free(p->candidates[i].kv);
        free(p->candidates[i].llama);
        free(s->result.measured[i].categories);
        free(s->result.measured[i].bands);
    }
    for (int i = 0; i < s->n_places; i++) {
        lab_place *x = &s->places[i];
        free(x->before), free(x->next), free(x->after), free(x->base_best), free(x->best);
    }
    free(p->artifacts), free(p->texts), free(p->candidates), free(s->places);
    free(s->result.measured), free(s->result.compounds), free(s);
}

#endif
