// What a model costs before it is converted or run: inspect --plan.
#include "inspect.h"
#include "../formats/checked.h"
#include "../measure/mix.h"
#include "../measure/plan.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_CONTEXTS = 4 };

typedef struct { const char *label; int64_t weights, longest; double bits; plan_refusals refused; } type_row;

typedef struct {
    model_plan p;
    kv_spec    kv;
    char       kv_text[KV_TEXT];
    int64_t    memory;                      // 0: nobody asked
    int64_t    contexts[MAX_CONTEXTS];
    memory_plan cache[MAX_CONTEXTS];
    int        n_contexts;
    type_row  *rows;                        // owned: [n_rows], of the types of the table, or of the file's own
    int        n_rows;
} shown_plan;

// ---- what is asked for ---------------------------------------------------------------------------------------------

// Those that people ask for, as far as the model was trained for them, and what it was trained for where that is none
// of them; or the one of --ctx.
static bool choose_contexts(shown_plan *s, const inspect_plan_opts *o, err *e)
{
    static const int64_t usual[MAX_CONTEXTS] = { 4096, 32768, 131072, 262144 };
    const int64_t most = s->p.h.n_ctx_train;
    if (o->n_ctx > most)
        return err_set(e, ERR_USAGE, "--ctx %lld: %s was trained for %lld positions", (long long)o->n_ctx, s->p.path,
                       (long long)most);
    if (o->n_ctx > 0) s->contexts[s->n_contexts++] = o->n_ctx;
    for (int i = 0; o->n_ctx == 0 && i < MAX_CONTEXTS && usual[i] <= most; i++) s->contexts[s->n_contexts++] = usual[i];
    const bool ends = s->n_contexts > 0 && s->contexts[s->n_contexts - 1] == most;
    if (o->n_ctx == 0 && !ends && s->n_contexts < MAX_CONTEXTS) s->contexts[s->n_contexts++] = most;
    return true;
}

static bool read_options(shown_plan *s, const inspect_plan_opts *o, err *e)
{
    if (o->memory && !mix_parse_bytes(o->memory, &s->memory))
        return err_set(e, ERR_USAGE, "--memory '%s': expected a size, as 24GiB or 16GB", o->memory);
    if (o->kv && !kv_spec_parse(&s->kv, o->kv, e)) return false;
    if (!o->kv) s->kv = kv_spec_of(KV_BF16);
    kv_spec_text(&s->kv, s->kv_text);
    return true;
}

static bool plan_contexts(shown_plan *s, err *e)
{
    for (int i = 0; i < s->n_contexts; i++)
        if (!plan_cache_of(&s->p, &s->kv, s->contexts[i], &s->cache[i], e)) return false;
    return true;
}

// ---- rows -----------------------------------------------------------------------------------------------------------

static double saved(int64_t with, int64_t without) { return without > 0 ? 1.0 - (double)with / (double)without : 0.0; }

static bool plan_row(const shown_plan *s, const file_type_info *ft, type_row *r, err *e)
{
    *r = (type_row){ .label = s->p.quantized ? s->p.h.type_label : ft->label };
    if (!plan_weights(&s->p, ft->id, &r->weights, e) || !plan_refused(&s->p, ft->id, &r->refused, e)) return false;
    r->bits = 8.0 * (double)r->weights / (double)s->p.counts.total;
    return s->memory == 0 || plan_longest(&s->p, &s->kv, r->weights, s->memory, &r->longest, e);
}

// All of them, before anything is shown: what fails leaves no half of a document.
static bool plan_rows(shown_plan *s, err *e)
{
    int n;
    const file_type_info *types = file_type_table(&n);
    s->n_rows = s->p.quantized ? 1 : n;
    s->rows = calloc((size_t)s->n_rows, sizeof *s->rows);
    if (!s->rows) return err_nomem(e, "the table", (size_t)s->n_rows * sizeof *s->rows);
    for (int i = 0; i < s->n_rows; i++)
        if (!plan_row(s, &types[i], &s->rows[i], e)) return false;
    return true;
}

// All that a context of this type takes; sizes of a hostile config may be more than 63 bits together.
static int64_t all_bytes(const shown_plan *s, const type_row *r, int context)
{
    const memory_plan *c = &s->cache[context];
    int64_t all;
    return add_i64(r->weights, c->kv_bytes, &all) && add_i64(all, c->state_bytes, &all) ? all : INT64_MAX;
}

// ---- text ----------------------------------------------------------------------------------------------------------

