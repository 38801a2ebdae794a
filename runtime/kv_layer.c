// kv_layer: see kv_layer.h.
#include "kv_layer.h"
#include "../formats/checked.h"

static const kv_trait traits[] = {
    [KV_F32]    = { "f32",    DT_F32,    0 }, [KV_BF16]  = { "bf16",  DT_BF16,    0 },
    [KV_F16]    = { "f16",    DT_F16,    0 }, [KV_Q8_0]  = { "q8_0",  DT_Q8_0,    0 },
    [KV_Q5_1]   = { "q5_1",   DT_Q5_1,   0 }, [KV_Q5_0]  = { "q5_0",  DT_Q5_0,    0 },
    [KV_Q4_1]   = { "q4_1",   DT_Q4_1,   0 }, [KV_Q4_0]  = { "q4_0",  DT_Q4_0,    0 },
    [KV_IQ4_NL] = { "iq4_nl", DT_IQ4_NL, 0 }, [KV_KIVI2] = { "kivi2", DT_INVALID, 2 },
    [KV_KIVI4]  = { "kivi4",  DT_INVALID, 4 },
};
_Static_assert(sizeof traits / sizeof *traits == N_KV_TYPES, "a row for each type");

const kv_trait *kv_trait_of(kv_type t) { return &traits[t]; }

bool kv_type_of(dtype type, kv_type *t)
{
    for (int i = 0; i < N_KV_TYPES; i++) {
        if (traits[i].type != type || type == DT_INVALID) continue;
        *t = (kv_type)i;
        return true;
    }
    return false;
}

bool kv_side_same(const kv_side *a, const kv_side *b)
{
    return a->type == b->type && a->group == b->group && a->residual == b->residual && a->rot == b->rot;
}

bool kv_choice_same(const kv_choice *a, const kv_choice *b)
{
    return kv_side_same(&a->k, &b->k) && kv_side_same(&a->v, &b->v) && a->sink == b->sink && a->recent == b->recent;
}

// ---- planning -------------------------------------------------------------------------------------------------------

typedef struct {
    int head_dim, layer;
    err *e;
} head_check;

// Bytes of one head of a unit; an even number, so that F16 values lie where they can be read.
static bool head_bytes(const kv_part *p, const head_check *at, int64_t *bytes)
{
    const kv_trait *t = kv_trait_of(p->how.type);
    const int64_t dim = at->head_dim, codes = dim * t->bits / 8, g = p->how.group;
    if (t->bits == 0)
        return dtype_row_bytes(t->type, dim, bytes)
            || err_set(at->e, ERR_USAGE, "KV dtype %s: its blocks do not divide a head of %d (layer %d)",
                       dtype_name(t->type), at->head_dim, at->layer);
    if (dim * t->bits % 8 != 0)
        return err_set(at->e, ERR_USAGE, "KV cache %s: its bytes do not divide a head of %d (layer %d)", t->name,
                       at->head_dim, at->layer);
    *bytes = p->by_tokens ? 4 * dim + g * codes : 4 * (dim / g) + codes;
    *bytes += *bytes % 2;
    return true;
}

static bool groups_divide(const kv_part *p, const head_check *at)
{
    const kv_trait *t = kv_trait_of(p->how.type);
    const int g = p->how.group;
    if (t->bits == 0 || p->by_tokens || (at->head_dim % g == 0 && g * t->bits % 8 == 0)) return true;
    return err_set(at->e, ERR_USAGE, "KV cache %s: groups of %d do not divide a head of %d (layer %d)", t->name, g,
                   at->head_dim, at->layer);
}

