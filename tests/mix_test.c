// Proves measure/mix_solve.h, quant/encode.h, measure/sensitivity.h, measure/mix.h, measure/mix_state.h and
// session_replace_weight: the choice against brute force; encoding in memory against what quantize writes; on the
// committed tiny Gemma 4 what a probe says against a file made so and run; figures on disk, and every byte of them
// changed; what is refused, by name.
#include "formats/dir_list.h"
#include "formats/json.h"
#include "quant/encode.h"
#include "measure/mix.h"
#include "measure/mix_solve.h"
#include "measure/mix_state.h"
#include "measure/state_folder.h"
#include "measure/texts.h"
#include "verify_files.h"
#include <math.h>

// ---- the choice -----------------------------------------------------------------------------------------------------

enum { ITEMS = 6, CHOICES = 5 };

static uint64_t seed = 1;
static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

typedef struct { mix_choice c[ITEMS][CHOICES]; mix_item items[ITEMS]; int n; } problem;

static void total(const problem *p, const int *picks, int64_t *bytes, double *cost)
{
    *bytes = 0;
    *cost = 0;
    for (int i = 0; i < p->n; i++) { *bytes += p->c[i][picks[i]].bytes; *cost += p->c[i][picks[i]].cost; }
}

static double brute_force(const problem *p, int64_t budget)
{
    int picks[ITEMS] = { 0 };
    double best = INFINITY, cost;
    for (;;) {
        int64_t bytes;
        total(p, picks, &bytes, &cost);
        if (bytes <= budget && cost < best) best = cost;
        int i = 0;
        while (i < p->n && ++picks[i] == p->items[i].n) picks[i++] = 0;
        if (i == p->n) return best;
    }
}

// Costs that fall with size, as errors do, give or take: some choices are worse than smaller ones, some lie above the
// hull.
static void make_problem(problem *p, int round)
{
    p->n = 1 + (int)(uniform() * ITEMS);
    for (int i = 0; i < p->n; i++) {
        const int64_t rows = 1 + (int64_t)(uniform() * 200);
        const double scale = exp(6 * uniform());
        p->items[i] = (mix_item){ p->c[i], 1 + (int)(uniform() * CHOICES) };
        for (int k = 0; k < p->items[i].n; k++) {
            const double bits = 2 + 7 * uniform();
            p->c[i][k] = (mix_choice){ (int64_t)(bits * (double)rows) + (round % 3 == 0 ? k : 0),
                                       scale * exp2(-2 * bits) * (0.5 + uniform()) };
        }
    }
}

START_TEST(test_choice_against_brute_force)
{
    int optimal = 0;
    enum { ROUNDS = 3000 };
    for (int round = 0; round < ROUNDS; round++) {
        problem p;
        int picks[ITEMS], again[ITEMS];
        int64_t least = -1, bytes, most = 0, check = 0;
        double cost, step = 0;
        err e = { 0 };
        make_problem(&p, round);
        for (int i = 0; i < p.n; i++) {
            int64_t hi = 0, lo = INT64_MAX;
            double worst = 0, best = INFINITY;
            for (int k = 0; k < p.items[i].n; k++) {
                if (p.c[i][k].bytes > hi) hi = p.c[i][k].bytes;
                if (p.c[i][k].bytes < lo) lo = p.c[i][k].bytes;
                worst = fmax(worst, p.c[i][k].cost);
                best = fmin(best, p.c[i][k].cost);
            }
            most += hi;
            check += lo;
            step = fmax(step, worst - best);        // no step of a hull saves more
        }
        const int64_t budget = check + (int64_t)(uniform() * (double)(most - check + 2));
        ck_assert(mix_solve(p.items, p.n, budget, picks, &least, &e));
        ck_assert_int_eq(least, check);
        total(&p, picks, &bytes, &cost);
        const double best = brute_force(&p, budget);
        ck_assert_int_le(bytes, budget);
        ck_assert_msg(cost >= best * (1 - 1e-12) && cost <= best + step, "round %d: %g, the best is %g", round, cost,
                      best);
        optimal += cost <= best * (1 + 1e-9);
        ck_assert(mix_solve(p.items, p.n, budget, again, &least, &e) &&
                  memcmp(picks, again, (size_t)p.n * sizeof *picks) == 0);
        ck_assert(!mix_solve(p.items, p.n, check - 1, picks, &least, &e) && e.kind == ERR_NONE && least == check);
    }
    ck_assert_msg(optimal > ROUNDS * 97 / 100, "the best choice in %d of %d", optimal, ROUNDS);
}
END_TEST

