// type_of: see type_of.h.
#include "type_of.h"
#include "../arch/keys.h"
#include "../formats/checked.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TYPES = 64 };

typedef struct {
    policy_tensor *t;           // [n] matrices of the layers
    dtype         *types;       // [n]
    int64_t        n, bytes;
    char           arch[64];
    policy_model   model;
    bool           exact[MAX_TYPES];    // by row of file_type_table: the matrices are those of this type
    int64_t        would[MAX_TYPES];    // and what its mix would spend on them
} layers;

static bool read_model(layers *l, const gguf *g, err *e)
{
    policy_model *m = &l->model;
    arch_facts    f;
    gguf_str      arch;
    if (!gguf_get_str(g, "general.architecture", &arch, e) || !arch_facts_read(&f, g, e)) return false;
    snprintf(l->arch, sizeof l->arch, "%.*s", arch.n < 63 ? (int)arch.n : 63, arch.s);
    m->arch       = l->arch;
    m->has_output = gguf_find_tensor(g, "output.weight") != NULL;
    m->n_layer    = f.n_layer;
    m->n_head     = f.n_head;
    m->n_head_kv  = f.n_head_kv;
    m->n_expert   = f.n_expert;
    return true;
}

static bool of_layers(const char *name, int n_dims) { return strncmp(name, "blk.", 4) == 0 && n_dims >= 2; }

// Adds what t takes as `type` to *sum.
static bool add_bytes(int64_t *sum, const policy_tensor *t, dtype type, const char *path, err *e)
{
    int64_t bytes;
    if (dtype_bytes(type, t->n_dims, t->shape, &bytes) && add_i64(*sum, bytes, sum)) return true;
    return err_set(e, ERR_INPUT, "%s: tensor '%s': its size as %s does not fit 63 bits", path, t->name,
                   dtype_name(type));
}

// Room for the layers' matrices among n tensors.
static bool make_room(layers *l, int64_t n, err *e)
{
    l->t     = calloc((size_t)n + 1, sizeof *l->t);
    l->types = calloc((size_t)n + 1, sizeof *l->types);
    return (l->t && l->types) || err_nomem(e, "the list of tensors", (size_t)n * sizeof *l->t);
}

static bool add_tensor(layers *l, const policy_tensor *t, const char *path, err *e)
{
    if (!of_layers(t->name, t->n_dims)) return true;
    l->t[l->n++] = *t;
    return add_bytes(&l->bytes, t, t->type, path, e);
}

static bool gather(layers *l, const gguf *g, err *e)
{
    bool ok = make_room(l, gguf_n_tensors(g), e);
    for (int64_t i = 0; ok && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        policy_tensor p = { .name = t->name, .type = t->type, .n_dims = t->n_dims };
        memcpy(p.shape, t->shape, sizeof p.shape);
        ok = add_tensor(l, &p, gguf_path(g), e);
    }
    return ok;
}

// Fills in exact[row] and would[row]. A tensor that no type quantizes counts as it is, on both sides.
static bool try_type(layers *l, const gguf *g, int row, file_type type, bool has_imatrix, err *e)
{
    err why = { 0 };
    l->model.has_imatrix = has_imatrix;
    if (!policy_choose(type, &l->model, l->t, l->n, l->types, &why))
        return err_set(e, why.kind == ERR_SYSTEM ? ERR_SYSTEM : ERR_INPUT, "%s: %s", gguf_path(g), why.msg);
    bool same = true;
    l->would[row] = 0;
    for (int64_t i = 0; i < l->n; i++) {
        if (!add_bytes(&l->would[row], &l->t[i], l->types[i], gguf_path(g), e)) return false;
        same &= l->types[i] == l->t[i].type;
    }
    l->exact[row] |= same;
    return true;
}

static bool try_types(layers *l, const gguf *g, err *e)
{
    int n_types;
    const file_type_info *table = file_type_table(&n_types);
    if (l->n == 0) return true;
    if (!read_model(l, g, e)) return false;
    for (int i = 0; i < n_types && i < MAX_TYPES; i++) {
        if (!try_type(l, g, i, table[i].id, true, e)) return false;
        if (!try_type(l, g, i, table[i].id, false, e)) return false;
    }
    return true;
}

static bool read_layers(layers *l, const gguf *g, err *e) { return gather(l, g, e) && try_types(l, g, e); }

static void free_layers(layers *l)
{
    free(l->t);
    free(l->types);
}

static bool stricter(const type_budget *a, const type_budget *b)
{
    return a->most < b->most || (a->most == b->most && a->least > b->least);
}

// Who asks for budgets.
typedef struct { type_budget_of of; const void *ctx; } budgets;

// The strictest among the types that apply: those that the tensors are exactly, or those that would spend no more.
static const char *strictest(const layers *l, const budgets *all, bool exact)
{
    int n;
    const file_type_info *table = file_type_table(&n);
    type_budget best = { 0 }, b;
    const char *label = NULL;
    for (int i = 0; i < n && i < MAX_TYPES; i++) {
        const bool applies = exact ? l->exact[i] : l->would[i] <= l->bytes;
        if (!applies || !all->of(all->ctx, table[i].label, &b)) continue;
        if (label && !stricter(&b, &best)) continue;
        best  = b;
        label = table[i].label;
    }
    return label;
}

