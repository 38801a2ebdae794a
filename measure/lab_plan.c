// lab_plan: files, caches and texts checked, and put down as what a run measures. See lab_plan.h.
#include "lab_internal.h"
#include "../formats/checked.h"
#include "../formats/claims.h"
#include "../formats/version.h"
#include "../runtime/kv_spec.h"
#include "texts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CONTEXT = 32768 };

// ---- files ----------------------------------------------------------------------------------------------------------

// Both files mean the same by an id.
static bool check_vocabulary(const model *base, const model *m, err *e)
{
    const int64_t want = model_hparams(base)->n_vocab, found = model_hparams(m)->n_vocab;
    const char *path = gguf_path(model_gguf(m)), *key = "tokenizer.ggml.tokens";
    if (found != want)
        return err_set(e, ERR_INPUT, "%s: a vocabulary of %lld, expected the base's %lld", path, (long long)found,
                       (long long)want);
    const gguf_kv *a = gguf_find_kv(model_gguf(base), key), *b = gguf_find_kv(model_gguf(m), key);
    if (!a || !b || gguf_kv_same(a, b)) return true;
    return err_set(e, ERR_INPUT, "%s: key '%s': found other tokens than the base's", path, key);
}

static bool open_artifact(lab_artifact *a, const char *path, int n_threads, err *e)
{
    const char *slash = strrchr(path, '/');
    a->m = model_open(path, e);
    if (!a->m) return false;
    a->name = strdup(slash ? slash + 1 : path);
    a->type = strdup(model_hparams(a->m)->type_label);
    if (!a->name || !a->type) return err_nomem(e, "a file's name", strlen(path));
    return claims_model_digest(model_gguf(a->m), n_threads, a->digest, e);
}

static bool open_artifacts(lab_plan *p, const lab_plan_opts *o, err *e)
{
    if (o->n_artifacts >= LAB_ARTIFACTS)
        return err_set(e, ERR_USAGE, "found %d files, expected at most %d", o->n_artifacts + 1, LAB_ARTIFACTS);
    p->artifacts = calloc((size_t)o->n_artifacts + 1, sizeof *p->artifacts);
    if (!p->artifacts) return err_nomem(e, "files", (size_t)o->n_artifacts * sizeof *p->artifacts);
    p->n_artifacts = o->n_artifacts + 1;
    for (int i = 0; i < p->n_artifacts; i++) {
        if (!open_artifact(&p->artifacts[i], i ? o->artifacts[i - 1] : o->base, o->n_threads, e)) return false;
        if (i && !check_vocabulary(p->artifacts[0].m, p->artifacts[i].m, e)) return false;
        for (int j = 0; j < i; j++)
            if (strcmp(p->artifacts[i].name, p->artifacts[j].name) == 0)
                return err_set(e, ERR_USAGE, "found two files called '%s', expected names that tell them apart",
                               p->artifacts[i].name);
    }
    return true;
}

// ---- caches ---------------------------------------------------------------------------------------------------------

arith lab_plan_arith(const lab_plan *p) { return strcmp(p->arith, "bf16") == 0 ? ARITH_BF16 : ARITH_F32; }

// Whether the last query compared in a chunk sees anything of a side as its store has it.
static bool is_seen(const kv_part *part, int64_t window, int64_t last)
{
    const int64_t lo = window > 0 && last - window + 1 > 0 ? last - window + 1 : 0;
    const int64_t first = lo > part->sinks ? lo : part->sinks;
    return kv_whole_from(part, last) > first;
}

typedef struct { kv_choice c; bool k, v; } seen_choice;     // which sides of a choice some layer's queries see stored

static seen_choice *seen_of(seen_choice *list, int *n, const kv_choice *c)
{
    int i = 0;
    while (i < *n && !kv_choice_same(&list[i].c, c)) i++;
    if (i == *n) list[(*n)++] = (seen_choice){ .c = *c };
    return &list[i];
}

static bool all_seen(const lab_plan *p, const seen_choice *list, int n, const char *text, err *e)
{
    const kv_type own = lab_plan_arith(p) == ARITH_BF16 ? KV_BF16 : KV_F32;
    for (int i = 0; i < n; i++)
        if ((list[i].c.k.type != own && !list[i].k) || (list[i].c.v.type != own && !list[i].v))
            return err_set(e, ERR_USAGE,
                           "KV cache '%s': a chunk of %lld tokens sees %s of it only as positions that are "
                           "kept whole: expected a longer --chunk",
                           text, (long long)p->chunk, list[i].c.k.type != own && !list[i].k ? "keys" : "values");
    return true;
}