// With room for everything each item takes its cheapest, of equals the smallest; alike items are raised in the order
// they are given.
START_TEST(test_ties)
{
    const mix_choice c[] = { { 10, 4 }, { 20, 1 }, { 30, 1 }, { 20, 1 } };
    const mix_item items[] = { { c, 4 }, { c, 4 }, { c, 4 } };
    int picks[3];
    int64_t least;
    err e = { 0 };
    ck_assert(mix_solve(items, 3, 1000, picks, &least, &e));
    for (int i = 0; i < 3; i++) ck_assert_int_eq(picks[i], 1);
    ck_assert(mix_solve(items, 3, 59, picks, &least, &e));
    ck_assert(picks[0] == 1 && picks[1] == 1 && picks[2] == 0);
    ck_assert_int_eq(least, 30);
}
END_TEST

// ---- on a model -----------------------------------------------------------------------------------------------------

static char art[SCRATCH_PATH], out[SCRATCH_PATH], text[SCRATCH_PATH], tiny_text[SCRATCH_PATH];
static err e;

static void prepare(void)
{
    files_begin("hallmark-mix");
    scratch_path(art, "a.gguf");
    scratch_path(out, "out.gguf");
    scratch_path(text, "text");
    scratch_path(tiny_text, "short");
    convert_tiny("a.gguf", FT_BF16);
    write_license(text, 0);
    write_license(tiny_text, 20);
}

static sensitivity_opts options(int n_threads)
{
    static const char *texts[] = { text };
    return (sensitivity_opts){
        .texts = texts, .n_texts = 1, .chunk = 32, .samples = 2, .run = { .device = "cpu", .n_threads = n_threads }
    };
}

// In memory the bytes are those in the file; the error is the sum over its decoded weights.
START_TEST(test_encoding_in_memory)
{
    const file_type types[] = { FT_Q4_K_M, FT_Q2_K, FT_Q8_0 };
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        ck_assert_msg(quantize_file(art, out, &(quantize_opts){ .type = types[k] }, &e), "%s", e.msg);
        gguf *from = gguf_open(art, &e), *to = gguf_open(out, &e);
        ck_assert_msg(from && to, "%s", e.msg);
        for (int64_t i = 0; i < gguf_n_tensors(to); i++) {
            const gguf_tensor *a = gguf_tensor_at(from, i), *b = gguf_tensor_at(to, i);
            int64_t bytes;
            double sum = -1, doubled = -1;
            ck_assert(dtype_bytes(b->type, a->n_dims, a->shape, &bytes));
            ck_assert_int_eq(bytes, b->n_bytes);
            uint8_t *mine = malloc((size_t)bytes);
            ck_assert_msg(encode_tensor(mine, a, b->type, NULL, 1 + (int)(i % 3), &e), "%s", e.msg);
            ck_assert_msg(memcmp(mine, b->data, (size_t)bytes) == 0, "%s", b->name);
            ck_assert_msg(encode_error(&sum, a, mine, b->type, NULL, 2, &e), "%s", e.msg);
            ck_assert(a->type == b->type ? sum == 0 : sum >= 0);
            float *twos = malloc((size_t)a->shape[a->n_dims - 1] * sizeof *twos);
            for (int64_t c = 0; c < a->shape[a->n_dims - 1]; c++) twos[c] = 2;
            ck_assert(encode_error(&doubled, a, mine, b->type, twos, 1, &e) && doubled == 2 * sum);
            free(twos);
            free(mine);
        }
        gguf_close(from);
        gguf_close(to);
    }
}
END_TEST

