// inspect --program: the forward pass of a model as the list of operations that it is (runtime/program.h), with their
// operands, weights and what those take. From the file's metadata and tensor table; no weight is read.
#include "answer.h"
#include "inspect.h"
#include "../formats/file_map.h"
#include "../runtime/program_kv.h"

#include <stdio.h>
#include <string.h>

enum { CELL = 160 };

static const char *name_of(const program *p, int buf) { return buf < 0 ? "-" : p->buffers[buf].name; }

static void append_after(char *cell, const char *between, const char *text)
{
    const size_t at = strlen(cell);
    snprintf(cell + at, CELL - at, "%s%s", at ? between : "", text);
}

static void append(char *cell, const char *text) { append_after(cell, " ", text); }

// "q[1024] k[256]", by the floats of a token; those at an offset "att+256[256]", rows that lie apart "gate[2048]/128".
static void add_views(char *cell, const program *p, const view *v)
{
    for (int i = 0; i < OP_VIEWS; i++) {
        char one[112], off[32] = "", apart[16] = "";
        if (v[i].buf < 0) continue;
        if (v[i].off) snprintf(off, sizeof off, "+%lld", (long long)v[i].off);
        if (v[i].head) snprintf(apart, sizeof apart, "/%d", v[i].head);
        snprintf(one, sizeof one, "%s%s[%d]%s", name_of(p, v[i].buf), off, v[i].row, apart);
        append(cell, one);
    }
}

// A weight that the file leaves out stands for another, or for nothing.
static const program_weight *weight_of(const program *p, const gguf *g, int w)
{
    if (w < 0) return NULL;
    const program_weight *x = &p->weights[w];
    if (gguf_n_tensors(g) == 0 || gguf_find_tensor(g, x->name)) return x;
    return x->instead >= 0 ? &p->weights[x->instead] : NULL;
}

static int64_t bytes_of(const gguf *g, const program_weight *w)
{
    const gguf_tensor *t = w ? gguf_find_tensor(g, w->name) : NULL;
    return t ? t->n_bytes : 0;
}

// "blk.0.attn_q.weight 1024x256 Q4_K"
static void add_weight(char *cell, const program *p, const gguf *g, int index, int64_t *bytes)
{
    char one[CELL], experts[16] = "";
    const program_weight *w = weight_of(p, g, index);
    const gguf_tensor    *t = w ? gguf_find_tensor(g, w->name) : NULL;
    if (!w) return;
    const int64_t n = w->experts ? w->experts : 1;
    if (w->experts) snprintf(experts, sizeof experts, "%dx", w->experts);
    if (w->vector) snprintf(one, sizeof one, "%s", w->name);
    else           snprintf(one, sizeof one, "%s %s%lldx%lld%s%s", w->name, experts, (long long)(w->rows / n),
                            (long long)w->cols, t ? " " : "", t ? dtype_name(t->type) : "");
    append(cell, one);
    *bytes += bytes_of(g, w);
}

// Experts, delta nets and rotated caches.
static void add_mixed_facts(char *cell, const program *p, const op *o)
{
    char one[96];
    if (o->kind == OP_ROUTE || o->kind == OP_LINEAR_ID) {
        snprintf(one, sizeof one, "%d of %d experts", o->slots, o->experts);
        append_after(cell, "; ", one);
    }
    if (o->kind == OP_DELTA) {
        snprintf(one, sizeof one, "heads %d of %d, keys %d of %d", o->rows, o->dim, o->kv_rows, o->key_dim);
        append_after(cell, "; ", one);
    }
    if (o->state >= 0) {
        snprintf(one, sizeof one, "state of layer %d", p->states[o->state].layer);
        append_after(cell, "; ", one);
    }
    if (o->kind == OP_GATE && o->in[1].one) append_after(cell, "; ", "one factor");
    if (o->kind == OP_HADAMARD) {
        snprintf(one, sizeof one, "heads %d of %d, %d together", o->rows, o->dim, o->block);
        append_after(cell, "; ", one);
    }
    if (o->unrounded) append_after(cell, "; ", "not rounded");
}