// Keys or values of which a chunk sees only positions that are kept whole would look lossless, and be recommended.
static bool check_seen(const lab_plan *p, const hparams *h, const kv_spec *s, err *e)
{
    char         text[KV_TEXT];
    kv_layer     kv;
    seen_choice *list = calloc(KV_RULES + 1, sizeof *list);
    int  n = 0;
    bool ok = list || err_nomem(e, "caches", (KV_RULES + 1) * sizeof *list);
    for (int i = 0; ok && i < h->n_layer; i++) {
        const int64_t window = h->layers[i].sliding ? h->window : 0;
        if (!h->layers[i].has_kv) continue;
        ok = kv_spec_plan(s, h, i, lab_plan_arith(p), p->chunk, 1, &kv, e);
        if (!ok) break;
        const kv_choice c = kv_layer_choice(&kv);
        seen_choice *to = seen_of(list, &n, &c);        // no more choices than rules
        to->k = to->k || is_seen(&kv.k, window, p->chunk - 2);
        to->v = to->v || is_seen(&kv.v, window, p->chunk - 2);
    }
    if (ok) kv_spec_text(s, text);
    ok = ok && all_seen(p, list, n, text, e);
    free(list);
    return ok;
}

// A cache that a model of these can have, and of which the plan's chunks see something.
static bool read_cache(kv_spec *s, const lab_plan *p, const hparams *h, const char *kv, err *e)
{
    return kv_spec_parse(s, kv, e) && kv_spec_check(s, h, e) && check_seen(p, h, s, e);
}

bool lab_plan_check_kv(const hparams *h, const char *kv, const char *name, int64_t chunk, err *e)
{
    lab_plan p = { .chunk = chunk ? chunk : LAB_CHUNK };
    kv_spec  s;
    snprintf(p.arith, sizeof p.arith, "%s", name);
    return read_cache(&s, &p, h, kv, e);
}

static bool has_candidate(const lab_plan *p, int artifact, const char *kv)
{
    for (int i = 0; i < p->n_candidates; i++)
        if (p->candidates[i].artifact == artifact && strcmp(p->candidates[i].kv, kv) == 0) return true;
    return false;
}

