#include "tensor_map.h"

#include "family.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what is left out on purpose -----------------------------------------------------------------------------------

typedef struct {
    const char *part;           // after the prefixes, or at the end of the name if it begins with a dot
    const char *why;
} left_out_row;

static const left_out_row left_out[] = {
    { "vision_tower.",          "the vision tower: only the text half is converted" },
    { "vision_embedder.",       "the vision embedder: only the text half is converted" },
    { "multi_modal_projector.", "the vision projector: only the text half is converted" },
    { "embed_vision.",          "the vision projector: only the text half is converted" },
    { "audio_tower.",           "the audio tower: only the text half is converted" },
    { "embed_audio.",           "the audio projector: only the text half is converted" },
    { ".rotary_emb.inv_freq",   "computed again from the rotary base" },
};
enum { N_LEFT_OUT = sizeof left_out / sizeof left_out[0] };

static const char *skip_prefix(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

// ---- names ---------------------------------------------------------------------------------------------------------

// The name inside the model. Where that hides depends on which class saved it and which version:
// "model.language_model." in multimodal checkpoints of Transformers 5, "language_model.model." of Transformers 4,
// "model." or nothing in text-only ones, and one "model." too many, before or behind, from savers that Transformers
// repairs when it loads. No tensor's own name begins with either word, so all of them go; the same tensor under two
// prefixes is an error.
static const char *inner_name(const char *name)
{
    for (;;) {
        const char *rest = skip_prefix(name, "model.");
        if (!rest) rest = skip_prefix(name, "language_model.");
        if (!rest) return name;
        name = rest;
    }
}

// Row of the table, or -1. Whatever config.json calls the model: a merged finetune of the text half may lie beside the
// towers it came with.
static int find_left_out(const char *name, const char *inner)
{
    for (int i = 0; i < N_LEFT_OUT; i++) {
        const char *part = left_out[i].part;
        if (part[0] == '.' ? ends_with(name, part) : skip_prefix(inner, part) != NULL) return i;
    }
    return -1;
}

// A rule and a layer of it: one tensor that the file may hold.
typedef struct {
    const tensor_rule *rule;
    int64_t            layer;       // -1: of the whole model
    const st_tensor   *found;
} slot;

typedef struct {
    const hf_config *c;
    slot            *slots;         // model rules, then layer rules layer by layer
    int64_t          n_slots;
    int              n_model, n_layer_rules;
} slot_table;

static int count_rules(const tensor_rule *r)
{
    int n = 0;
    while (r[n].hf) n++;
    return n;
}

static bool slots_init(slot_table *t, const hf_config *c, err *e)
{
    const family *f = c->arch->family;
    t->c = c;
    t->n_model = count_rules(f->model);
    t->n_layer_rules = count_rules(f->layer);
    t->n_slots = t->n_model + c->n_layer * t->n_layer_rules;
    t->slots = calloc((size_t)t->n_slots, sizeof *t->slots);
    if (!t->slots) return err_nomem(e, "the tensor table", (size_t)t->n_slots * sizeof *t->slots);
    for (int64_t i = 0; i < t->n_slots; i++) {
        int64_t k = i - t->n_model;
        t->slots[i].rule  = k < 0 ? &f->model[i] : &f->layer[k % t->n_layer_rules];
        t->slots[i].layer = k < 0 ? -1 : k / t->n_layer_rules;
    }
    return true;
}

// "N.rest" with a plain decimal N; *rest is NULL if it is not that.
static int64_t parse_layer(const char *s, const char **rest)
{
    int64_t v = 0;
    int     n = 0;
    while (s[n] >= '0' && s[n] <= '9' && n < 9) v = v * 10 + (s[n++] - '0');
    *rest = n > 0 && s[n] == '.' && (n == 1 || s[0] != '0') ? s + n + 1 : NULL;
    return v;
}

// The slot of a name without its prefix; NULL if there is none. *layer is set when the name has one.
static slot *find_slot(const slot_table *t, const char *inner, int64_t *layer)
{
    const char *rest = skip_prefix(inner, "layers.");
    int64_t first = 0, n = t->n_model;
    *layer = -1;
    if (rest) {
        int64_t il = parse_layer(rest, &inner);
        if (!inner) return NULL;
        *layer = il;
        if (il >= t->c->n_layer) return NULL;
        first = t->n_model + il * t->n_layer_rules;
        n = t->n_layer_rules;
    }
    for (int64_t i = first; i < first + n; i++)
        if (strcmp(t->slots[i].rule->hf, inner) == 0) return &t->slots[i];
    return NULL;
}

// ---- what config.json gives ----------------------------------------------------------------------------------------

static int64_t dim_size(const hf_config *c, dim d, int64_t layer)
{
    const hf_kind *k = &c->kind[layer < 0 ? KIND_FULL : hf_layer_kind(c, layer)];
    switch (d) {
    case DIM_END:       return 0;
    case DIM_ONE:       return 1;
    case DIM_VOCAB:     return c->n_vocab;
    case DIM_EMBD:      return c->n_embd;
    case DIM_FF:        return layer < 0 ? c->n_ff : c->layer_ff[layer];
    case DIM_Q:         return c->n_head * k->head_dim;
    case DIM_KV:        return k->n_head_kv * k->head_dim;
    case DIM_HEAD:      return k->head_dim;
    case DIM_PLE:       return c->ple;
    case DIM_PLE_ALL:   return c->ple * c->n_layer;
    case DIM_VOCAB_PLE: return c->n_vocab_ple;
    }
    return 0;
}

typedef enum { MUST, MAY, MUST_NOT } presence;

static presence slot_presence(const hf_config *c, const slot *s)
{
    bool shared = s->layer >= 0 && hf_layer_shares_kv(c, s->layer);
    switch (s->rule->need) {
    case NEED_ALWAYS: return MUST;
    case NEED_KV:     return shared ? MAY : MUST;
    case NEED_V:      return shared ? MAY : c->k_eq_v && !c->sliding[s->layer] ? MUST_NOT : MUST;
    case NEED_PLE:    return c->ple > 0 ? MUST : MUST_NOT;
    case NEED_UNTIED: return c->tied ? MAY : MUST;
    case NEED_QKV_BIAS: return c->qkv_bias ? MUST : MUST_NOT;
    case NEED_O_BIAS:   return c->o_bias ? MUST : MUST_NOT;
    case NEED_MLP_BIAS: return c->mlp_bias ? MUST : MUST_NOT;
    }
    return MUST;
}

static bool check_shape(const hf_config *c, const st *s, const slot *sl, err *e)
{
    const st_tensor *t = sl->found;
    const int64_t want[2] = { dim_size(c, sl->rule->shape[0], sl->layer), dim_size(c, sl->rule->shape[1], sl->layer) };
    int n = sl->rule->shape[1] == DIM_END ? 1 : 2;
    char found[128] = "", expected[64];
    if (t->n_dims == n && t->shape[0] == want[0] && (n == 1 || t->shape[1] == want[1])) return true;
    for (int i = 0; i < t->n_dims; i++) {
        size_t at = strlen(found);
        snprintf(found + at, sizeof found - at, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    }
    if (n == 1) snprintf(expected, sizeof expected, "%lld", (long long)want[0]);
    else        snprintf(expected, sizeof expected, "%lld, %lld", (long long)want[0], (long long)want[1]);
    return err_set(e, ERR_INPUT, "%s: tensor '%s': found shape [%s], expected [%s] by config.json", st_file(s, t->file)->path, t->name,
                   found, expected);
}

// ---- finding -------------------------------------------------------------------------------------------------------

typedef struct { int64_t n, n_bytes; } tally;

static bool place_tensor(slot_table *t, const st *s, const st_tensor *x, tally *left, err *e)
{
    const hf_config *c = t->c;
    const char *file = st_file(s, x->file)->path, *inner = inner_name(x->name);
    int64_t layer;
    int row = find_left_out(x->name, inner);
    if (row >= 0) {
        left[row].n++;
        left[row].n_bytes += x->n_bytes;
        return true;
    }
    slot *sl = find_slot(t, inner, &layer);
    if (!sl && layer >= c->n_layer)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found layer %lld, expected layers below %lld by config.json", file, x->name,
                       (long long)layer, (long long)c->n_layer);
    if (!sl) return err_set(e, ERR_INPUT, "%s: tensor '%s': not a tensor of %s", file, x->name, c->arch->name);
    if (!st_require_float(s, x, e)) return false;
    if (slot_presence(c, sl) == MUST_NOT)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': by config.json there is none in this model", file, x->name);
    if (sl->found)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': '%s' is the same tensor under another prefix", file, x->name, sl->found->name);
    sl->found = x;
    return check_shape(c, s, sl, e);
}

// ---- the output matrix ---------------------------------------------------------------------------------------------

static slot *model_slot(slot_table *t, const char *gguf_name)
{
    for (int i = 0; i < t->n_model; i++)
        if (strcmp(t->slots[i].rule->gguf, gguf_name) == 0) return &t->slots[i];
    return NULL;
}

// tie_word_embeddings is a promise that many checkpoints do not keep, and Transformers then looks at the tensors
// (tie_weights): with one of the two, it stands for both; with two that are equal, they are tied; with two that differ
// (a LoRA merged with a head of its own), not.
static void settle_head(slot_table *t, const st *s, progress *log)
{
    slot *head = model_slot(t, "output.weight"), *embd = model_slot(t, "token_embd.weight");
    if (!t->c->tied || !head->found) return;
    const char *name = head->found->name;
    if (!embd->found) {
        progress_logf(log, "tied: the checkpoint has '%s' and no embedding: it is both", name);
        embd->found = head->found;
        head->found = NULL;
    } else if (st_same_numbers(s, embd->found, head->found)) {
        progress_logf(log, "left out: tensor '%s', %.1f MB (tied: the same as embed_tokens)", name,
                      (double)head->found->n_bytes / 1e6);
        head->found = NULL;
    } else {
        progress_logf(log, "untied: tensor '%s' has values of its own, whatever tie_word_embeddings says, and becomes "
                      "output.weight", name);
    }
}

// What the index says of a tensor that is not there, if it says anything.
static const char *file_by_index(const st *s, const char *inner)
{
    for (int64_t i = 0; i < st_n_absent(s); i++) {
        const char *file, *name = st_absent(s, i, &file);
        if (strcmp(inner_name(name), inner) == 0) return file;
    }
    return NULL;
}

static bool check_missing(const slot_table *t, const st *s, err *e)
{
    for (int64_t i = 0; i < t->n_slots; i++) {
        const slot *sl = &t->slots[i];
        char name[128];
        if (sl->found || slot_presence(t->c, sl) != MUST) continue;
        if (sl->layer < 0) snprintf(name, sizeof name, "%s", sl->rule->hf);
        else               snprintf(name, sizeof name, "layers.%lld.%s", (long long)sl->layer, sl->rule->hf);
        const char *dir = st_file(s, 0)->path, *file = file_by_index(s, name);
        return err_set(e, ERR_INPUT, "%s: tensor '%s' is missing%s%.200s%s", dir, name,
                       file ? " (the index says that it is in " : "", file ? file : "", file ? ")" : "");
    }
    return true;
}

static void log_left_out(const tally *left, progress *log)
{
    for (int i = 0; i < N_LEFT_OUT; i++)
        if (left[i].n)
            progress_logf(log, "left out: %lld tensors '%s', %.1f MB (%s)", (long long)left[i].n, left_out[i].part,
                          (double)left[i].n_bytes / 1e6, left_out[i].why);
}

// An index is read for the names of the files. A tensor that it lists and no file has is missing where it is needed,
// and otherwise nothing: a tied lm_head that was dropped when the shards were saved again.
static void log_index(const slot_table *t, const st *s, progress *log)
{
    const st_tensor *first;
    int64_t n = st_n_absent(s), n_misplaced = st_n_misplaced(s, &first);
    if (st_index_unread(s))
        progress_logf(log, "%s is read, and the index beside it is not, as in Transformers", st_file(s, 0)->path);
    if (n_misplaced)
        progress_logf(log, "the index is wrong about the file of %lld tensor%s, which the files decide: '%s' is in %s",
                      (long long)n_misplaced, n_misplaced == 1 ? "" : "s", first->name, st_file(s, first->file)->path);
    if (n) progress_logf(log, "the index lists %lld tensor%s in no file, not needed here: '%s'%s", (long long)n,
                         n == 1 ? "" : "s", st_absent(s, 0, NULL), n == 1 ? "" : ", ...");
    if (t->c->ple > 0 && t->c->n_vocab_ple > t->c->n_vocab)
        progress_logf(log, "left out: rows %lld to %lld of embed_tokens_per_layer (beyond the vocabulary)",
                      (long long)t->c->n_vocab, (long long)t->c->n_vocab_ple - 1);
}

static bool find_all(slot_table *t, const st *s, progress *log, err *e)
{
    tally left[N_LEFT_OUT] = { 0 };
    for (int64_t i = 0; i < st_n_tensors(s); i++)
        if (!place_tensor(t, s, st_at(s, i), left, e)) return false;
    settle_head(t, s, log);
    if (!check_missing(t, s, e)) return false;
    log_left_out(left, log);
    log_index(t, s, log);
    return true;
}

// ---- the map -------------------------------------------------------------------------------------------------------

static char *where_text(const char *file, const char *name)
{
    size_t n = strlen(file) + strlen(name) + 16;
    char  *s = malloc(n);
    if (s) snprintf(s, n, "%s: tensor '%s'", file, name);
    return s;
}

// Gemma 4 rotates a part of a full-attention head: pairs (i, i + head/2) for the first `partial` of the i, and may slow
// all of them down by one factor. GGUF says so with a divisor for each frequency: that factor where it rotates, 1e30
// where the angle is to vanish.
static void fill_proportional(float *divisor, const hf_kind *k)
{
    const int64_t half = k->head_dim / 2, n_rot = (int64_t)((double)k->head_dim * k->rope_partial / 2);
    for (int64_t i = 0; i < half; i++) divisor[i] = i < n_rot ? (float)k->rope_factor : 1e30f;
}

// Llama 3.1: frequencies whose wave is longer than original / low are divided by the factor, those shorter than
// original / high are not, and between the two the factor grows (Transformers' _compute_llama3_parameters). In F32, and
// a number over a tensor as the tensor's reciprocal times the number: as torch computes it in llama.cpp's converter.
static void fill_llama3(float *divisor, const hf_kind *k)
{
    const float turn = (float)(2 * 3.14159265358979323846), original = (float)k->rope_original;
    const float low = (float)k->rope_low, range = (float)(k->rope_high - k->rope_low), factor = (float)k->rope_factor;
    const float longest = (float)(k->rope_original / k->rope_low), shortest = (float)(k->rope_original / k->rope_high);
    for (int64_t i = 0; i < k->head_dim / 2; i++) {
        const float exponent = (float)(2 * i) / (float)k->head_dim;
        const float frequency = 1.0f / powf((float)k->rope_base, exponent);
        const float wave = 1.0f / frequency * turn;
        const float smooth = (1.0f / wave * original - low) / range;
        if (wave < shortest)     divisor[i] = 1;
        else if (wave > longest) divisor[i] = factor;
        else                     divisor[i] = 1.0f / ((1.0f - smooth) / factor + smooth);
    }
}

static bool wants_rope_freqs(const hf_config *c)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    return (c->arch->family->rope_freqs && k->n_layers > 0) || k->rope_llama3;
}

