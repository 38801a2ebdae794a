// tensor_slots: see tensor_slots.h.
#include "tensor_slots.h"

#include "sizes.h"
#include "tensor_change.h"
#include "tensor_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the table -----------------------------------------------------------------------------------------------------

static bool slots_init(slot_table *t, const hf_config *c, err *e)
{
    const tensor_table *table = tensor_table_of(c->arch->family->arch);
    const int64_t       n_blocks = hf_n_blocks(c);
    t->c = c;
    t->n_model = tensor_rows_count(table->model);
    t->n_block_rows = tensor_rows_count(table->block);
    t->n_slots = t->n_model + n_blocks * t->n_block_rows;
    t->slots = calloc((size_t)t->n_slots, sizeof *t->slots);
    t->block = calloc((size_t)n_blocks, sizeof *t->block);
    if (!t->slots || !t->block) return err_nomem(e, "the tensor table", (size_t)t->n_slots * sizeof *t->slots);
    sizes_of_config(&t->sizes, t->block, c);
    for (int64_t i = 0; i < t->n_slots; i++) {
        const int64_t k = i - t->n_model;
        t->slots[i].row   = k < 0 ? &table->model[i] : &table->block[k % t->n_block_rows];
        t->slots[i].block = k < 0 ? -1 : k / t->n_block_rows;
    }
    return true;
}

void slots_free(slot_table *t)
{
    for (int64_t i = 0; t->slots && i < t->n_slots; i++) free(t->slots[i].part);
    free(t->slots);
    free(t->block);
    *t = (slot_table){ 0 };
}

static slot *find_slot(const slot_table *t, const char *gguf_name, int64_t block)
{
    const int64_t first = block < 0 ? 0 : t->n_model + block * t->n_block_rows;
    const int64_t n = block < 0 ? t->n_model : t->n_block_rows;
    for (int64_t i = first; i < first + n; i++)
        if (strcmp(t->slots[i].row->name, gguf_name) == 0) return &t->slots[i];
    return NULL;
}

static tensor_presence presence_of(const slot_table *t, const slot *s)
{
    return tensor_row_presence(s->row, &t->sizes, s->block);
}

// ---- shapes --------------------------------------------------------------------------------------------------------

static void shape_text(char *out, size_t size, int n, const int64_t *shape)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
}

// MLX keeps a convolution's taps before its channels of one: what it saves has [channels][taps][1].
static bool is_moved_conv(const tensor_rule *rule, const st_tensor *x, const int64_t *want)
{
    return (rule->change & SQUEEZE) && x->n_dims == 3 && x->shape[1] == want[2] && x->shape[2] == 1;
}

static bool check_shape(const slot_table *t, const st *s, const slot *sl, const tensor_rule *rule, const st_tensor *x,
                        err *e)
{
    int64_t   want[SOURCE_DIMS];
    const int n = change_source_shape(rule, t->c, sl->row, &t->sizes, sl->block, want);
    bool      same = x->n_dims == n;
    char      found[128], expected[128];
    for (int d = 0; d < n && same; d++) same = x->shape[d] == want[d];
    if (same) return true;
    shape_text(found, sizeof found, x->n_dims, x->shape);
    shape_text(expected, sizeof expected, n, want);
    return err_set(e, ERR_INPUT, "%s: tensor '%s': found shape [%s], expected [%s] by config.json%s",
                   st_file(s, x->file)->path, x->name, found, expected,
                   is_moved_conv(rule, x, want) ? ": its axes were moved, as MLX saves it: the checkpoint is another "
                   "tool's export, whose norms are changed, too" : "");
}

// ---- finding -------------------------------------------------------------------------------------------------------

// For the first part that is found.
static bool make_room(slot *sl, const tensor_rule *rule, int64_t n_parts, const st_tensor *x, err *e)
{
    if (sl->rule) return true;
    sl->part = calloc((size_t)n_parts, sizeof *sl->part);
    if (!sl->part) return err_nomem(e, "the tensor table", (size_t)n_parts * sizeof *sl->part);
    sl->rule = rule;
    sl->n_parts = n_parts;
    sl->first_found = x;
    return true;
}

