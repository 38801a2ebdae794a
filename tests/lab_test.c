// Proves measure/lab.h on the committed tiny Gemma 4: a base is at distance 0 from itself; a candidate's cells are the
// same alone or beside others, in any batch, with any number of threads and from a folder; another file's figures are
// those of measure/divergence.h; figures and intervals are those of a plain reading of their definition; what is wrong
// with a folder, a text or a file is named.
#include "convert/convert.h"
#include "measure/divergence.h"
#include "measure/lab.h"
#include "measure/lab_bootstrap.h"
#include "measure/lab_state.h"
#include "suite.h"
#include <omp.h>
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 40, SKIP = 3 };

static char dir[64], exact[96], coarse[96], other[96], text_a[96], text_b[96], arg_a[112], arg_b[112];
static err e;

static void copy_part(const char *to, int64_t n)
{
    char buf[4096];
    FILE *in = fopen(SOURCE_DIR "/LICENSE", "rb"), *out = fopen(to, "wb");
    ck_assert(in && out && n <= (int64_t)sizeof buf);
    ck_assert_uint_eq(fread(buf, 1, (size_t)n, in), (size_t)n);
    ck_assert_uint_eq(fwrite(buf, 1, (size_t)n, out), (size_t)n);
    fclose(in);
    fclose(out);
}

static void convert(const char *folder, const char *to, int type)
{
    ck_assert_msg(convert_checkpoint(folder, to, &(convert_opts){ .type = type }, &e), "%s", e.msg);
}

static void prepare(void)
{
    strcpy(dir, "/tmp/hallmark-lab-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(exact, sizeof exact, "%s/f32.gguf", dir);
    snprintf(coarse, sizeof coarse, "%s/q4_0.gguf", dir);
    snprintf(other, sizeof other, "%s/other.gguf", dir);
    snprintf(text_a, sizeof text_a, "%s/a.txt", dir);
    snprintf(text_b, sizeof text_b, "%s/b.txt", dir);
    snprintf(arg_a, sizeof arg_a, "chat=%s", text_a);
    snprintf(arg_b, sizeof arg_b, "coding=%s", text_b);
    convert(SOURCE_DIR "/fixtures/tiny-gemma4", exact, FT_F32);
    convert(SOURCE_DIR "/fixtures/tiny-gemma4", coarse, FT_Q4_0);
    convert(SOURCE_DIR "/fixtures/tiny-qwen2", other, FT_BF16);
    copy_part(text_a, 400);
    copy_part(text_b, 700);
}

static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

// Both files with these caches over both texts.
static lab_plan_opts two_files(const char *const *kv, int n_kv)
{
    static const char *artifacts[1], *texts[2];
    artifacts[0] = coarse;
    texts[0] = arg_a;
    texts[1] = arg_b;
    return (lab_plan_opts){ .base = exact, .artifacts = artifacts, .n_artifacts = 1, .kv = kv, .n_kv = n_kv,
                            .texts = texts, .n_texts = 2, .chunk = CHUNK, .skip = SKIP, .arith = "f32" };
}

static lab_plan_opts base_alone(const char *const *kv, int n_kv)
{
    lab_plan_opts o = two_files(kv, n_kv);
    o.n_artifacts = 0;
    return o;
}

static lab_run_opts on_cpu(void) { return (lab_run_opts){ .device = "cpu", .n_threads = 2 }; }

static void open_plan(lab_plan *p, const lab_plan_opts *o)
{
    ck_assert_msg(lab_plan_open(p, o, &e), "%s", e.msg);
}

static void run_plan(lab_cells *c, const lab_plan *p, const lab_run_opts *o)
{
    ck_assert_msg(lab_run(c, p, o, &e), "%s", e.msg);
}

static const lab_cell *cell(const lab_cells *c, int64_t chunk, int k) { return &c->cells[chunk * c->n_candidates + k]; }

static void check_same(const lab_cells *a, int ka, const lab_cells *b, int kb)
{
    ck_assert_int_eq(a->n_chunks, b->n_chunks);
    for (int64_t i = 0; i < a->n_chunks; i++) {
        const lab_cell *x = cell(a, i, ka), *y = cell(b, i, kb);
        ck_assert(memcmp(x->points, y->points, (size_t)a->n_points * sizeof *x->points) == 0);
        ck_assert_int_eq(x->n_worst, y->n_worst);
        for (int w = 0; w < x->n_worst; w++) {
            ck_assert_int_eq(x->worst[w].position, y->worst[w].position);
            ck_assert_str_eq(x->worst[w].before, y->worst[w].before);
            ck_assert_str_eq(x->worst[w].best, y->worst[w].best);
        }
    }
}

START_TEST(base_is_at_distance_0_from_itself)
{
    static const char *const kv[] = { "f32", "q4_0" };
    lab_plan  p;
    lab_cells c;
    const lab_plan_opts o = base_alone(kv, 2);
    const lab_run_opts  ro = on_cpu();
    open_plan(&p, &o);
    run_plan(&c, &p, &ro);
    ck_assert_int_gt(p.n_chunks, 4);
    for (int64_t i = 0; i < p.n_chunks; i++) {
        ck_assert_int_eq(cell(&c, i, 0)->n_worst, 0);
        ck_assert_int_gt(cell(&c, i, 1)->n_worst, 0);
        for (int64_t k = 0; k < c.n_points; k++) {
            const lab_point *x = &cell(&c, i, 0)->points[k];
            ck_assert(x->kl == 0 && x->base_logprob == x->logprob && x->base_top == x->top && x->shared == LAB_TOP);
            ck_assert(cell(&c, i, 1)->points[k].kl > 0);
        }
    }
    lab_cells_free(&c);
    lab_plan_free(&p);
}
END_TEST

// One candidate alone, in batches of one, by one thread: its cells are those of a run of many.
START_TEST(cells_do_not_depend_on_company_batch_or_threads)
{
    static const char *const many[] = { "bf16", "k=q8_0,v=q4_0", "q4_1" }, *const one[] = { "k=q8_0,v=q4_0" };
    lab_plan  p, alone;
    lab_cells c, d;
    const lab_plan_opts o = two_files(many, 3), oa = base_alone(one, 1);
    lab_run_opts ro = on_cpu();
    open_plan(&p, &o);
    open_plan(&alone, &oa);
    run_plan(&c, &p, &ro);
    static const int batches[] = { 1, 7, 64 };
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        ro.n_batch = batches[i];
        ro.n_threads = 1;
        run_plan(&d, &alone, &ro);
        check_same(&c, 1, &d, 0);
        lab_cells_free(&d);
    }
    lab_cells_free(&c);
    lab_plan_free(&p);
    lab_plan_free(&alone);
}
END_TEST

