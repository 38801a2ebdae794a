// tensor_map: see tensor_map.h.
#include "tensor_map.h"

#include "sizes.h"
#include "tensor_change.h"
#include "tensor_names.h"
#include "tensor_slots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *where_text(const char *file, const char *name, int64_t n_more)
{
    size_t n = strlen(file) + strlen(name) + 64;
    char  *s = malloc(n);
    if (s && n_more > 0) snprintf(s, n, "%s: tensor '%s' and %lld more", file, name, (long long)n_more);
    else if (s)          snprintf(s, n, "%s: tensor '%s'", file, name);
    return s;
}

// ---- rotary frequencies --------------------------------------------------------------------------------------------

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

static bool add_rope_freqs(tensor_map *m, const hf_config *c, err *e)
{
    const hf_kind *k = &c->kind[KIND_FULL];
    const int64_t  half = k->head_dim / 2;
    mapped_tensor *t = &m->t[m->n++];
    m->rope_freqs = malloc((size_t)half * sizeof *m->rope_freqs);
    t->where = where_text("config.json", "rope_freqs.weight", 0);
    if (!m->rope_freqs || !t->where) return err_nomem(e, "rope_freqs", (size_t)half * sizeof *m->rope_freqs);
    if (k->rope_llama3) fill_llama3(m->rope_freqs, k);
    else                fill_proportional(m->rope_freqs, k);
    snprintf(t->name, sizeof t->name, "rope_freqs.weight");
    t->src = (tensor_source){ .where = t->where, .type = DT_F32, .data = (const uint8_t *)m->rope_freqs, .fd = -1 };
    t->role = ROLE_FREQS;
    t->n_dims = 1;
    t->shape[0] = half;
    return true;
}

// ---- the map -------------------------------------------------------------------------------------------------------

static bool list_parts(mapped_tensor *t, const slot *sl, err *e)
{
    t->parts = malloc((size_t)sl->n_parts * sizeof *t->parts);
    if (!t->parts) return err_nomem(e, "the experts of a tensor", (size_t)sl->n_parts * sizeof *t->parts);
    for (int64_t i = 0; i < sl->n_parts; i++) t->parts[i] = sl->part[i]->data;
    t->src.parts = t->parts;
    t->src.n_parts = sl->n_parts;
    return true;
}

static bool add_slot(tensor_map *m, const slot_table *table, const st *s, const slot *sl, err *e)
{
    const st_tensor *x = sl->part[0];
    const file_map  *f = st_file(s, x->file);
    mapped_tensor   *t = &m->t[m->n++];
    t->where = where_text(f->path, x->name, sl->n_parts - 1);
    if (!t->where) return err_nomem(e, "a tensor's name", strlen(x->name));
    tensor_row_name(sl->row, sl->block, t->name);
    t->src = (tensor_source){ .where = t->where, .type = x->type, .data = x->data, .fd = f->fd, .off = x->off };
    t->src.change = change_transform(sl->rule, table->c, sl->block);
    t->role = sl->row->role;
    t->n_dims = tensor_row_shape(sl->row, &table->sizes, sl->block, t->shape);
    return sl->n_parts == 1 || list_parts(t, sl, e);
}

typedef struct { const slot *slot; const char *file; int64_t off; } placed;

// The order of llama.cpp's converter, and of a sequential read: file by file by name, inside a file by offset; what is
// stacked comes with its last part.
static int by_place(const void *pa, const void *pb)
{
    const placed *a = pa, *b = pb;
    int d = strcmp(a->file, b->file);
    if (d == 0) d = (a->off > b->off) - (a->off < b->off);
    return d ? d : (a->slot > b->slot) - (a->slot < b->slot);
}

static placed place_of(const slot *sl, const st *s)
{
    placed last = { sl, st_file(s, sl->part[0]->file)->path, sl->part[0]->off };
    for (int64_t i = 1; i < sl->n_parts; i++) {
        const placed p = { sl, st_file(s, sl->part[i]->file)->path, sl->part[i]->off };
        if (by_place(&p, &last) > 0) last = p;
    }
    return last;
}

static bool add_all(tensor_map *m, const slot_table *t, const st *s, err *e)
{
    placed *p = malloc((size_t)t->n_slots * sizeof *p);
    int64_t n = 0;
    bool    ok = false;
    m->t = calloc((size_t)t->n_slots + 1, sizeof *m->t);
    if (!p || !m->t) { err_nomem(e, "the tensor map", (size_t)t->n_slots * sizeof *m->t); goto out; }
    for (int64_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].rule) p[n++] = place_of(&t->slots[i], s);
    qsort(p, (size_t)n, sizeof *p, by_place);
    if (sizes_rope_freqs(t->c) > 0 && !add_rope_freqs(m, t->c, e)) goto out;
    for (int64_t i = 0; i < n; i++)
        if (!add_slot(m, t, s, p[i].slot, e)) goto out;
    ok = true;
out:
    free(p);
    return ok;
}

bool tensor_map_build(tensor_map *m, const st *s, const hf_config *c, progress *log, err *e)
{
    slot_table t;
    memset(m, 0, sizeof *m);
    bool ok = slots_fill(&t, s, c, log, e) && add_all(m, &t, s, e);
    for (int64_t i = 0; ok && i < m->n; i++) {
        int64_t n = 1;
        for (int d = 0; d < m->t[i].n_dims; d++) n *= m->t[i].shape[d];     // as in the file, where it was checked
        m->n_params += n;
        if (m->t[i].role == ROLE_EXPERTS) m->n_expert_params += n;
        if (strcmp(m->t[i].name, "output.weight") == 0) m->has_output = true;
    }
    slots_free(&t);
    return ok;
}

void tensor_map_free(tensor_map *m)
{
    for (int64_t i = 0; i < m->n; i++) {
        free(m->t[i].where);
        free(m->t[i].parts);
    }
    free(m->t);
    free(m->rope_freqs);
    memset(m, 0, sizeof *m);
}

// ---- blocks that guess ---------------------------------------------------------------------------------------------

// How many such blocks the weights have.
static int64_t count_mtp(const hf_config *c, const st *s)
{
    int64_t n = 0;
    for (int64_t i = 0; c->arch->family->mtp && i < st_n_tensors(s); i++) {
        const char *inner = name_inner(st_at(s, i)->name);
        if (strncmp(inner, "mtp.", 4) != 0) continue;
        const name_place p = name_split(c, inner);
        if (p.rest && p.block - c->n_layer + 1 > n) n = p.block - c->n_layer + 1;
    }
    return n;
}

bool tensor_map_has_mtp(const hf_config *c, const st *s) { return count_mtp(c, s) > 0; }

bool tensor_map_settle_mtp(hf_config *c, const st *s, bool leave_out, progress *log, err *e)
{
    const int64_t promised = c->n_mtp, found = count_mtp(c, s);
    if (!c->arch->family->mtp) return true;
    c->n_mtp = leave_out || found == 0 ? 0 : promised > 0 ? promised : found;
    if (!leave_out && found == 0 && promised > 0)
        progress_logf(log, "config.json promises a block that guesses the token after the next "
                      "(mtp_num_hidden_layers), and the weights have none: the file goes without");
    if (c->n_mtp <= 1) return true;
    return err_set(e, ERR_INPUT, "%s: found %lld blocks that guess further tokens (mtp.layers.*), expected one: "
                   "--no-mtp leaves them out", st_file(s, 0)->path, (long long)c->n_mtp);
}