static bool place_part(slot_table *t, const st *s, const tensor_rule *rule, int64_t block, int64_t expert,
                       const st_tensor *x, err *e)
{
    const char   *file = st_file(s, x->file)->path;
    const int64_t n_parts = change_stacks(rule) ? t->sizes.n_expert : 1;
    slot         *sl = find_slot(t, rule->gguf, block);
    if (presence_of(t, sl) == TENSOR_NOT)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': by config.json there is none in this model", file, x->name);
    if (expert >= n_parts)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found expert %lld, expected experts below %lld by config.json",
                       file, x->name, (long long)expert, (long long)n_parts);
    if (!make_room(sl, rule, n_parts, x, e)) return false;
    if (sl->rule != rule)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': '%s' holds the same weights in another layout", file, x->name,
                       sl->first_found->name);
    if (sl->part[expert])
        return err_set(e, ERR_INPUT, "%s: tensor '%s': '%s' is the same tensor under another prefix", file, x->name,
                       sl->part[expert]->name);
    const st_tensor *other = sl->first_found;
    if (other->type != x->type)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %s, expected %s as '%s' has, which it is stacked with",
                       file, x->name, x->dtype_text, other->dtype_text, other->name);
    sl->part[expert] = x;
    sl->n_found++;
    return check_shape(t, s, sl, rule, x, e);
}

// All rules of a table that the name matches: a tensor that is cut has several. *n: how many there were.
static bool place_by(slot_table *t, const st *s, const tensor_rule *rules, const name_place *p, const st_tensor *x,
                     int *n, err *e)
{
    int64_t expert;
    for (const tensor_rule *r = rules; r->hf; r++) {
        if (!name_matches(r->hf, p->rest, &expert)) continue;
        if ((*n)++ == 0 && !st_require_float(s, x, e)) return false;
        if (!place_part(t, s, r, p->block, expert, x, e)) return false;
    }
    return true;
}

static bool place_tensor(slot_table *t, const st *s, const st_tensor *x, left_out_tally *left, err *e)
{
    const hf_config *c = t->c;
    const family    *f = c->arch->family;
    const char *file = st_file(s, x->file)->path, *inner = name_inner(x->name);
    const int row = left_out_find(c, x->name, inner);
    int       n = 0;
    if (row >= 0) {
        left[row].n++;
        left[row].n_bytes += x->n_bytes;
        return true;
    }
    const name_place p = name_split(c, inner);
    const int64_t    n_blocks = hf_n_blocks(c);
    if (p.rest && p.block >= n_blocks)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found layer %lld, expected layers below %lld by config.json",
                       file, x->name, (long long)p.block, (long long)n_blocks);
    if (p.rest && !place_by(t, s, p.block < 0 ? f->model : p.mtp ? f->mtp : f->layer, &p, x, &n, e)) return false;
    return n > 0 || err_set(e, ERR_INPUT, "%s: tensor '%s': not a tensor of %s", file, x->name, c->arch->name);
}

// ---- the output matrix ---------------------------------------------------------------------------------------------

static void empty_slot(slot *sl)
{
    free(sl->part);
    *sl = (slot){ .row = sl->row, .block = sl->block };
}

// tie_word_embeddings is a promise that many checkpoints do not keep, and Transformers then looks at the tensors
// (tie_weights): with one of the two, it stands for both; with two that are equal, they are tied; with two that differ
// (a LoRA merged with a head of its own), not.
static void settle_head(slot_table *t, const st *s, progress *log)
{
    slot *head = find_slot(t, "output.weight", -1), *embd = find_slot(t, "token_embd.weight", -1);
    if (!t->c->tied || !head->rule) return;
    const st_tensor *x = head->part[0];
    if (!embd->rule) {
        progress_logf(log, "tied: the checkpoint has '%s' and no embedding: it is both", x->name);
        const slot place = *embd;
        *embd = *head;
        embd->row = place.row;
        *head = (slot){ .row = head->row, .block = -1 };
    } else if (st_same_numbers(s, embd->part[0], x)) {
        progress_logf(log, "left out: tensor '%s', %.1f MB (tied: the same as embed_tokens)", x->name,
                      (double)x->n_bytes / 1e6);
        empty_slot(head);
    } else {
        progress_logf(log, "untied: tensor '%s' has values of its own, whatever tie_word_embeddings says, and becomes "
                      "output.weight", x->name);
    }
}

// ---- what is missing -----------------------------------------------------------------------------------------------