// The other file with the base's cache is added by itself; its figures are the divergence's, chunk by chunk.
// Each layer's keys and values alone, once, whatever caches have in common.
START_TEST(layers_are_probed_once)
{
    static const char *const kv[] = { "q8_0", "k=q8_0,v=q4_0", "k=f32,v=q5_0", "f32" };
    lab_plan p;
    lab_plan_opts o = base_alone(kv, 4);
    o.layers = true;
    open_plan(&p, &o);
    int caches = 0, alone = 0;
    const hparams *h = model_hparams(p.artifacts[0].m);
    for (int i = 0; i < h->n_layer; i++) caches += h->layers[i].has_kv;
    for (int i = 0; i < p.n_candidates; i++) alone += p.candidates[i].layer >= 0;
    ck_assert_int_eq(p.n_candidates - alone, 4);
    ck_assert_int_eq(alone, 4 * caches);        // keys in q8_0; values in q8_0, q4_0 and q5_0
    lab_plan_free(&p);
}
END_TEST

// Chunks that are sampled are spread, and no text is left out.
START_TEST(samples_are_spread)
{
    static const char *const kv[] = { "q8_0" };
    lab_plan all, few;
    lab_plan_opts o = base_alone(kv, 1);
    open_plan(&all, &o);
    for (o.samples = 1; o.samples <= all.n_chunks + 1; o.samples++) {
        open_plan(&few, &o);
        int64_t n = 0;
        for (int i = 0; i < 2; i++) {
            ck_assert(few.texts[i].chunks >= 1 && few.texts[i].chunks <= all.texts[i].chunks);
            n += few.texts[i].chunks;
        }
        ck_assert_int_eq(n, few.n_chunks);
        ck_assert(n >= o.samples - 1 && n <= o.samples + 1);
        for (int64_t c = 1; c < n; c++)
            ck_assert(few.chunks[c].text > few.chunks[c - 1].text || few.chunks[c].first > few.chunks[c - 1].first);
        lab_plan_free(&few);
    }
    lab_plan_free(&all);
}
END_TEST