// What else the operation goes by.
static void add_facts(char *cell, const program *p, const hparams *h, const op *o)
{
    char one[64];
    const bool attends = o->kind == OP_ATTEND;
    if (o->kind == OP_HEADS || attends) {
        snprintf(one, sizeof one, "heads %d of %d", o->rows, o->dim);
        append_after(cell, "; ", one);
    }
    if (o->kind == OP_HEADS && o->kv_rows) {
        snprintf(one, sizeof one, "kv %d", o->kv_rows);
        append_after(cell, "; ", one);
    }
    if (o->cache >= 0) {
        snprintf(one, sizeof one, "cache of layer %d", p->caches[o->cache].layer);
        append_after(cell, "; ", one);
    }
    add_mixed_facts(cell, p, o);
    if (o->rope >= 0) {
        const program_rope *r = &p->ropes[o->rope];
        char part[32] = "";
        if (r->head_dim < o->dim) snprintf(part, sizeof part, ", %d rotate", r->head_dim);
        snprintf(one, sizeof one, "base %g%s%s%s", (double)r->base, part, r->factors ? ", factors" : "",
                 o->neighbours ? ", neighbours" : "");
        append_after(cell, "; ", one);
    }
    if (attends && o->window > 0) {
        snprintf(one, sizeof one, "window %lld", (long long)o->window);
        append_after(cell, "; ", one);
    }
    if (o->scale != 1.0f) {
        snprintf(one, sizeof one, "scale %.6g", (double)o->scale);
        append_after(cell, "; ", one);
    }
    if (o->cap != 0.0f) {
        snprintf(one, sizeof one, "cap %g", (double)o->cap);
        append_after(cell, "; ", one);
    }
    if (o->kind == OP_NORM || o->kind == OP_RESIDUAL || (o->kind == OP_HEADS && h->qk_norm)) {
        snprintf(one, sizeof one, "eps %g%s", (double)o->eps, o->round_first ? ", rounds before its weight" : "");
        append_after(cell, "; ", one);
    }
    if (o->kind == OP_MARK) {
        snprintf(one, sizeof one, "hidden state %d", o->mark);
        append_after(cell, "; ", one);
    }
}

typedef struct { char out[CELL], in[CELL], weights[4 * CELL], facts[CELL]; int64_t bytes; } row;

static void fill_row(row *r, const program *p, const hparams *h, const gguf *g, const op *o)
{
    memset(r, 0, sizeof *r);
    add_views(r->out, p, o->out);
    add_views(r->in, p, o->in);
    for (int i = 0; i < OP_WEIGHTS; i++) {
        const size_t at = strlen(r->weights);
        char one[CELL] = "";
        add_weight(one, p, g, o->w[i], &r->bytes);
        add_weight(one, p, g, o->bias[i], &r->bytes);
        if (one[0]) snprintf(r->weights + at, sizeof r->weights - at, "%s%s", at ? ", " : "", one);
    }
    add_facts(r->facts, p, h, o);
}

static void rows_text(table *t, const program *p, const hparams *h, const gguf *g, const op *ops, int n, int from)
{
    for (int i = 0; i < n; i++) {
        row r;
        fill_row(&r, p, h, g, &ops[i]);
        table_cell(t, "%d", from + i);
        if (ops[i].layer < 0) table_cell(t, "-");
        else                  table_cell(t, "%d", ops[i].layer);
        table_cell(t, "%s", op_name(ops[i].kind));
        table_cell(t, "%s", r.out);
        table_cell(t, "%s", r.in);
        table_text(t, r.weights, (int64_t)strlen(r.weights), sizeof r.weights);
        table_cell(t, "%lld", (long long)r.bytes);
        table_cell(t, "%s", r.facts);
    }
}