static int row_of(const char *label)
{
    int n;
    const file_type_info *table = file_type_table(&n);
    for (int i = 0; i < n && i < MAX_TYPES; i++)
        if (strcmp(table[i].label, label) == 0) return i;
    return -1;
}

static int first_exact(const layers *l)
{
    int n;
    file_type_table(&n);
    for (int i = 0; i < n && i < MAX_TYPES; i++)
        if (l->exact[i]) return i;
    return -1;
}

// A mix of one's own may take a type's name when it spends about what that type's does.
static bool near_enough(const layers *l, int row)
{
    const double share = (double)l->bytes / (double)l->would[row];
    return share >= 0.9 && share <= 1.5;
}

// Who takes a type's name answers to that type's budget, too: one tensor off a mix is no way to the budget of a
// smaller one. And who keeps a little less than the least type does has that one's budget by taking its name.
static const char *with_said(const layers *l, const budgets *all, const char *held, const char *said)
{
    const int row = row_of(said);
    type_budget of_said, of_held;
    if (row < 0 || !all->of(all->ctx, said, &of_said)) return held;
    if (!held) return near_enough(l, row) ? said : NULL;
    return all->of(all->ctx, held, &of_held) && stricter(&of_said, &of_held) ? said : held;
}

bool type_of_budget(const gguf *g, type_budget_of budget, const void *ctx, char label[16], err *e)
{
    const budgets all = { budget, ctx };
    layers l = { 0 };
    const char *said;
    bool ok = read_layers(&l, g, e) && file_type_label(g, &said, e);
    strcpy(label, "?");
    if (ok && l.n > 0) {
        int row = row_of(said);
        const bool  as_said = row >= 0 && l.exact[row];
        const char *held = as_said ? said : with_said(&l, &all, strictest(&l, &all, first_exact(&l) >= 0), said);
        snprintf(label, 16, "%s", held ? held : "?");
    }
    free_layers(&l);
    return ok;
}

static bool contradicts(const layers *l, const gguf *g, const char *said, err *e)
{
    static const char KEY[] = "general.file_type";
    int n, row = row_of(said), is = first_exact(l);
    const file_type_info *table = file_type_table(&n);
    if (row < 0) return err_set(e, ERR_VERDICT, "%s: key '%s': found a type that is none we know", gguf_path(g), KEY);
    if (l->n == 0 || l->exact[row]) return true;
    if (is >= 0)
        return err_set(e, ERR_VERDICT, "%s: key '%s': found %s, expected %s, which is what the layers' tensors are",
                       gguf_path(g), KEY, said, table[is].label);
    if (near_enough(l, row)) return true;
    return err_set(e, ERR_VERDICT, "%s: key '%s': found %s, which would take %lld bytes for the layers' tensors; they "
                   "take %lld", gguf_path(g), KEY, said, (long long)l->would[row], (long long)l->bytes);
}

// ---- naming --------------------------------------------------------------------------------------------------------

// The row whose mix spends most nearly the same, among those that type_of_check lets stand; where there is none, the
// nearest of all.
static int nearest(const layers *l)
{
    int n, best = -1;
    double least = 0;
    const file_type_info *table = file_type_table(&n);
    for (int pass = 0; pass < 2 && best < 0; pass++)
        for (int i = 0; i < n && i < MAX_TYPES; i++) {
            const double off = l->would[i] > 0 ? fabs(log((double)l->bytes / (double)l->would[i])) : INFINITY;
            if (dtype_find(table[i].base)->block_weights == 1 || (pass == 0 && !near_enough(l, i))
                || (best >= 0 && off >= least)) continue;
            best  = i;
            least = off;
        }
    return best;
}

bool type_of_name(const gguf *g, const policy_tensor *t, int64_t n, file_type *type, err *e)
{
    layers l = { 0 };
    int n_types;
    const file_type_info *table = file_type_table(&n_types);
    bool ok = make_room(&l, n, e);
    int row = -1;
    for (int64_t i = 0; ok && i < n; i++) ok = add_tensor(&l, &t[i], gguf_path(g), e);
    ok = ok && try_types(&l, g, e);
    for (int i = 0; ok && l.n > 0 && i < n_types && i < MAX_TYPES && row < 0; i++)
        if (l.exact[i] && dtype_find(table[i].base)->block_weights > 1) row = i;
    if (ok && l.n > 0 && row < 0) row = nearest(&l);
    *type = row >= 0 ? table[row].id : FT_Q8_0;
    free_layers(&l);
    return ok;
}

bool type_of_check(const gguf *g, err *e)
{
    layers l = { 0 };
    const char *said;
    if (!gguf_find_kv(g, "general.file_type")) return true;
    bool ok = file_type_label(g, &said, e) && read_layers(&l, g, e) && contradicts(&l, g, said, e);
    free_layers(&l);
    return ok;
}