START_TEST(another_file_is_the_divergence)
{
    static const char *const kv[] = { "q8_0" };
    lab_plan   p;
    lab_cells  c;
    divergence d;
    const lab_plan_opts o = two_files(kv, 1);
    const lab_run_opts  ro = on_cpu();
    open_plan(&p, &o);
    ck_assert_int_eq(p.n_candidates, 3);
    ck_assert(p.candidates[1].artifact == 1 && strcmp(p.candidates[1].kv, "f32") == 0);
    run_plan(&c, &p, &ro);
    const divergence_opts of = { .chunk = CHUNK, .skip = SKIP, .run = { .device = "cpu", .n_threads = 1 } };
    for (int64_t i = 0; i < p.n_chunks; i++) {
        const int32_t *ids = p.texts[p.chunks[i].text].ids + p.chunks[i].first;
        double sum = 0, nll = 0;
        ck_assert_msg(divergence_measure(&d, p.artifacts[0].m, p.artifacts[1].m, ids, CHUNK, &of, &e), "%s", e.msg);
        ck_assert_int_eq(d.tokens, c.n_points);
        for (int64_t k = 0; k < c.n_points; k++) {
            sum += cell(&c, i, 1)->points[k].kl;
            nll -= cell(&c, i, 1)->points[k].logprob;
        }
        ck_assert_double_eq_tol(sum / (double)c.n_points, d.kl_mean, 1e-15);
        ck_assert_double_eq_tol(nll / (double)c.n_points, d.nll, 1e-12);
    }
    lab_cells_free(&c);
    lab_plan_free(&p);
}
END_TEST

// ---- folders --------------------------------------------------------------------------------------------------------

static void in_dir(char path[128], const char *name) { snprintf(path, 128, "%s/%s", dir, name); }

static void edit(const char *folder, const char *name, int64_t at, int change)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    if (at < 0) {
        ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
        ck_assert_int_eq(truncate(path, ftell(f) + at), 0);
    } else {
        ck_assert_int_eq(fseek(f, at, SEEK_SET), 0);
        const int byte = fgetc(f);
        ck_assert_int_eq(fseek(f, at, SEEK_SET), 0);
        fputc(byte ^ change, f);
    }
    fclose(f);
}

static void check_refused(const lab_plan *p, const lab_run_opts *o, err_kind kind, const char *says)
{
    lab_cells c;
    e = (err){ 0 };
    ck_assert(!lab_run(&c, p, o, &e));
    ck_assert_msg(e.kind == kind && strstr(e.msg, says), "%d %s", (int)e.kind, e.msg);
    lab_cells_free(&c);
    e = (err){ 0 };
}

static void check_missing(const char *const *folders, int n, const char *says)
{
    lab_plan  p;
    lab_cells c;
    err why = { 0 };
    ck_assert(!lab_merge(&c, &p, folders, n, &why));
    ck_assert_msg(why.kind == ERR_INPUT && strstr(why.msg, says), "%s, expected %s", why.msg, says);
    lab_cells_free(&c);
    lab_plan_free(&p);
}

// A cell is put aside under a name that is none, and back.
static void check_missing_cell(const char *const *folders, int n, const char *cell, const char *says)
{
    char there[256], aside[256];
    snprintf(there, sizeof there, "%s/%s", folders[0], cell);
    snprintf(aside, sizeof aside, "%s/aside.cell", folders[0]);
    ck_assert_int_eq(rename(there, aside), 0);
    check_missing(folders, n, says);
    ck_assert_int_eq(rename(aside, there), 0);
}