static bool plan_rotation(kv_part *p, bool keys, const head_check *at)
{
    p->rot_block = p->how.rot == KV_ROT_NONE ? 0 : KV_ROT_LEAST;
    if (p->rot_block == 0) return true;
    if (at->head_dim % KV_ROT_LEAST != 0)
        return err_set(at->e, ERR_USAGE, "KV cache %s:rot: %d does not divide a head of %d (layer %d)",
                       kv_trait_of(p->how.type)->name, KV_ROT_LEAST, at->head_dim, at->layer);
    while (keys && p->how.rot == KV_ROT && at->head_dim % (2 * p->rot_block) == 0) p->rot_block *= 2;
    return true;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// How many units hold every position that a batch sees.
static int64_t units_of(const kv_part *p, const kv_room *room)
{
    const int64_t g = p->how.group, all = p->by_tokens ? (room->n_ctx + g - 1) / g : room->n_ctx;
    return least(all, p->by_tokens ? (room->capacity - 2 + g) / g + 1 : room->capacity);
}

// A ring holds what the oldest query of a batch sees whole, and the batch; where groups are made from it, they too.
static void plan_whole(kv_part *p, const kv_room *room, int sink, int64_t dim)
{
    const int64_t most = p->by_tokens ? room->n_ctx : room->capacity;
    p->whole = room->bf16 && p->rot_block == 0 ? DT_BF16 : DT_F32;
    p->whole_row = dim * (p->whole == DT_BF16 ? 2 : 4);
    p->ring = p->newest == 0 ? 0 : least(p->newest + (int64_t)room->n_batch, most);
    p->sinks = least(sink, room->n_ctx);
}

static bool part_bytes(const kv_part *p, int64_t *bytes)
{
    int64_t whole;
    return mul_i64(p->unit, p->units, bytes) && mul_i64(p->whole_row, p->ring + p->sinks, &whole)
        && add_i64(*bytes, whole, bytes);
}

static bool too_long(const kv_room *room, err *e)
{
    return err_set(e, ERR_USAGE, "a context of %lld tokens does not fit in 64-bit memory", (long long)room->n_ctx);
}

static bool plan_part(kv_part *p, const kv_side *how, bool keys, const kv_layer *kv, const kv_room *room,
                      const head_check *at)
{
    const bool kivi = kv_trait_of(how->type)->bits > 0;
    int64_t head, bytes;
    *p = (kv_part){ .how = *how, .by_tokens = kivi && keys, .in_steps = kivi && keys,
                    .newest = kivi ? how->residual : kv->recent };
    if (!groups_divide(p, at)) return false;
    if (!head_bytes(p, at, &head)) return false;
    if (!plan_rotation(p, keys, at)) return false;
    p->unit = head * kv->n_kv_head;
    p->units = units_of(p, room);
    plan_whole(p, room, kv->sink, (int64_t)kv->n_kv_head * kv->head_dim);
    return part_bytes(p, &bytes) || too_long(room, at->e);
}

bool kv_layer_plan(kv_layer *kv, const kv_choice *c, int n_kv_head, int head_dim, const kv_room *room, int layer,
                   err *e)
{
    const head_check at = { .head_dim = head_dim, .layer = layer, .e = e };
    int64_t both;
    *kv = (kv_layer){ .sink = c->sink, .recent = c->recent, .n_kv_head = n_kv_head, .head_dim = head_dim,
                      .capacity = room->capacity };
    if (!plan_part(&kv->k, &c->k, true, kv, room, &at)) return false;
    if (!plan_part(&kv->v, &c->v, false, kv, room, &at)) return false;
    return add_i64(kv_part_bytes(&kv->k), kv_part_bytes(&kv->v), &both) || too_long(room, e);
}

// ---- counting -------------------------------------------------------------------------------------------------------

int64_t kv_part_bytes(const kv_part *p)
{
    int64_t bytes = 0;
    part_bytes(p, &bytes);
    return bytes;
}

int64_t kv_layer_bytes(const kv_layer *kv) { return kv_part_bytes(&kv->k) + kv_part_bytes(&kv->v); }

kv_choice kv_layer_choice(const kv_layer *kv)
{
    return (kv_choice){ .k = kv->k.how, .v = kv->v.how, .sink = kv->sink, .recent = kv->recent };
}

int64_t kv_part_read(const kv_part *part, int64_t lo, int64_t p)
{
    int64_t from = kv_whole_from(part, p), first = lo;
    if (from < lo) from = lo;
    if (first < part->sinks) first = least(part->sinks, from);
    const int64_t stored = from - first, whole = p + 1 - lo - stored;
    int64_t units = stored;
    if (part->by_tokens && stored > 0) units = (from - 1) / part->how.group - first / part->how.group + 1;
    return units * part->unit + whole * part->whole_row;
}