static void count_text(const char *what, int64_t n)
{
    if (n >= 1000000000) printf("%s%.2f billion", what, (double)n / 1e9);
    else                 printf("%s%.2f million", what, (double)n / 1e6);
}

static void parameters_text(const shown_plan *s)
{
    const tensor_counts *c = &s->p.counts;
    const hparams       *h = &s->p.h;
    count_text("Parameters: ", c->total);
    if (h->n_expert > 0) {
        count_text("; a token goes through ", c->active);
        printf(" (%d of %d experts)", h->n_expert_used, h->n_expert);
    }
    if (c->lookup > 0) count_text("; in tables of which a token takes a row: ", c->lookup);
    if (c->mtp > 0) count_text("; in a block that guesses further tokens: ", c->mtp);
    putchar('\n');
}

static void layers_text(const shown_plan *s)
{
    const hparams *h = &s->p.h;
    int recurrent = 0, sliding = 0, kept = 0;
    for (int i = 0; i < h->n_layer; i++) {
        recurrent += h->layers[i].recurrent;
        sliding   += h->layers[i].sliding;
        kept      += h->layers[i].has_kv;
    }
    printf("Layers: %d", h->n_layer);
    if (recurrent > 0) printf(", %d of them delta nets with a state", recurrent);
    if (sliding > 0) printf(", %d with a window of %lld", sliding, (long long)h->window);
    printf("; %d keep keys and values", kept);
    if (kept + recurrent < h->n_layer) printf(", %d use those of another", h->n_layer - kept - recurrent);
    putchar('\n');
}

static bool caches_text(const shown_plan *s)
{
    static const char *const header[] = { ">positions", ">KV cache", ">state", ">without sharing", ">nor windows",
                                          ">sharing saves", ">both save", NULL };
    table t;
    table_begin(&t, header);
    for (int i = 0; i < s->n_contexts; i++) {
        const memory_plan *c = &s->cache[i];
        char text[32];
        table_cell(&t, "%lld", (long long)s->contexts[i]);
        table_cell(&t, "%s", human_bytes(c->kv_bytes, text));
        table_cell(&t, "%s", c->state_bytes ? human_bytes(c->state_bytes, text) : "-");
        table_cell(&t, "%s", human_bytes(c->kv_bytes_unshared, text));
        table_cell(&t, "%s", human_bytes(c->kv_bytes_plain, text));
        table_cell(&t, "%.0f %%", 100 * saved(c->kv_bytes, c->kv_bytes_unshared));
        table_cell(&t, "%.0f %%", 100 * saved(c->kv_bytes, c->kv_bytes_plain));
    }
    printf("\nCache in %s\n", s->kv_text);
    return table_print(&t, stdout);
}

static void longest_cell(table *t, const shown_plan *s, int64_t longest)
{
    if (longest == 0)                             table_cell(t, "none");
    else if (longest == s->p.h.n_ctx_train)       table_cell(t, "%lld (all)", (long long)longest);
    else                                          table_cell(t, "%lld", (long long)longest);
}

static bool types_text(const shown_plan *s)
{
    const char *header[MAX_CONTEXTS + 6] = { "type", ">weights", ">bits a weight" };
    char names[MAX_CONTEXTS][48];
    int n = 3;
    table t;
    for (int i = 0; i < s->n_contexts; i++) {
        snprintf(names[i], sizeof names[i], ">at %lld", (long long)s->contexts[i]);
        header[n++] = names[i];
    }
    if (s->memory) header[n++] = ">longest that fits";
    table_begin(&t, header);
    for (int i = 0; i < s->n_rows; i++) {
        const type_row *r = &s->rows[i];
        char text[32];
        table_cell(&t, "%s", r->label);
        table_cell(&t, "%s", human_bytes(r->weights, text));
        table_cell(&t, "%.2f", r->bits);
        for (int k = 0; k < s->n_contexts; k++) {
            const int64_t all = all_bytes(s, r, k);
            table_cell(&t, "%s%s", human_bytes(all, text), s->memory && all > s->memory ? " !" : "");
        }
        if (s->memory) longest_cell(&t, s, r->longest);
    }
    printf("\nWeights, cache and state together, by positions");
    if (s->memory) {
        char text[32];
        printf(" (!: more than %s)", human_bytes(s->memory, text));
    }
    putchar('\n');
    return table_print(&t, stdout);
}