START_TEST(parts_and_folders_give_the_bytes_of_a_whole_run)
{
    static const char *const kv[] = { "q8_0", "q4_0" };
    char part[3][128];
    lab_plan  p, read;
    lab_cells c, d;
    const lab_plan_opts o = two_files(kv, 2);
    lab_run_opts ro = on_cpu();
    open_plan(&p, &o);
    run_plan(&c, &p, &ro);
    for (int i = 0; i < 3; i++) {
        in_dir(part[i], i == 0 ? "p1" : i == 1 ? "p2" : "p3");
        ro.state = part[i];
        ro.part = i + 1;
        ro.parts = 3;
        run_plan(&d, &p, &ro);
        lab_cells_free(&d);
    }
    const char *folders[] = { part[2], part[0], part[1], part[2] };
    ck_assert_msg(lab_merge(&d, &read, folders, 4, &e), "%s", e.msg);
    ck_assert_str_eq(read.json, p.json);
    for (int k = 0; k < p.n_candidates; k++) check_same(&c, k, &d, k);
    lab_cells_free(&d);
    lab_plan_free(&read);
    check_missing(folders, 1, "of 3 parts, parts 1, 2; the first is chunk 0 with cache q8_0");
    check_missing(folders, 2, "of 3 parts, part 2; the first is chunk 1 with cache q8_0");
    check_missing_cell(folders, 4, "chunk-000005-candidate-0001.cell",
                       ": chunk 5; the first is chunk 5 with cache q4_0; of N parts");
    check_missing_cell(folders, 2, "chunk-000002-candidate-0000.cell", ": chunks 1, 2, 4, 7");

    // What is there is not run again, and what is wrong with it is named.
    ro = (lab_run_opts){ .state = part[0], .part = 1, .parts = 3, .device = "no device" };
    run_plan(&d, &p, &ro);
    lab_cells_free(&d);
    edit(part[0], "chunk-000000-candidate-0001.cell", 200, 1);
    check_refused(&p, &ro, ERR_INPUT, "chunk-000000-candidate-0001.cell");
    edit(part[0], "chunk-000000-candidate-0001.cell", 200, 1);
    edit(part[0], "chunk-000003-candidate-0000.cell", -1, 0);
    check_refused(&p, &ro, ERR_INPUT, "ends too early");
    lab_cells_free(&c);
    lab_plan_free(&p);
}
END_TEST

START_TEST(folders_of_other_runs_are_refused)
{
    static const char *const kv[] = { "q8_0", "q4_0" };
    char folder[128], there[256];
    lab_plan  p, q;
    lab_cells c;
    lab_plan_opts o = base_alone(kv, 2);
    lab_run_opts  ro = on_cpu();
    in_dir(folder, "state");
    ro.state = folder;
    ro.part = 1;
    ro.parts = 100;
    open_plan(&p, &o);
    run_plan(&c, &p, &ro);
    lab_cells_free(&c);
    ck_assert_msg(lab_state_plan(folder, &q, &e) && strcmp(q.digest, p.digest) == 0, "%s", e.msg);
    lab_plan_free(&q);
    o.n_kv = 1;
    open_plan(&q, &o);
    check_refused(&q, &ro, ERR_USAGE, "the number of candidates");
    lab_plan_free(&q);
    o.n_kv = 2;
    o.skip = 5;
    open_plan(&q, &o);
    check_refused(&q, &ro, ERR_USAGE, "the chunks");
    lab_plan_free(&q);
    o.skip = SKIP;
    o.base = coarse;
    open_plan(&q, &o);
    check_refused(&q, &ro, ERR_USAGE, "the base");
    lab_plan_free(&q);
    in_dir(folder, "mine");
    ck_assert_int_eq(mkdir(folder, 0777), 0);
    snprintf(there, sizeof there, "%s/letters", folder);
    copy_part(there, 10);
    check_refused(&p, &ro, ERR_USAGE, "letters");
    lab_plan_free(&p);
}
END_TEST

static void check_plan_refused(const lab_plan_opts *o, err_kind kind, const char *says)
{
    lab_plan p;
    e = (err){ 0 };
    ck_assert(!lab_plan_open(&p, o, &e));
    ck_assert_msg(e.kind == kind && strstr(e.msg, says), "%d %s, expected %s", (int)e.kind, e.msg, says);
    lab_plan_free(&p);
    e = (err){ 0 };
}