static bool add_rope_freqs(tensor_map *m, const hf_config *c, err *e)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    const int64_t  half = k->head_dim / 2;
    mapped_tensor *t = &m->t[m->n++];
    m->rope_freqs = malloc((size_t)half * sizeof *m->rope_freqs);
    t->where = where_text("config.json", "rope_freqs.weight");
    if (!m->rope_freqs || !t->where) return err_nomem(e, "rope_freqs", (size_t)half * sizeof *m->rope_freqs);
    if (k->rope_llama3) fill_llama3(m->rope_freqs, k);
    else                fill_proportional(m->rope_freqs, k);
    snprintf(t->name, sizeof t->name, "rope_freqs.weight");
    t->src = (tensor_source){ .where = t->where, .type = DT_F32, .data = (const uint8_t *)m->rope_freqs, .fd = -1 };
    t->n_dims = 1;
    t->shape[0] = half;
    return true;
}

static bool add_slot(tensor_map *m, const hf_config *c, const st *s, const slot *sl, err *e)
{
    const st_tensor *x = sl->found;
    const file_map  *f = st_file(s, x->file);
    mapped_tensor   *t = &m->t[m->n++];
    t->where = where_text(f->path, x->name);
    if (!t->where) return err_nomem(e, "a tensor's name", strlen(x->name));
    if (sl->layer < 0) snprintf(t->name, sizeof t->name, "%s", sl->rule->gguf);
    else               snprintf(t->name, sizeof t->name, "blk.%lld.%s", (long long)sl->layer, sl->rule->gguf);
    t->src = (tensor_source){ .where = t->where, .type = x->type, .data = x->data, .fd = f->fd, .off = x->off };
    if (sl->rule->change == ADD_ONE) t->src.change.add = 1;
    if (sl->rule->change == PERMUTE) t->src.change.pairs = c->kind[hf_layer_kind(c, sl->layer)].head_dim;
    t->n_dims = x->n_dims;
    for (int i = 0; i < x->n_dims; i++) t->shape[i] = x->shape[i];
    if (sl->rule->shape[0] == DIM_VOCAB_PLE) t->shape[0] = c->n_vocab;      // rows beyond belong to no token
    return true;
}