static void rows_json(json_out *j, const program *p, const hparams *h, const gguf *g, const op *ops, int n)
{
    for (int i = 0; i < n; i++) {
        row r;
        fill_row(&r, p, h, g, &ops[i]);
        json_open(j, '{');
        json_key_cstr(j, "op", op_name(ops[i].kind));
        json_key_int(j, "layer", ops[i].layer);
        json_key_cstr(j, "out", r.out);
        json_key_cstr(j, "in", r.in);
        json_key_cstr(j, "weights", r.weights);
        json_key_int(j, "bytes", r.bytes);
        json_key_cstr(j, "facts", r.facts);
        json_close(j, '}');
    }
}

static bool print_json(const char *path, const program *p, const hparams *h, const gguf *g)
{
    json_out j;
    json_begin(&j, answer_document());
    inspect_head_json(&j, path, "program");
    json_key_open(&j, "buffers", '{');
    for (int i = 0; i < p->n_buffers; i++) {
        json_key_int(&j, p->buffers[i].name, p->buffers[i].floats);
    }
    json_close(&j, '}');
    json_key_int(&j, "blocks_never_run", h->n_nextn);
    json_key_open(&j, "operations", '[');
    rows_json(&j, p, h, g, p->ops, p->n_ops);
    rows_json(&j, p, h, g, p->head, p->n_head);
    json_close(&j, ']');
    json_close(&j, '}');
    return true;
}

// Tensors that the file holds for blocks that predict further tokens.
static void never_run(const hparams *h, const gguf *g)
{
    int64_t n = 0, bytes = 0;
    char    size[32];
    if (h->n_nextn == 0) return;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        int block;
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (sscanf(t->name, "blk.%d.", &block) != 1 || block < h->n_layer) continue;
        n++;
        bytes += t->n_bytes;
    }
    printf("%d block%s behind the %d layers, which predict%s further tokens, %s never run: %lld tensors, %s\n",
           h->n_nextn, h->n_nextn == 1 ? "" : "s", h->n_layer, h->n_nextn == 1 ? "s" : "",
           h->n_nextn == 1 ? "is" : "are", (long long)n, human_bytes(bytes, size));
}

static bool print_text(const program *p, const hparams *h, const gguf *g)
{
    static const char *const header[] = { ">#", ">layer", "operation", "out", "in", "weights", ">bytes", "by", NULL };
    table t;
    printf("%d operations; floats of a token in buffers:", p->n_ops + p->n_head);
    for (int i = 0; i < p->n_buffers; i++)
        printf("%s %s %lld", i ? "," : "", p->buffers[i].name, (long long)p->buffers[i].floats);
    printf("\n");
    never_run(h, g);
    table_begin(&t, header);
    rows_text(&t, p, h, g, p->ops, p->n_ops, 0);
    rows_text(&t, p, h, g, p->head, p->n_head, p->n_ops);
    return table_print(&t, stdout);
}

// A cache that cannot be asked for is told before the file is looked at.
static bool rotate(program *p, const hparams *h, const kv_spec *kv, err *e)
{
    return kv->n == 0 || program_rotate(p, h, kv, e);
}

bool inspect_program(const char *path, const char *kv, bool json, err *e)
{
    kv_spec spec = { 0 };
    if (kv && !kv_spec_parse(&spec, kv, e)) return false;
    hparams h = { 0 };
    program p = { 0 };
    gguf   *g = gguf_open(path, e);
    bool    ok = g && hparams_read(&h, g, e);
    ok = ok && (gguf_n_tensors(g) == 0 || program_check_tensors(&h, g, e)) && program_build(&p, &h, e);
    ok = ok && rotate(&p, &h, &spec, e);
    if (ok) ok = json ? print_json(path, &p, &h, g) : print_text(&p, &h, g);
    program_free(&p);
    hparams_free(&h);
    gguf_close(g);
    return ok;
}