START_TEST(what_cannot_be_measured_is_named)
{
    static const char *const kv[] = { "q8_0" }, *const twice[] = { "q8_0", "k=q8_0,v=q8_0" };
    char empty[128], wrong[128];
    const char *texts[1], *files[1];
    lab_plan_opts o = base_alone(kv, 1);
    in_dir(empty, "empty.txt");
    in_dir(wrong, "wrong.txt");
    FILE *f = fopen(empty, "wb");
    fclose(f);
    f = fopen(wrong, "wb");
    fputs("text \xff and more", f);
    fclose(f);
    o.texts = texts;
    o.n_texts = 1;
    texts[0] = empty;
    check_plan_refused(&o, ERR_INPUT, "empty.txt: the text is empty");
    texts[0] = wrong;
    check_plan_refused(&o, ERR_INPUT, "wrong.txt: offset 5");
    texts[0] = text_a;
    o.chunk = 4096;
    check_plan_refused(&o, ERR_INPUT, "a.txt: a text of");
    o.chunk = CHUNK;
    o.kv = twice;
    o.n_kv = 2;
    check_plan_refused(&o, ERR_USAGE, "twice");
    static const char *const whole[] = { "kivi2:g32:r64" };
    o.kv = whole;
    o.n_kv = 1;
    check_plan_refused(&o, ERR_USAGE, "sees keys of it only as positions");
    static const char *const keys[] = { "k=kivi2:g32:r64,v=f32" };
    o.kv = keys;
    check_plan_refused(&o, ERR_USAGE, "sees keys of it only as positions");
    static const char *const values[] = { "k=q8_0,v=kivi2:g32:r64" };
    o.kv = values;
    check_plan_refused(&o, ERR_USAGE, "sees values of it only as positions");
    const char *same[] = { text_a, arg_a };
    o.kv = kv;
    o.texts = same;
    o.n_texts = 2;
    check_plan_refused(&o, ERR_USAGE, "are one text");
    o.texts = texts;
    o.n_texts = 1;
    o.n_kv = 0;
    check_plan_refused(&o, ERR_USAGE, "nothing to measure");
    o.artifacts = files;
    o.n_artifacts = 1;
    files[0] = other;
    check_plan_refused(&o, ERR_INPUT, "other.gguf: a vocabulary of");
    files[0] = exact;
    check_plan_refused(&o, ERR_USAGE, "two files called");
}
END_TEST