// The KL that a probe gives for one tensor, and for all together, is that of a file made so.
START_TEST(test_probe_is_what_a_file_does)
{
    const char *names[] = { "blk.2.ffn_down.weight", "token_embd.weight" };
    const dtype types[] = { DT_Q2_K, DT_Q4_0 };
    double kl[2][1];
    divergence d, both;
    const sensitivity_opts o = options(2);
    probe *p = probe_open(art, &o, &e);
    ck_assert_msg(p != NULL, "%s", e.msg);
    ck_assert_int_eq(probe_samples(p), 2);
    for (int i = 0; i < 2; i++) ck_assert_msg(probe_tensor(p, names[i], &types[i], 1, kl[i], &e), "%s", e.msg);
    ck_assert_msg(probe_mix(p, names, types, 2, &both, &e), "%s", e.msg);
    ck_assert(kl[0][0] > 0 && kl[1][0] > 0 && both.kl_mean > 0);
    // Files: the same chunks by hand, the first and the one in the middle.
    model *m = model_open(art, &e);
    int32_t *all, ids[64];
    int64_t n;
    ck_assert(texts_read(&all, &n, m, text, 0, &e));
    memcpy(ids, all, 32 * sizeof *ids);
    memcpy(ids + 32, all + n / 32 / 2 * 32, 32 * sizeof *ids);
    for (int i = 0; i < 3; i++) {
        dtype t[256];
        for (int64_t k = 0; k < gguf_n_tensors(model_gguf(m)); k++) {
            const gguf_tensor *g = gguf_tensor_at(model_gguf(m), k);
            t[k] = g->type;
            for (int j = 0; j < 2; j++)
                if ((i == j || i == 2) && strcmp(g->name, names[j]) == 0) t[k] = types[j];
        }
        ck_assert_msg(quantize_file(art, out, &(quantize_opts){ .type = FT_Q4_K_M, .types = t }, &e), "%s", e.msg);
        model *q = model_open(out, &e);
        ck_assert_msg(q && divergence_measure(&d, m, q, ids, 64,
                                              &(divergence_opts){ .chunk = 32, .skip = 4, .run = { .device = "cpu" } },
                                              &e),
                      "%s", e.msg);
        const double want = i < 2 ? kl[i][0] : both.kl_mean;
        ck_assert_msg(fabs(d.kl_mean - want) <= 1e-5 * want, "%d: %g, the file's is %g", i, want, d.kl_mean);
        model_close(q);
    }
    free(all);
    model_close(m);
    // What was replaced is back: the same tensor costs the same again, and alone.
    double again;
    ck_assert(probe_tensor(p, names[0], &types[0], 1, &again, &e) && again == kl[0][0]);
    probe_close(p);
}
END_TEST