// What the index says of a tensor that is not there, if it says anything.
static const char *file_by_index(const st *s, const char *inner)
{
    for (int64_t i = 0; i < st_n_absent(s); i++) {
        const char *file, *name = st_absent(s, i, &file);
        if (strcmp(name_inner(name), inner) == 0) return file;
    }
    return NULL;
}

static const tensor_rule *rule_to(const tensor_rule *r, const char *gguf_name)
{
    while (r && r->hf && strcmp(r->gguf, gguf_name) != 0) r++;
    return r && r->hf ? r : NULL;
}

// The name that a slot's tensor (or its first expert that is not there) would have.
static void missing_name(char *out, size_t size, const slot_table *t, const slot *sl)
{
    const family      *f = t->c->arch->family;
    const tensor_rule *layer = sl->block < 0 ? NULL : rule_to(f->layer, sl->row->name);
    const tensor_rule *rule = sl->rule;
    int64_t            expert = 0;
    if (!rule) rule = sl->block < 0 ? rule_to(f->model, sl->row->name) : layer ? layer : rule_to(f->mtp, sl->row->name);
    while (sl->rule && sl->part[expert]) expert++;
    name_of_source(out, size, t->c, rule->hf, sl->block >= 0 && !layer, sl->block, sl->rule ? expert : -1);
}

static bool check_missing(const slot_table *t, const st *s, err *e)
{
    for (int64_t i = 0; i < t->n_slots; i++) {
        const slot *sl = &t->slots[i];
        char name[192];
        if (sl->row->role == ROLE_FREQS) continue;              // computed
        if (sl->rule ? sl->n_found == sl->n_parts : presence_of(t, sl) != TENSOR_MUST) continue;
        missing_name(name, sizeof name, t, sl);
        const char *dir = st_file(s, 0)->path, *file = file_by_index(s, name);
        return err_set(e, ERR_INPUT, "%s: tensor '%s' is missing%s%.200s%s", dir, name,
                       file ? " (the index says that it is in " : "", file ? file : "", file ? ")" : "");
    }
    return true;
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

// ---- norms that were changed already -------------------------------------------------------------------------------

static double mean_of(const st_tensor *x)
{
    double sum = 0;
    for (int64_t i = 0; i < x->n_elems; i++) {
        float v;
        f32_from_float_run(x->type, &v, x->data + i * (x->n_bytes / x->n_elems), 1);
        sum += (double)v;
    }
    return sum / (double)x->n_elems;
}

// Norms that hold w where the model multiplies by 1 + w are trained from 0, and many stay near it (0.03 in the first
// layer of Qwen 3.5). An export that has added the 1 (MLX does) would get it twice, and talk nonsense: then not one of
// them is near 0. The block that guesses is not asked: it may have been copied beside such an export as it was.
static bool check_norms(const slot_table *t, const st *s, err *e)
{
    const st_tensor *least = NULL;
    double           mean = 0;
    int64_t          n = 0;
    for (int64_t i = 0; i < t->n_slots; i++) {
        const slot *sl = &t->slots[i];
        if (!sl->rule || !(sl->rule->change & ZERO_NORM) || sl->block >= t->c->n_layer) continue;
        const double m = mean_of(sl->part[0]);
        if (n++ > 0 && !(m < mean)) continue;
        mean = m;
        least = sl->part[0];
    }
    if (n == 0 || !(mean > 0.5)) return true;
    return err_set(e, ERR_INPUT, "%s: tensor '%s': found a mean of %.3f, the least of %lld norms, expected some near "
                   "0: 1 was added to them already, as MLX's exports have it; convert the checkpoint that was exported",
                   st_file(s, least->file)->path, least->name, mean, (long long)n);
}

// ---- all of it -----------------------------------------------------------------------------------------------------

bool slots_fill(slot_table *t, const st *s, const hf_config *c, progress *log, err *e)
{
    left_out_tally left[MAX_LEFT_OUT] = { 0 };
    *t = (slot_table){ 0 };
    if (!slots_init(t, c, e)) return false;
    for (int64_t i = 0; i < st_n_tensors(s); i++)
        if (!place_tensor(t, s, st_at(s, i), left, e)) return false;
    settle_head(t, s, log);
    if (!check_missing(t, s, e) || !check_norms(t, s, e)) return false;
    left_out_log(left, log);
    log_index(t, s, log);
    return true;
}