typedef struct { const slot *slot; const char *file; int64_t off; } placed;

// The order of llama.cpp's converter, and of a sequential read: file by file by name, inside a file by offset.
static int by_place(const void *pa, const void *pb)
{
    const placed *a = pa, *b = pb;
    int d = strcmp(a->file, b->file);
    return d ? d : (a->off > b->off) - (a->off < b->off);
}

static bool add_all(tensor_map *m, const slot_table *t, const st *s, err *e)
{
    placed *p = malloc((size_t)t->n_slots * sizeof *p);
    int64_t n = 0;
    bool    ok = false;
    m->t = calloc((size_t)t->n_slots + 1, sizeof *m->t);
    if (!p || !m->t) { err_nomem(e, "the tensor map", (size_t)t->n_slots * sizeof *m->t); goto out; }
    for (int64_t i = 0; i < t->n_slots; i++) {
        const st_tensor *x = t->slots[i].found;
        if (x) p[n++] = (placed){ &t->slots[i], st_file(s, x->file)->path, x->off };
    }
    qsort(p, (size_t)n, sizeof *p, by_place);
    if (wants_rope_freqs(t->c) && !add_rope_freqs(m, t->c, e)) goto out;
    for (int64_t i = 0; i < n; i++)
        if (!add_slot(m, t->c, s, p[i].slot, e)) goto out;
    ok = true;
out:
    free(p);
    return ok;
}

bool tensor_map_build(tensor_map *m, const st *s, const hf_config *c, progress *log, err *e)
{
    slot_table t = { 0 };
    memset(m, 0, sizeof *m);
    bool ok = slots_init(&t, c, e) && find_all(&t, s, log, e) && add_all(m, &t, s, e);
    for (int64_t i = 0; ok && i < m->n; i++) {
        int64_t n = 1;
        for (int d = 0; d < m->t[i].n_dims; d++) n *= m->t[i].shape[d];     // as in the file, where it was checked
        m->n_params += n;
        if (strcmp(m->t[i].name, "output.weight") == 0) m->has_output = true;
    }
    free(t.slots);
    return ok;
}

void tensor_map_free(tensor_map *m)
{
    for (int64_t i = 0; i < m->n; i++) free(m->t[i].where);
    free(m->t);
    free(m->rope_freqs);
    memset(m, 0, sizeof *m);
}