START_TEST(test_replacing_a_weight)
{
    model *m = model_open(art, &e);
    session *s = session_new(m, &(session_opts){ .device = "cpu", .n_ctx = 8 }, &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    gguf_tensor t = *gguf_find_tensor(model_gguf(m), "blk.0.ffn_up.weight"),
                vector = *gguf_find_tensor(model_gguf(m), "output_norm.weight");
    bool used;
    ck_assert(session_replace_weight(s, &t, &used, &e) && used);
    ck_assert(session_replace_weight(s, &vector, &used, &e) && !used);      // not a matrix
    t.name = "blk.99.ffn_up.weight";
    ck_assert(session_replace_weight(s, &t, &used, &e) && !used);
    t.name = "blk.0.attn_q.weight";                                         // of another shape
    err why = { 0 };
    ck_assert(!session_replace_weight(s, &t, &used, &why) && why.kind == ERR_USAGE &&
              strstr(why.msg, "blk.0.attn_q.weight"));
    session_free(s);
    model_close(m);
}
END_TEST

static mix_target of_size(double bits) { return (mix_target){ .bits = bits, .like = FT_INVALID }; }

START_TEST(test_the_same_for_any_number_of_threads_and_recorded)
{
    mix_result a, b;
    const mix_target target = of_size(4.5);
    const sensitivity_opts one = options(1), three = options(3);
    ck_assert_msg(mix_find(&a, art, &target, &one, &e) && mix_find(&b, art, &target, &three, &e), "%s", e.msg);
    ck_assert(a.n == b.n && memcmp(a.types, b.types, (size_t)a.n * sizeof *a.types) == 0);
    ck_assert_str_eq(a.record, b.record);
    ck_assert(a.bits <= 4.5 && a.bits > 4.4);
    ck_assert(a.kl_predicted > 0 && a.measured.kl_mean > 0);
    ck_assert_int_eq(a.n_measured, 1);
    ck_assert_msg(quantize_file(art, out, &(quantize_opts){ .type = a.type, .types = a.types, .mix = a.record }, &e),
                  "%s", e.msg);
    gguf *g = gguf_open(out, &e);
    gguf_str text_of;
    int64_t bytes = 0;
    ck_assert(g && gguf_get_str(g, KEY_HM_QUANTIZE_MIX, &text_of, &e));
    cJSON *j = json_parse(text_of.s, text_of.n, "record", &e);
    for (int64_t i = 0; i < a.n; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const cJSON *said = json_get(json_get(j, "tensors"), t->name);
        ck_assert_int_eq(t->type, a.types[i]);
        ck_assert(a.rows[i].chosen ? strcmp(said->valuestring, dtype_name(t->type)) == 0 : said == NULL);
        ck_assert(a.rows[i].chosen || t->type == a.rows[i].from);
        bytes += t->n_bytes;
    }
    ck_assert_int_eq(bytes, a.bytes);
    cJSON_Delete(j);
    gguf_close(g);
    mix_free(&a);
    mix_free(&b);
}
END_TEST

START_TEST(test_largest_kl)
{
    mix_result tight, loose;
    const mix_target a = { .max_kl = 0.003, .like = FT_INVALID }, b = { .max_kl = 0.03, .like = FT_INVALID },
                     none = { .max_kl = 1e-9, .like = FT_INVALID };
    const sensitivity_opts o = options(2);
    ck_assert_msg(mix_find(&tight, art, &a, &o, &e) && mix_find(&loose, art, &b, &o, &e), "%s", e.msg);
    ck_assert_msg(tight.measured.kl_mean <= 0.003 && loose.measured.kl_mean <= 0.03, "%g %g", tight.measured.kl_mean,
                  loose.measured.kl_mean);
    ck_assert_msg(tight.bytes > loose.bytes && tight.measured.kl_mean > 0.0015 && loose.measured.kl_mean > 0.015,
                  "%g %g", tight.measured.kl_mean, loose.measured.kl_mean);
    mix_free(&tight);
    mix_free(&loose);
    err why = { 0 };
    ck_assert(!mix_find(&tight, art, &none, &o, &why) && why.kind == ERR_VERDICT);
    ck_assert_msg(strstr(why.msg, "1e-09") && strstr(why.msg, "8.6"), "%s", why.msg);
}
END_TEST

START_TEST(test_what_cannot_be_done_is_named)
{
    mix_result r;
    err why = { 0 };
    const mix_target small = of_size(2.5), fine = of_size(4.5), none = of_size(0);
    sensitivity_opts o = options(1);
    ck_assert(!mix_find(&r, art, &small, &o, &why) && why.kind == ERR_USAGE);
    // What the message names as the least is enough, and less is not.
    const char *paren = strrchr(why.msg, '(');
    const mix_target least = of_size(paren ? strtod(paren + 1, NULL) : 0);
    ck_assert_msg(least.bits > 2.5, "%s", why.msg);
    why = (err){ 0 };
    ck_assert_msg(mix_find(&r, art, &least, &o, &why), "%s", why.msg);
    mix_free(&r);
    const mix_target less = of_size(least.bits - 0.001);
    ck_assert(!mix_find(&r, art, &less, &o, &why) && why.kind == ERR_USAGE);
    why = (err){ 0 };
    ck_assert(!mix_find(&r, art, &none, &o, &why) && why.kind == ERR_USAGE);
    o.n_texts = 0;
    why = (err){ 0 };
    ck_assert(!mix_find(&r, art, &fine, &o, &why) && why.kind == ERR_USAGE && strstr(why.msg, "text"));
    const char *shorter[] = { tiny_text };
    o.texts = shorter;
    o.n_texts = 1;
    why = (err){ 0 };
    ck_assert(!mix_find(&r, art, &fine, &o, &why) && why.kind == ERR_INPUT && strstr(why.msg, tiny_text));
    o = options(1);
    ck_assert_msg(quantize_file(art, out, &(quantize_opts){ .type = FT_Q8_0 }, &e), "%s", e.msg);
    why = (err){ 0 };
    ck_assert(!mix_find(&r, out, &fine, &o, &why) && why.kind == ERR_INPUT && strstr(why.msg, "Q8_0"));
}
END_TEST

// ---- figures on disk ------------------------------------------------------------------------------------------------

enum { CELL_BYTES = 512 };
typedef struct { char path[256]; uint8_t bytes[CELL_BYTES]; size_t n; } cell_file;

static void read_cell(cell_file *c, const char *folder, const char *name)
{
    snprintf(c->path, sizeof c->path, "%s/%s", folder, name);
    FILE *f = fopen(c->path, "rb");
    ck_assert_ptr_nonnull(f);
    c->n = fread(c->bytes, 1, CELL_BYTES, f);
    fclose(f);
    ck_assert(c->n > 100 && c->n < CELL_BYTES);
}

static void put_cell(const cell_file *c, size_t n)
{
    FILE *f = fopen(c->path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fwrite(c->bytes, 1, n, f), n);
    fclose(f);
}

static const dtype two_types[] = { DT_Q4_K, DT_Q8_0 };
static const mix_alone alone = { .tensor = 7, .types = two_types, .n = 2 };
static const int64_t two_tensors[] = { 3, 7 };
static const mix_together together = { .tensors = two_tensors, .types = two_types, .n = 2 };

static void check_alone_refused(const mix_state *s, const char *path)
{
    double kl[2];
    bool found;
    err why = { 0 };
    ck_assert(!mix_state_read_alone(s, &alone, kl, &found, &why));
    ck_assert_msg(why.kind == ERR_INPUT && strstr(why.msg, path) && strstr(why.msg, "expected a whole cell"), "%s",
                  why.msg);
}

static void check_mix_refused(const mix_state *s, const char *path)
{
    divergence d;
    bool found;
    err why = { 0 };
    ck_assert(!mix_state_read_mix(s, &together, &d, &found, &why));
    ck_assert_msg(why.kind == ERR_INPUT && strstr(why.msg, path) && strstr(why.msg, "expected a whole cell"), "%s",
                  why.msg);
}

// Each byte changed, each length that is too short, one that is too long.
static void check_damaged(const mix_state *s, cell_file *c, void (*refused)(const mix_state *, const char *))
{
    for (size_t i = 0; i < c->n; i++) {
        c->bytes[i] ^= 1;
        put_cell(c, c->n);
        refused(s, c->path);
        c->bytes[i] ^= 1;
        put_cell(c, i);
        refused(s, c->path);
    }
    put_cell(c, c->n + 1);
    refused(s, c->path);
    put_cell(c, c->n);
}

// A cell whose digest is right and whose figures are none.
static void check_figures_refused(const mix_state *s, const cell_file *whole, size_t at, double v,
                                  void (*refused)(const mix_state *, const char *))
{
    cell_file c = *whole;
    text_buf t = { 0 };
    memcpy(c.bytes + at, &v, sizeof v);
    text_raw(&t, (const char *)c.bytes, c.n - SHA256_HEX);
    ck_assert_msg(state_cell_write(&t, c.path, &e), "%s", e.msg);
    refused(s, c.path);
    put_cell(whole, whole->n);
}

START_TEST(test_figures_on_disk)
{
    char folder[128];
    const double kl[] = { 0.0123457, 1.25e-06 };
    const divergence one = { .tokens = 30, .kl_mean = 0.01, .kl_median = 0.002, .kl_max = 0.5, .top1_equal = 29,
                             .nll_ref = 2.5, .nll = 2.75 };
    double back[2] = { 0 };
    divergence d;
    bool found = true;
    mix_state *s;
    cell_file c;
    sensitivity_opts o = options(1);
    scratch_path(folder, "state");
    o.state = folder;
    probe *p = probe_open(art, &o, &e);
    ck_assert_msg(p && mix_state_open(&s, p, &o, &e), "%s", e.msg);
    ck_assert(mix_state_read_alone(s, &alone, back, &found, &e) && !found);
    ck_assert(mix_state_read_mix(s, &together, &d, &found, &e) && !found);
    ck_assert_msg(mix_state_keep_alone(s, &alone, kl, &e) && mix_state_keep_mix(s, &together, &one, &e), "%s", e.msg);
    ck_assert(mix_state_read_alone(s, &alone, back, &found, &e) && found && memcmp(kl, back, sizeof kl) == 0);
    ck_assert(mix_state_read_mix(s, &together, &d, &found, &e) && found && memcmp(&one, &d, sizeof d) == 0);

    const size_t head = STATE_MARK + SHA256_HEX;
    read_cell(&c, folder, "tensor-000007.cell");
    check_damaged(s, &c, check_alone_refused);
    check_figures_refused(s, &c, head + 8 + 4 + 2 * 4, NAN, check_alone_refused);
    check_figures_refused(s, &c, head + 8 + 4 + 2 * 4 + 8, -1e-9, check_alone_refused);
    const dtype others[] = { DT_Q4_K, DT_Q6_K };
    const mix_alone other = { .tensor = 7, .types = others, .n = 2 }, fewer = { .tensor = 7, .types = others, .n = 1 };
    err why = { 0 };
    ck_assert(!mix_state_read_alone(s, &other, back, &found, &why) && strstr(why.msg, "its types are another run's"));
    why = (err){ 0 };
    ck_assert(!mix_state_read_alone(s, &fewer, back, &found, &why) && strstr(why.msg, "its types are another run's"));

    dir_list cells;
    ck_assert_msg(dir_list_read(&cells, folder, ".cell", false, &e) && cells.n == 2, "%s", e.msg);
    read_cell(&c, folder, cells.v[0]);
    dir_list_free(&cells);
    check_damaged(s, &c, check_mix_refused);
    check_figures_refused(s, &c, head + SHA256_HEX + 8, INFINITY, check_mix_refused);
    check_figures_refused(s, &c, head + SHA256_HEX, 0, check_mix_refused);           // no positions at all
    const mix_together swapped = { .tensors = two_tensors, .types = others, .n = 2 };
    ck_assert(mix_state_read_mix(s, &swapped, &d, &found, &e) && !found);
    mix_state_close(s);

    // Nowhere to keep anything: nothing is found, and nothing fails.
    o.state = NULL;
    ck_assert(mix_state_open(&s, p, &o, &e) && !s);
    ck_assert(mix_state_keep_alone(s, &alone, kl, &e) && mix_state_read_alone(s, &alone, back, &found, &e) && !found);
    ck_assert(mix_state_keep_mix(s, &together, &one, &e) && mix_state_read_mix(s, &together, &d, &found, &e) && !found);
    probe_close(p);
}
END_TEST

START_TEST(test_targets)
{
    static const struct { const char *text; double bits; int64_t bytes; file_type like; } good[] = {
        { "4.5bpw", 4.5, 0, FT_INVALID },       { "180MiB", 0, 180 << 20, FT_INVALID },
        { "2.1GB", 0, 2100000000, FT_INVALID }, { "1000B", 0, 1000, FT_INVALID },
        { "q4_k_m", 0, 0, FT_Q4_K_M },          { "1.5kB", 0, 1500, FT_INVALID },
        { "64bpw", 64, 0, FT_INVALID },
    };
    static const char *const bad[] = { "",        "4.5",      "bpw",     "-1bpw",    "0bpw",  "nanbpw", "infMB",
                                       "4.5 bpw", "1e300GiB", "1e14bpw", "64.01bpw", "2e6GB", "q9_k",   "0.1B" };
    mix_target t;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(mix_parse_budget(&t, good[i].text, &e), "%s", e.msg);
        ck_assert_msg(t.bits == good[i].bits && t.bytes == good[i].bytes && t.like == good[i].like && t.max_kl == 0,
                      "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err why = { 0 };
        ck_assert_msg(!mix_parse_budget(&t, bad[i], &why) && why.kind == ERR_USAGE, "'%s'", bad[i]);
    }
    ck_assert(mix_parse_kl(&t, "0.02", &e) && t.max_kl == 0.02 && t.like == FT_INVALID);
    const char *no_kl[] = { "", "x", "0", "-1", "nan", "inf", "1x" };
    for (size_t i = 0; i < sizeof no_kl / sizeof *no_kl; i++) {
        err why = { 0 };
        ck_assert_msg(!mix_parse_kl(&t, no_kl[i], &why) && why.kind == ERR_USAGE, "'%s'", no_kl[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mix");
    TCase *t = tcase_create("mix");
    tcase_add_unchecked_fixture(t, prepare, files_end);
    tcase_add_test(t, test_choice_against_brute_force);
    tcase_add_test(t, test_ties);
    tcase_add_test(t, test_encoding_in_memory);
    tcase_add_test(t, test_replacing_a_weight);
    tcase_add_test(t, test_probe_is_what_a_file_does);
    tcase_add_test(t, test_the_same_for_any_number_of_threads_and_recorded);
    tcase_add_test(t, test_largest_kl);
    tcase_add_test(t, test_what_cannot_be_done_is_named);
    tcase_add_test(t, test_figures_on_disk);
    tcase_add_test(t, test_targets);
    suite_add_tcase(s, t);
    return run_suite(s);
}