// Which of the types another program will not read: nothing is said where all are read.
static void reader_text(const shown_plan *s)
{
    int n = 0;
    for (int i = 0; i < s->n_rows; i++) {
        const type_row *r = &s->rows[i];
        if (r->refused.n == 0) continue;
        if (n++ == 0) printf("\nNot read by Transformers' own GGUF reader (5.24), with the blocks that it lacks: ");
        else          printf(", ");
        printf("%s (%s%s%s)", r->label, dtype_name(r->refused.types[0]), r->refused.n > 1 ? ", " : "",
               r->refused.n > 1 ? dtype_name(r->refused.types[1]) : "");
    }
    if (n > 0) putchar('\n');
}

static bool plan_text(const shown_plan *s, err *e)
{
    print_line(stdout, "%s: %s, %s", s->p.path, s->p.arch, s->p.from_file ? "a GGUF file" : "planned from its config");
    parameters_text(s);
    layers_text(s);
    if (!caches_text(s) || !types_text(s)) return err_nomem(e, "the table", 0);
    reader_text(s);
    printf("\nA file adds its header, with the tokenizer; a run adds buffers for a batch.\n");
    return true;
}

// ---- JSON ----------------------------------------------------------------------------------------------------------

static void int_json(json_out *j, const char *key, int64_t v)
{
    json_key_int(j, key, v);
}

static void parameters_json(json_out *j, const tensor_counts *c)
{
    json_key_open(j, "parameters", '{');
    int_json(j, "total", c->total);
    int_json(j, "active", c->active);
    int_json(j, "lookup", c->lookup);
    int_json(j, "mtp", c->mtp);
    json_close(j, '}');
}

static void contexts_json(json_out *j, const shown_plan *s)
{
    json_key_cstr(j, "kv_spec", s->kv_text);
    json_key_open(j, "memory", '[');
    for (int i = 0; i < s->n_contexts; i++) {
        const memory_plan *c = &s->cache[i];
        json_open(j, '{');
        int_json(j, "positions", s->contexts[i]);
        int_json(j, "kv_bytes", c->kv_bytes);
        int_json(j, "state_bytes", c->state_bytes);
        int_json(j, "kv_bytes_unshared", c->kv_bytes_unshared);
        int_json(j, "kv_bytes_plain", c->kv_bytes_plain);
        json_key_num(j, "saved_by_sharing", saved(c->kv_bytes, c->kv_bytes_unshared), 6);
        json_key_num(j, "saved", saved(c->kv_bytes, c->kv_bytes_plain), 6);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void refused_json(json_out *j, const plan_refusals *r)
{
    json_key_open(j, "transformers_refuses", '[');
    for (int i = 0; i < r->n; i++) json_cstr(j, dtype_name(r->types[i]));
    json_close(j, ']');
}

static void type_json(json_out *j, const shown_plan *s, const type_row *r)
{
    json_open(j, '{');
    json_key_cstr(j, "type", r->label);
    int_json(j, "weight_bytes", r->weights);
    json_key_num(j, "bits_per_weight", r->bits, 6);
    json_key_open(j, "bytes", '[');
    for (int k = 0; k < s->n_contexts; k++) json_int(j, all_bytes(s, r, k));
    json_close(j, ']');
    if (s->memory) int_json(j, "longest", r->longest);
    if (plan_judges_reader(&s->p)) refused_json(j, &r->refused);
    json_close(j, '}');
}

static void types_json(json_out *j, const shown_plan *s)
{
    json_key_open(j, "types", '[');
    for (int i = 0; i < s->n_rows; i++) type_json(j, s, &s->rows[i]);
    json_close(j, ']');
}

static bool plan_json(const shown_plan *s)
{
    json_out j;
    inspect_head_json(&j, s->p.path, "plan");
    json_key_cstr(&j, "architecture", s->p.arch);
    parameters_json(&j, &s->p.counts);
    int_json(&j, "layers", s->p.h.n_layer);
    int_json(&j, "trained_positions", s->p.h.n_ctx_train);
    int_json(&j, "header_bytes", s->p.header_bytes);
    contexts_json(&j, s);
    if (s->memory) int_json(&j, "memory_limit", s->memory);
    types_json(&j, s);
    json_close(&j, '}');
    return true;
}

bool inspect_plan(const char *path, const inspect_plan_opts *o, err *e)
{
    shown_plan *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(e, "a plan", sizeof *s);
    bool ok = read_options(s, o, e) && plan_open(&s->p, path, e) && choose_contexts(s, o, e) && plan_contexts(s, e);
    ok = ok && plan_rows(s, e) && (o->json ? plan_json(s) : plan_text(s, e));
    plan_close(&s->p);
    free(s->rows);
    free(s);
    return ok;
}