// A plan's text is hostile: every byte of it changed gives a refusal, or the same plan.
START_TEST(plans_are_read_as_they_were_written)
{
    static const char *const kv[] = { "q8_0", "sliding:q4_0;full:bf16" };
    lab_plan p, q;
    const lab_plan_opts o = two_files(kv, 2);
    open_plan(&p, &o);
    const int64_t n = (int64_t)strlen(p.json);
    char *text = malloc((size_t)n + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(lab_plan_read(&q, p.json, n, "plan.json", &e), "%s", e.msg);
    ck_assert_ptr_null(lab_plan_difference(&p, &q));
    ck_assert_int_eq(q.n_chunks, p.n_chunks);
    lab_plan_free(&q);
    for (int64_t i = 0; i < n; i++) {
        memcpy(text, p.json, (size_t)n + 1);
        text[i] ^= i % 2 ? 1 : 16;
        e = (err){ 0 };
        if (lab_plan_read(&q, text, n, "plan.json", &e)) ck_assert_str_ne(q.digest, p.digest);
        else                                             ck_assert_int_eq(e.kind, ERR_INPUT);
        lab_plan_free(&q);
    }
    e = (err){ 0 };
    free(text);
    lab_plan_free(&p);
}
END_TEST

// ---- figures --------------------------------------------------------------------------------------------------------

enum { MADE_CHUNKS = 6, MADE_POINTS = 30 };

// Cells of one candidate that nobody ran: KL by hand.
static lab_point made[MADE_CHUNKS][MADE_POINTS];
static lab_cell  made_cell[MADE_CHUNKS];
static int64_t   made_chunks[MADE_CHUNKS];

static lab_cells make_cells(void)
{
    for (int c = 0; c < MADE_CHUNKS; c++) {
        made_chunks[c] = c;
        made_cell[c].points = made[c];
        for (int i = 0; i < MADE_POINTS; i++) {
            const double p = 0.1 + 0.8 * ((i * 7 + c) % 11) / 11.0, q = 0.1 + 0.8 * ((i * 3 + c * 5) % 13) / 13.0;
            made[c][i] = (lab_point){ .kl = ((i * 37 + c * 101) % 179) / 50.0 * (c + 1), .base_logprob = log(p),
                                      .logprob = log(q), .base_top = i % 5, .top = i % 7, .shared = (i + c) % 6 };
        }
    }
    return (lab_cells){ .cells = made_cell, .n_chunks = MADE_CHUNKS, .n_points = MADE_POINTS, .n_candidates = 1 };
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

START_TEST(figures_are_their_definitions)
{
    const lab_cells c = make_cells();
    const lab_group g = { .cells = &c, .chunks = made_chunks, .n = MADE_CHUNKS, .first = 2, .end = 27 };
    double kl[MADE_CHUNKS * 25], change[MADE_CHUNKS * 25], sum = 0, squares = 0, moved = 0;
    int n = 0, same = 0, shared = 0;
    lab_figures f;
    ck_assert_msg(lab_figures_of(&f, &g, &e), "%s", e.msg);
    for (int i = 0; i < MADE_CHUNKS; i++)
        for (int k = 2; k < 27; k++, n++) {
            const lab_point *x = &made[i][k];
            const double d = exp(x->logprob) - exp(x->base_logprob);
            kl[n] = x->kl;
            change[n] = fabs(d);
            sum += x->kl;
            moved += d;
            squares += d * d;
            same += x->base_top == x->top;
            shared += x->shared;
        }
    qsort(kl, (size_t)n, sizeof *kl, by_value);
    qsort(change, (size_t)n, sizeof *change, by_value);
    ck_assert_int_eq(f.tokens, n);
    ck_assert_double_eq_tol(f.kl_mean.v, sum / n, 1e-12);
    ck_assert_double_eq_tol(f.top1.v, (double)same / n, 1e-12);
    ck_assert_double_eq_tol(f.top5.v, (double)shared / LAB_TOP / n, 1e-12);
    ck_assert_double_eq_tol(f.change_mean.v, moved / n, 1e-12);
    ck_assert_double_eq_tol(f.change_rms.v, sqrt(squares / n), 1e-12);
    ck_assert_double_eq(f.kl_median.v, kl[(n + 1) / 2 - 1]);
    ck_assert_double_eq(f.kl_p90.v, kl[(int)ceil(0.9 * n) - 1]);
    ck_assert_double_eq(f.kl_p99.v, kl[(int)ceil(0.99 * n) - 1]);
    ck_assert_double_eq(f.kl_p999.v, kl[(int)ceil(0.999 * n) - 1]);
    ck_assert_double_eq(f.kl_max.v, kl[n - 1]);
    ck_assert_double_eq(f.change_p99.v, change[(int)ceil(0.99 * n) - 1]);
}
END_TEST

// Chunks of the same points have no interval's width; chunks that differ have one around the figure; one has none.
START_TEST(intervals_are_over_chunks)
{
    const lab_cells c = make_cells();
    lab_group g = { .cells = &c, .chunks = made_chunks, .n = MADE_CHUNKS, .first = 0, .end = MADE_POINTS };
    lab_figures f, again;
    ck_assert_msg(lab_figures_of(&f, &g, &e) && lab_figures_of(&again, &g, &e), "%s", e.msg);
    ck_assert(memcmp(&f.kl_mean, &again.kl_mean, sizeof f.kl_mean) == 0);
    ck_assert(f.kl_mean.low < f.kl_mean.v && f.kl_mean.v < f.kl_mean.high);
    ck_assert(f.kl_p99.low <= f.kl_p99.v && f.kl_p99.v <= f.kl_p99.high);
    // The mean of six chunk means has a spread of sd / sqrt(6), sd with five degrees of freedom: the interval is about
    // 2.57 of it, as Student's t asks, to each side.
    double mean = 0, var = 0, of[MADE_CHUNKS] = { 0 };
    for (int i = 0; i < MADE_CHUNKS; i++) {
        for (int k = 0; k < MADE_POINTS; k++) of[i] += made[i][k].kl / MADE_POINTS;
        mean += of[i] / MADE_CHUNKS;
    }
    for (int i = 0; i < MADE_CHUNKS; i++) var += (of[i] - mean) * (of[i] - mean) / (MADE_CHUNKS - 1);
    const double half = 2.5706 * sqrt(var / MADE_CHUNKS);
    ck_assert_double_eq_tol(f.kl_mean.low, mean - half, 0.15 * half);
    ck_assert_double_eq_tol(f.kl_mean.high, mean + half, 0.15 * half);
    for (int i = 1; i < MADE_CHUNKS; i++) memcpy(made[i], made[0], sizeof made[0]);
    ck_assert_msg(lab_figures_of(&f, &g, &e), "%s", e.msg);
    ck_assert_double_eq_tol(f.kl_mean.low, f.kl_mean.high, 1e-12);
    ck_assert_double_eq(f.kl_p90.low, f.kl_p90.high);
    g.n = 1;
    ck_assert_msg(lab_figures_of(&f, &g, &e), "%s", e.msg);
    ck_assert(isnan(f.kl_mean.low) && isnan(f.kl_mean.high) && isfinite(f.kl_mean.v));
}
END_TEST

// A number from 0 to 1.
static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

// What an interval promises: of samples of so many chunks, whose means spread as a real text's do, about 95 in a
// hundred hold the mean of all texts. A bootstrap's own percentiles hold it in 49 of a hundred for two chunks, in 78
// for four.
START_TEST(intervals_hold_what_they_promise)
{
    enum { TRIES = 400, MOST = 16 };
    static const int sizes[] = { 2, 4, MOST };
    lab_point  point[MOST] = { 0 };
    lab_cell   cells[MOST] = { 0 };
    int64_t    chunks[MOST];
    lab_cells  c = { .cells = cells, .n_chunks = MOST, .n_points = 1, .n_candidates = 1 };
    lab_figures f;
    uint64_t   state = 5;
    for (int i = 0; i < MOST; i++) {
        cells[i].points = &point[i];
        chunks[i] = i;
    }
    for (int k = 0; k < 3; k++) {
        const lab_group g = { .cells = &c, .chunks = chunks, .n = sizes[k], .first = 0, .end = 1 };
        int held = 0;
        for (int t = 0; t < TRIES; t++) {
            // The sum of four uniform numbers, squared: a mean of 4 + 1 / 3, and a tail above.
            for (int i = 0; i < sizes[k]; i++) {
                const double sum = uniform(&state) + uniform(&state) + uniform(&state) + uniform(&state);
                point[i].kl = sum * sum;
            }
            ck_assert_msg(lab_figures_of(&f, &g, &e), "%s", e.msg);
            ck_assert(0 <= f.kl_mean.low && f.kl_mean.low <= f.kl_mean.v && f.kl_mean.v <= f.kl_mean.high);
            ck_assert(0 <= f.top1.low && f.top1.high <= 1);
            held += f.kl_mean.low <= 4 + 1.0 / 3 && 4 + 1.0 / 3 <= f.kl_mean.high;
        }
        ck_assert_msg(held >= 0.89 * TRIES && held <= 0.985 * TRIES, "%d chunks: %d of %d", sizes[k], held, TRIES);
    }
    // Sums of a candidate that is the base but for its rounding may end a hair below 0: the interval is around them.
    const lab_group g = { .cells = &c, .chunks = chunks, .n = 3, .first = 0, .end = 1 };
    for (int i = 0; i < 3; i++) point[i].kl = -1e-13 * (2 - 0.5 * i);
    ck_assert_msg(lab_figures_of(&f, &g, &e), "%s", e.msg);
    ck_assert(f.kl_mean.low <= f.kl_mean.v && f.kl_mean.v <= f.kl_mean.high && f.kl_mean.high < 0);
}
END_TEST

// A draw of chunks in which nothing is lost has no share of the sum: no interval, instead of one that says nothing.
START_TEST(shares_of_nothing_have_no_interval)
{
    lab_point  point[3][3] = { { { 0 } } };
    lab_cell   cells[3][3] = { { { 0 } } };
    lab_cells  c = { .cells = &cells[0][0], .n_chunks = 3, .n_points = 1, .n_candidates = 3 };
    lab_figure f;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) cells[i][k].points = &point[i][k];
    for (int k = 0; k < 3; k++) point[0][k].kl = k < 2 ? 1 : 3;         // of the first chunk alone
    ck_assert_msg(lab_share_of(&f, &c, 0, 1, 2, &e), "%s", e.msg);
    ck_assert(f.v == 1.5 && isnan(f.low) && isnan(f.high));
    for (int i = 1; i < 3; i++)
        for (int k = 0; k < 3; k++) point[i][k].kl = k < 2 ? 1 : 2;
    ck_assert_msg(lab_share_of(&f, &c, 0, 1, 2, &e), "%s", e.msg);
    ck_assert(f.low < f.v && f.v < f.high);
}
END_TEST

START_TEST(results_name_the_worst_and_recommend)
{
    static const char *const kv[] = { "q8_0", "q4_0", "f32" };
    lab_plan   p;
    lab_cells  c;
    lab_result r;
    const lab_plan_opts o = two_files(kv, 3);
    const lab_run_opts  ro = on_cpu();
    open_plan(&p, &o);
    run_plan(&c, &p, &ro);
    ck_assert_msg(lab_result_of(&r, &p, &c, 0, &e), "%s", e.msg);
    ck_assert_int_eq(r.measured[0].n_categories, 2);
    ck_assert_str_eq(r.measured[0].categories[1].category, "coding");
    ck_assert_int_eq(r.measured[2].categories[0].n_worst, 0);       // the base
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 2; i++) {
            const lab_category *x = &r.measured[k].categories[i];
            ck_assert_int_eq(x->n_worst, LAB_WORST);
            ck_assert(x->worst[0].kl == x->f.kl_max.v);
            for (int w = 1; w < LAB_WORST; w++) ck_assert(x->worst[w].kl <= x->worst[w - 1].kl);
        }
    // Weights and caches: the other file with q8_0 and with q4_0, each beside its own cache alone.
    ck_assert_int_eq(r.n_compounds, 2);
    const lab_compound *x = &r.compounds[1];
    ck_assert(x->weights == 5 && x->cache == 1 && x->both == 4);
    const double together = r.measured[4].all.kl_mean.v / (r.measured[5].all.kl_mean.v + r.measured[1].all.kl_mean.v);
    ck_assert_double_eq_tol(x->share.v, together, 1e-12);
    ck_assert(x->share.low < x->share.v && x->share.v < x->share.high);
    lab_result_free(&r);
    lab_cells_free(&c);
    lab_plan_free(&p);
}
END_TEST