static bool add_spec(lab_plan *p, int artifact, const kv_spec *s, err *e)
{
    const hparams *h = model_hparams(p->artifacts[artifact].m);
    memory_plan cost;
    char        text[KV_TEXT];
    if (!memory_plan_of(&cost, h, s, lab_plan_arith(p), p->context, 1, e)) return false;
    if (!kv_spec_text(s, text)) return err_set(e, ERR_USAGE, "option --kv: '%.60s...' is too long", text);
    if (has_candidate(p, artifact, text)) return err_set(e, ERR_USAGE, "option --kv: found '%s' twice", text);
    if (p->n_candidates == LAB_CANDIDATES)
        return err_set(e, ERR_USAGE, "found more than %d candidates", LAB_CANDIDATES);
    lab_candidate *grown = realloc(p->candidates, (size_t)(p->n_candidates + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "candidates", (size_t)p->n_candidates * sizeof *grown);
    p->candidates = grown;
    lab_candidate *c = &grown[p->n_candidates];
    *c = (lab_candidate){ .artifact = artifact, .kv = strdup(text), .context_bytes = cost.kv_bytes, .layer = -1 };
    if (!c->kv) return err_nomem(e, "candidates", sizeof text);
    p->n_candidates++;
    return lab_llama_words(&c->llama, text, h, e);
}

static bool add_candidate(lab_plan *p, int artifact, const char *kv, err *e)
{
    kv_spec s;
    return read_cache(&s, p, model_hparams(p->artifacts[artifact].m), kv, e) && add_spec(p, artifact, &s, e);
}

// The base with its own cache but for one layer's keys, or values, which are c's.
static bool add_alone(lab_plan *p, const kv_choice *own, kv_choice c, int layer, bool values, err *e)
{
    kv_spec alone = { .n = 2 };
    char    text[KV_TEXT];
    if (values) c.k = own->k;
    else        c.v = own->v;
    // Two caches may have the same keys, or the same values; or the base's own, which need no probe.
    if (kv_choice_same(&c, own)) return true;
    alone.rules[0] = (kv_rule){ .which = KV_LAYERS, .lo = { layer }, .hi = { layer }, .n_ranges = 1, .choice = c };
    alone.rules[1] = (kv_rule){ .which = KV_EVERY, .choice = *own };
    if (kv_spec_text(&alone, text) && has_candidate(p, 0, text)) return true;
    if (!add_spec(p, 0, &alone, e)) return false;
    p->candidates[p->n_candidates - 1].layer = layer;
    p->candidates[p->n_candidates - 1].values = values;
    return true;
}

static bool add_layers(lab_plan *p, const char *kv, err *e)
{
    const hparams *h = model_hparams(p->artifacts[0].m);
    kv_spec   s, base;
    kv_choice c, own;
    if (!read_cache(&s, p, h, kv, e) || !kv_spec_parse(&base, p->base_kv, e)) return false;
    for (int i = 0; i < h->n_layer; i++) {
        if (!h->layers[i].has_kv) continue;
        if (!kv_spec_choose(&s, h, i, &c, e) || !kv_spec_choose(&base, h, i, &own, e)) return false;
        if (!add_alone(p, &own, c, i, false, e) || !add_alone(p, &own, c, i, true, e)) return false;
    }
    return true;
}

static bool is_base_kv(const lab_plan *p, const char *kv)
{
    kv_spec s;
    char    text[KV_TEXT];
    err     ignored = { 0 };
    if (!kv_spec_parse(&s, kv, &ignored)) return false;
    kv_spec_text(&s, text);
    return strcmp(text, p->base_kv) == 0;
}

// Another file is measured with the base's own cache, too: what its weights lose by themselves.
static bool add_candidates(lab_plan *p, const lab_plan_opts *o, err *e)
{
    for (int a = 0; a < p->n_artifacts && !o->layers_only; a++) {
        bool alone = a == 0;
        for (int i = 0; i < o->n_kv; i++) alone = alone || is_base_kv(p, o->kv[i]);
        if (!alone && !add_candidate(p, a, p->base_kv, e)) return false;
        for (int i = 0; i < o->n_kv; i++)
            if (!add_candidate(p, a, o->kv[i], e)) return false;
    }
    for (int i = 0; (o->layers || o->layers_only) && i < o->n_kv; i++)
        if (!is_base_kv(p, o->kv[i]) && !add_layers(p, o->kv[i], e)) return false;
    return p->n_candidates > 0 || err_set(e, ERR_USAGE, "nothing to measure: expected --kv SPEC or another file");
}

static bool describe_base(lab_plan *p, const lab_plan_opts *o, err *e)
{
    const model   *m = p->artifacts[0].m;
    const hparams *h = model_hparams(m);
    kv_spec        s;
    memory_plan    cost;
    const char    *name = o->arith ? o->arith : kv_arith_of(h) == ARITH_BF16 ? "bf16" : "f32";
    snprintf(p->program, sizeof p->program, "hallmark %s (%s)", hallmark_version(), hallmark_commit());
    strcpy(p->arith, name);
    strcpy(p->base_kv, name);      // the cache that holds an arithmetic's results without rounding them again
    if (!kv_spec_parse(&s, p->base_kv, e)) return false;
    if (!memory_plan_of(&cost, h, &s, lab_plan_arith(p), p->context, 1, e)) return false;
    p->base_context_bytes = cost.kv_bytes;
    p->state_bytes = cost.state_bytes;
    p->n_vocab = h->n_vocab;
    p->bos = texts_bos(m);
    return true;
}

// ---- texts ----------------------------------------------------------------------------------------------------------

// A text given twice would count as independent chunks.
static bool is_new_text(const lab_plan *p, int i, err *e)
{
    for (int k = 0; k < i; k++)
        if (strcmp(p->texts[k].sha256, p->texts[i].sha256) == 0)
            return err_set(e, ERR_USAGE, "option --text: '%s' and '%s' are one text", p->texts[k].name,
                           p->texts[i].name);
    return true;
}

static bool read_texts(lab_plan *p, const lab_plan_opts *o, err *e)
{
    if (o->n_texts < 1 || o->n_texts > LAB_TEXTS)
        return err_set(e, ERR_USAGE, "option --text: found %d, expected 1 to %d", o->n_texts, LAB_TEXTS);
    p->texts = calloc((size_t)o->n_texts, sizeof *p->texts);
    if (!p->texts) return err_nomem(e, "texts", (size_t)o->n_texts * sizeof *p->texts);
    p->n_texts = o->n_texts;
    for (int i = 0; i < p->n_texts; i++)
        if (!lab_text_read(&p->texts[i], model_tokenizer(p->artifacts[0].m), o->texts[i], e) || !is_new_text(p, i, e))
            return false;
    return true;
}

// Every chunk of the texts, n in all; or about as many of them as samples says, evenly spread, at least one of each
// text.
static void spread_chunks(lab_plan *p, int64_t n)
{
    const int64_t wanted = p->samples > 0 && p->samples < n ? p->samples : n;
    int64_t before = 0;
    for (int i = 0; i < p->n_texts; i++) {
        lab_text *t = &p->texts[i];
        const int64_t all = t->tokens / p->chunk;
        t->chunks = (before + all) * wanted / n - before * wanted / n;
        if (t->chunks == 0) t->chunks = 1;
        for (int64_t c = 0; c < t->chunks; c++)
            p->chunks[p->n_chunks++] = (lab_chunk){ .text = i, .first = c * all / t->chunks * p->chunk };
        before += all;
    }
}

bool lab_plan_chunks(lab_plan *p, err *e)
{
    int64_t n = 0;
    for (int i = 0; i < p->n_texts; i++) {
        const lab_text *t = &p->texts[i];
        if (!lab_text_holds(t, p->chunk, e)) return false;
        n += t->tokens / p->chunk;      // each is below 2^26: no sum of LAB_TEXTS overflows
    }
    // At least one of each text is run, so samples may be exceeded by as many.
    const int64_t run = p->samples > 0 && p->samples < n ? p->samples + p->n_texts : n;
    if (run > LAB_CELLS / (p->n_candidates > 0 ? p->n_candidates : 1))
        return err_set(e, ERR_INPUT,
                       "found %lld chunks of texts for %d candidates, expected at most %d of both together",
                       (long long)run, p->n_candidates, LAB_CELLS);
    p->chunks = calloc((size_t)run, sizeof *p->chunks);
    if (!p->chunks) return err_nomem(e, "chunks", (size_t)run * sizeof *p->chunks);
    spread_chunks(p, n);
    return true;
}

// ---- all of it ------------------------------------------------------------------------------------------------------

bool lab_plan_open(lab_plan *p, const lab_plan_opts *o, err *e)
{
    *p = (lab_plan){ .chunk = o->chunk ? o->chunk : LAB_CHUNK, .skip = o->skip,
                     .context = o->context ? o->context : DEFAULT_CONTEXT, .samples = o->samples, .budget = o->budget };
    if (p->chunk < 2 || p->skip < 0 || p->skip >= p->chunk - 1)
        return err_set(e, ERR_USAGE, "chunks of %lld tokens, %lld of them skipped: nothing to compare",
                       (long long)p->chunk, (long long)p->skip);
    if (!open_artifacts(p, o, e)) return false;
    if (!describe_base(p, o, e)) return false;
    if (!add_candidates(p, o, e)) return false;
    if (!read_texts(p, o, e)) return false;
    return lab_plan_chunks(p, e) && lab_plan_describe(p, e);
}

void lab_plan_free(lab_plan *p)
{
    for (int i = 0; p->artifacts && i < p->n_artifacts; i++) {
        model_close(p->artifacts[i].m);
        free(p->artifacts[i].name);
        free(p->artifacts[i].type);
    }
    for (int i = 0; p->candidates && i < p->n_candidates; i++) {
        free(p->candidates[i].kv);
        free(p->candidates[i].llama);
    }
    for (int i = 0; p->texts && i < p->n_texts; i++) lab_text_free(&p->texts[i]);
    free(p->artifacts);
    free(p->candidates);
    free(p->texts);
    free(p->chunks);
    free(p->json);
    *p = (lab_plan){ 0 };
}

int64_t lab_points(const lab_plan *p) { return p->chunk - 1 - p->skip; }