static int threads_of_this_process(void)
{
    char line[256];
    int  n = 0;
    FILE *f = fopen("/proc/self/status", "r");
    ck_assert_ptr_nonnull(f);
    while (n == 0 && fgets(line, sizeof line, f)) sscanf(line, "Threads: %d", &n);
    fclose(f);
    ck_assert_int_gt(n, 0);
    return n;
}

// A team's threads stay when its work is done, so they can be counted then. A team that nobody bounds is of four here.
START_TEST(threads_are_no_more_than_were_asked_for)
{
    static const char *const kv[] = { "q8_0", "q4_0" };
    const int before = threads_of_this_process(), unbounded = omp_get_max_threads();
    omp_set_num_threads(before + 3);
    lab_plan   p;
    lab_cells  c;
    lab_result r;
    lab_plan_opts o = two_files(kv, 2);
    o.n_threads = 1;
    o.samples = 2;
    open_plan(&p, &o);
    run_plan(&c, &p, &(lab_run_opts){ .device = "cpu", .n_threads = 1 });
    ck_assert_msg(lab_result_of(&r, &p, &c, 1, &e), "%s", e.msg);
    ck_assert_int_le(threads_of_this_process(), before);
    lab_result_free(&r);
    ck_assert_msg(lab_result_of(&r, &p, &c, before + 3, &e), "%s", e.msg);
    ck_assert_int_gt(threads_of_this_process(), before);        // which this would see
    omp_set_num_threads(unbounded);
    lab_result_free(&r);
    lab_cells_free(&c);
    lab_plan_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lab");
    TCase *t = tcase_create("lab");
    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, prepare, clean);
    tcase_add_test(t, base_is_at_distance_0_from_itself);
    tcase_add_test(t, cells_do_not_depend_on_company_batch_or_threads);
    tcase_add_test(t, layers_are_probed_once);
    tcase_add_test(t, samples_are_spread);
    tcase_add_test(t, another_file_is_the_divergence);
    tcase_add_test(t, parts_and_folders_give_the_bytes_of_a_whole_run);
    tcase_add_test(t, folders_of_other_runs_are_refused);
    tcase_add_test(t, what_cannot_be_measured_is_named);
    tcase_add_test(t, plans_are_read_as_they_were_written);
    tcase_add_test(t, figures_are_their_definitions);
    tcase_add_test(t, intervals_are_over_chunks);
    tcase_add_test(t, intervals_hold_what_they_promise);
    tcase_add_test(t, shares_of_nothing_have_no_interval);
    tcase_add_test(t, results_name_the_worst_and_recommend);
    tcase_add_test(t, threads_are_no_more_than_were_asked_for);
    suite_add_tcase(s, t);
    return run_suite(s);
}
