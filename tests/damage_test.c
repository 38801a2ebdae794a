// Proves verify/derivation.h where it matters: whatever happens to one tensor between conversion and verdict, `release`
// publishes nothing.
//
// The linker puts __wrap_convert_checkpoint in the place of convert_checkpoint (tests/CMakeLists.txt), so that a
// release runs as it is, but for the damage done to the file that it has just written; its digests are made true again,
// as a writer's own mistake would have them. A table is printed of what `verify` alone sees of the same damages, with
// either kind of fixture.
#include "verify_files.h"
#include "quant/codec.h"
#include "verify/derivation.h"
#include "verify/gate.h"
#include "verify/record.h"
#include "release/release.h"
#include <math.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
enum { EVERY = 29 };                    // tensors: the code is the same for all
#else
enum { EVERY = 1 };
#endif

typedef enum { SOUND, ZEROED, SWAPPED, DOUBLED, RETYPED, N_DAMAGES } damage;
static const char *const NAMES[] = { "sound", "zeroed", "swapped", "doubled", "of another type" };

static struct { damage how; char tensor[128]; file_type only; } planted;
static char whole[SCRATCH_PATH];        // Q4_K_M as it is converted: copied instead of converting it again

bool __real_convert_checkpoint(const char *hf_dir, const char *out_path, const convert_opts *o, err *e);
bool __wrap_convert_checkpoint(const char *hf_dir, const char *out_path, const convert_opts *o, err *e);

// Hundreds of releases, none of which has to outlive a power cut.
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) { return 0; }

// ---- damaging ------------------------------------------------------------------------------------------------------

static bool twin_of(const gguf *g, const gguf_tensor *t, const gguf_tensor **twin)
{
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *o = gguf_tensor_at(g, i);
        if (o == t || o->type != t->type || o->n_dims != t->n_dims || memcmp(o->shape, t->shape, sizeof t->shape) != 0)
            continue;
        if (memcmp(o->data, t->data, (size_t)t->n_bytes) == 0) continue;        // no damage: the same bytes
        *twin = o;
        return true;
    }
    return false;
}

// Twice the values: of F32 as they are, of BF16 by its exponent, of blocks by their scales and minima in F16, whose
// exponents grow by one.
static void double_values(uint8_t *bytes, const gguf_tensor *t)
{
    static const struct { dtype type; int block, n, off[2]; } SCALES[] = {
        { DT_Q4_K, 144, 2, { 0, 2 } }, { DT_Q5_K, 176, 2, { 0, 2 } }, { DT_Q6_K, 210, 1, { 208, 0 } },
        { DT_Q8_0, 34, 1, { 0, 0 } },  { DT_Q5_0, 22, 1, { 0, 0 } },  { DT_Q4_0, 18, 1, { 0, 0 } },
    };
    if (t->type == DT_F32)
        for (int64_t i = 0; i < t->n_elems; i++) {
            float v;
            memcpy(&v, bytes + 4 * i, sizeof v);
            v *= 2;
            memcpy(bytes + 4 * i, &v, sizeof v);
        }
    for (int64_t i = 0; t->type == DT_BF16 && i < t->n_elems; i++)
        if (bytes[2 * i + 1] & 0x7f) {          // its exponent's upper bits
            uint16_t h;
            memcpy(&h, bytes + 2 * i, sizeof h);
            h = (uint16_t)(h + 0x80);
            memcpy(bytes + 2 * i, &h, sizeof h);
        }
    for (size_t k = 0; k < sizeof SCALES / sizeof *SCALES; k++)
        for (int64_t at = 0; SCALES[k].type == t->type && at < t->n_bytes; at += SCALES[k].block)
            for (int i = 0; i < SCALES[k].n; i++) {
                uint16_t h;
                memcpy(&h, bytes + at + SCALES[k].off[i], sizeof h);
                const uint16_t exponent = h & 0x7c00, rest = h & 0x3ff;
                h = exponent ? (uint16_t)(h + 0x400) : (uint16_t)((h & 0x8000) | (rest << 1));
                memcpy(bytes + at + SCALES[k].off[i], &h, sizeof h);
            }
}

// true: the file is another one now.
static bool damage_tensor(const char *path, const char *name, damage how)
{
    gguf *g = open_gguf(path);
    const gguf_tensor *t = gguf_find_tensor(g, name), *twin = NULL;
    ck_assert(t != NULL);
    char other[128] = "";
    if (how == SWAPPED && twin_of(g, t, &twin)) snprintf(other, sizeof other, "%s", twin->name);
    uint8_t *bytes = calloc(1, (size_t)t->n_bytes);
    if (how == DOUBLED) {
        memcpy(bytes, t->data, (size_t)t->n_bytes);
        double_values(bytes, t);
    }
    const int64_t off = t->off, n = t->n_bytes;
    const bool changes = how == SWAPPED ? other[0] != 0 : memcmp(bytes, t->data, (size_t)n) != 0;
    gguf_close(g);
    if (how == SWAPPED && changes) swap_tensors(path, name, other);
    else if (changes)              patch(path, off, bytes, n);
    if (changes) redigest(path);
    free(bytes);
    return changes;
}

bool __wrap_convert_checkpoint(const char *hf_dir, const char *out_path, const convert_opts *o, err *e)
{
    if (planted.how == RETYPED && o->type == planted.only) {
        const convert_opts other = { .type = FT_Q4_K_S, .n_threads = o->n_threads };
        if (!__real_convert_checkpoint(hf_dir, out_path, &other, e)) return false;
        patch_u32(out_path, "general.file_type", (uint32_t)planted.only);
        return true;
    }
    if (planted.how == SOUND || o->type != FT_Q4_K_M || !whole[0]) {
        if (!__real_convert_checkpoint(hf_dir, out_path, o, e)) return false;
    } else {
        file_map m = { 0 };
        ck_assert(file_map_open(&m, whole, e) && outfile_write_whole(out_path, m.data, m.size, e));
        file_map_close(&m);
    }
    if (planted.how != SOUND && o->type == planted.only) damage_tensor(out_path, planted.tensor, planted.how);
    return true;
}

static void setup(void)
{
    char dir[300], from[600], to[600];
    files_begin("damage");
    snprintf(dir, sizeof dir, "%s", copy_checkpoint("hf"));
    snprintf(from, sizeof from, "%s/fixtures", dir);
    ck_assert(mkdir(from, 0777) == 0);
    static const char *const FIXTURES[] = { "float32", "bfloat16", "q4_k_m" };
    for (int i = 0; i < 3; i++) {
        snprintf(to, sizeof to, "%s/fixtures/%s.json.gz", dir, FIXTURES[i]);
        shorten_fixture(fixture_path(FIXTURES[i]), to, 4);
    }
    planted.how = SOUND;
    scratch_path(whole, "whole.gguf");
    convert_tiny("whole.gguf", FT_Q4_K_M);
}

// ---- release -------------------------------------------------------------------------------------------------------

static release_result released(const file_type *types, int n)
{
    release_result r;
    err e = { 0 };
    const release_opts o = {
        .name = "tiny", .types = types, .n_types = n, .tokens = 8, .device = "cpu", .n_threads = 1
    };
    ck_assert_msg(release_checkpoint(&r, in_scratch("hf"), in_scratch("out"), &o, &e), "%s", e.msg);
    return r;
}

static const file_type Q4[] = { FT_Q4_K_M }, F32[] = { FT_F32 };

START_TEST(a_sound_release_says_that_every_tensor_derives)
{
    static const file_type ALL[] = { FT_BF16, FT_F32, FT_Q4_K_M };
    err e = { 0 };
    planted.how = SOUND;
    release_result r = released(ALL, 3);
    ck_assert(r.published);
    for (int i = 0; i < 3; i++) {
        const verify_derivation *d = &r.reports[i].derivation;
        ck_assert(d->made && d->passed && d->tensors == 116 && !d->reason[0]);
        ck_assert(i < 2 ? d->encoded == 0 && isnan(d->error_max)
                        : d->encoded > 50 && d->error_max > 0.05 && d->error_max < 0.1);
    }
    gguf  *g = open_gguf(in_scratch("out/tiny-Q4_K_M.gguf"));
    ck_assert_msg(gguf_find_tensor(g, r.reports[2].derivation.error_tensor), "%s",
                  r.reports[2].derivation.error_tensor);
    gguf_close(g);
    release_result_free(&r);
    check_opts o = { .device = "cpu" };
    ck_assert_msg(check_artifact(in_scratch("out"), &o, &e), "%s", e.msg);
    char   *text;
    int64_t n;
    ck_assert(file_read_text(&text, &n, in_scratch("out/report.json"), 1 << 20, &e));
    ck_assert_ptr_nonnull(strstr(text, "\"derivation\":"));
    ck_assert_ptr_null(strstr(text, scratch));
    free(text);
    ck_assert(file_read_text(&text, &n, in_scratch("out/report.md"), 1 << 20, &e));
    ck_assert_ptr_nonnull(strstr(text, "tiny-F32.gguf: each of its 116 tensors was encoded again from the source: the "
                                       "same bytes."));
    free(text);
}
END_TEST

typedef struct { progress p; char said[1024]; } listener;

static void listen_log(progress *p, const char *line)
{
    listener *l = (listener *)(void *)p;
    snprintf(l->said, sizeof l->said, "%s", line);
}

// The drift's limits in a record are computed again; those of a record of before there was such a measure are those of
// then.
START_TEST(a_record_does_not_choose_what_drift_it_may_have)
{
    planted.how = SOUND;
    err  e = { 0 };
    char path[SCRATCH_PATH];
    verify_report r;
    scratch_path(path, "out/tiny-Q4_K_M.gguf");
    remove_tree(in_scratch("out"));
    release_result made = released(Q4, 1);
    ck_assert(made.published);
    release_result_free(&made);
    gguf  *g = open_gguf(path);
    cJSON *rec = NULL;
    ck_assert(record_read(g, &rec, &e) && record_report(g, rec, &r, &e));
    cJSON_Delete(rec);
    gguf_close(g);
    ck_assert(r.n_fixtures == 2 && r.fixtures[1].kind == CHECK_DRIFT);
    const verify_fixture_result f = r.fixtures[1];
    verify_fixture_result *now = &r.fixtures[1];
    ck_assert(f.rounding_kl_mean > 1e-4 && fabs(f.kl_limit / (3 * f.rounding_kl_mean) - 1) < 1e-12 &&
              f.kl_mean < f.kl_limit);
    static const struct { double kl_limit, top1_limit, rounding; const char *named; } CASES[] = {
        { 0.12, 0, 0, "'kl_limit': found 0.12" },           // the type's, where the model's own is less
        { 0, 0.88, 0, "'top1_limit': found 0.88" },
        { 30, 0, 10, "'kl_limit': found 30, expected 0.12" },   // whatever rounding is said to cost, it is a Q4_K_M
        { 0.12, 0.88, NAN, "'kl_limit': found 0.12, expected 0" },      // not measured, in a record of today
        { 0.12, 0.88, NAN, NULL },                          // older
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        listener l = { .p = { .log = listen_log } };
        *now = f;
        if (CASES[i].kl_limit > 0)   now->kl_limit = CASES[i].kl_limit;
        if (CASES[i].top1_limit > 0) now->top1_limit = CASES[i].top1_limit;
        if (CASES[i].rounding != 0)  now->rounding_kl_mean = CASES[i].rounding;
        if (!CASES[i].named) r.judged_by.name[0] = '\0';    // as is one that does not hold its limits
        e = (err){ 0 };
        ck_assert_msg(record_write(path, &r, NULL, &e), "%s", e.msg);
        const bool ok = check_artifact(path, &(check_opts){ .device = "cpu", .progress = &l.p }, &e);
        ck_assert_msg(ok == !CASES[i].named && (ok || strstr(e.msg, CASES[i].named)), "%zu: %s", i,
                      ok ? "holds" : e.msg);
        ck_assert_msg(!ok || strstr(l.said, "older than 'rounding_kl_mean' in records: its drift was held to the "
                                            "budget of its type alone"),
                      "%s", l.said);
    }
    *now = f;
    verify_report_free(&r);
}
END_TEST

// Nothing was published, and the report names the tensor that was damaged (or, of two, the other one).
static void refused(const file_type *type, const char *label, const char *tensor, damage how)
{
    snprintf(planted.tensor, sizeof planted.tensor, "%s", tensor);
    planted.how  = how;
    planted.only = *type;
    remove_tree(in_scratch("out"));
    release_result r = released(type, 1);
    const verify_derivation *d = &r.reports[0].derivation;
    char name[160];
    snprintf(name, sizeof name, "tensor '%s'", tensor);
    ck_assert_msg(!r.published && !dir_exists(in_scratch("out")), "%s, %s %s: published", label, tensor, NAMES[how]);
    ck_assert_str_eq(verify_verdict(&r.reports[0]), "fail");
    ck_assert_msg(d->made && !d->passed && (how == SWAPPED || strstr(d->reason, name)), "%s, %s %s: %s", label, tensor,
                  NAMES[how], d->reason);
    ck_assert_ptr_null(strstr(d->reason, scratch));
    ck_assert_int_eq(r.n_notes, 0);             // no fixture is said to be of no use to what was not run
    ck_assert_int_eq(r.n_missing, 0);
    release_result_free(&r);
}

// Each tensor in turn. What a damage leaves as it was (a norm of zeros doubled, a tensor without a twin) is none.
static int damage_all(const file_type *type, const char *label, const char *art)
{
    int   done = 0;
    gguf *g = open_gguf(art);
    for (int64_t i = 0; i < gguf_n_tensors(g); i += EVERY)
        for (damage how = ZEROED; how <= DOUBLED; how++) {
            const gguf_tensor *t = gguf_tensor_at(g, i);
            if (!damage_tensor(copy_file(art, "try.gguf"), t->name, how)) {
                ck_assert_msg(how == SWAPPED, "%s %s: nothing changed", t->name, NAMES[how]);
                continue;
            }
            refused(type, label, t->name, how);
            done++;
        }
    gguf_close(g);
    return done;
}

START_TEST(whatever_happens_to_one_tensor_nothing_is_published)
{
    struct timespec a, b;
    if (EVERY > 1) printf("SMALLER under sanitizers: every %dth tensor of 116 is damaged\n", EVERY);
    clock_gettime(CLOCK_MONOTONIC, &a);
    const int n = damage_all(Q4, "Q4_K_M", whole);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("release, Q4_K_M: %d of %d damages of one tensor refused, in %.0f s\n", n, n, difftime(b.tv_sec, a.tv_sec));
    ck_assert_int_gt(n, 300 / EVERY);
    planted.how = SOUND;
    char plain[SCRATCH_PATH];
    scratch_path(plain, "plain.gguf");
    convert_tiny("plain.gguf", FT_F32);
    static const char *const SOME[] = { "token_embd.weight", "blk.0.attn_output.weight", "blk.3.ffn_norm.weight",
                                        "output_norm.weight" };
    for (int i = 0; i < 4; i++)
        for (damage how = ZEROED; how <= DOUBLED; how++) {
            if (how == SWAPPED && (i == 0 || i == 3)) continue;         // no twin
            refused(F32, "F32", SOME[i], how);
        }
    planted.how = SOUND;
}
END_TEST

// The bytes of each tensor derive, and yet it is another file than the one that was asked for.
START_TEST(a_tensor_of_another_type_is_refused)
{
    planted.how  = RETYPED;
    planted.only = FT_Q4_K_M;
    release_result r = released(Q4, 1);
    ck_assert(!r.published && !r.reports[0].derivation.passed);
    const char *reason = r.reports[0].derivation.reason;
    ck_assert_msg(strstr(reason, "found type Q5_K, expected Q4_K, which is what Q4_K_M makes of it"), "%s", reason);
    release_result_free(&r);
    planted.how = SOUND;
}
END_TEST

// ---- verify alone ---------------------------------------------------------------------------------------------------

typedef struct { int n, own, drift, by_type; } seen;

// Whose digests are true again, the damaged file is another file than the one the fixture was made from: nothing is
// run.
static bool is_of_other_weights(const char *path, const char *own, const verify_opts *o)
{
    verify_report r;
    err e = { 0 };
    const bool ran = verify_artifact(&r, path, &own, 1, o, &e);
    if (ran) verify_report_free(&r);
    return !ran && e.kind == ERR_INPUT && strstr(e.msg, "the artifact's weights have digest");
}

static void look(seen *s, const char *art, const char *tensor, damage how)
{
    char own[SCRATCH_PATH], source[SCRATCH_PATH];
    scratch_path(own, "hf/fixtures/q4_k_m.json.gz");
    scratch_path(source, "hf/fixtures/float32.json.gz");
    const char *path = copy_file(art, "look.gguf");
    if (!damage_tensor(path, tensor, how)) return;
    const verify_opts o = { .tokens = 1, .run = { .device = "cpu", .n_threads = 1 } };
    const bool by_own = is_of_other_weights(path, own, &o);
    verify_report r = verify_with(path, source, &o);
    const verify_fixture_result *f = &r.fixtures[0];
    const double costs = f->rounding_kl_mean;
    printf("  %-32s %-8s  own weights: %s   drift: %-4s  mean KL %8.2g, rounding %7.2g, %lld/%lld\n", tensor,
           NAMES[how], by_own ? "no" : "YES", r.passed ? "PASS" : "no", f->kl_mean, costs,
           (long long)f->teacher_forced_equal, (long long)f->steps);
    s->n++;
    s->own   += by_own;
    s->drift += !r.passed;
    // what would be left of the gate without the model's own measure
    const gate_drift *most = gate_drift_for(gate_builtin(), "Q4_K_M");
    s->by_type += !(f->kl_mean <= most->kl_max && (double)f->teacher_forced_equal >= most->top1_min * (double)f->steps);
    verify_report_free(&r);
}

// The fixture of the file's own weights was made from the sound file: it names their digests, and any damage shows. One
// made of the damaged file would not show it: it says what a file does, not what it should. Drift is judged by what the
// whole does: what matters little passes, and a matrix before a norm may be doubled without any difference.
START_TEST(what_verify_alone_sees)
{
    seen  by[N_DAMAGES] = { { 0, 0, 0, 0 } };
    gguf *g = open_gguf(whole);
    bool  attn_seen = true;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const char *name = gguf_tensor_at(g, i)->name;
        if (strcmp(name, "rope_freqs.weight") == 0) continue;       // its zeros are refused when the file is opened
        if (strncmp(name, "blk.", 4) == 0 && name[4] != '0' && name[4] != '3' && !strstr(name, "attn_output")) continue;
        for (damage how = ZEROED; how <= DOUBLED; how++) {
            const int before = by[how].drift, n = by[how].n;
            if (i % EVERY == 0) look(&by[how], whole, name, how);
            if (strstr(name, "attn_output") && how == ZEROED && by[how].n > n) attn_seen &= by[how].drift > before;
        }
    }
    gguf_close(g);
    printf("what verify alone sees of one damaged tensor, Q4_K_M, 4 cases:\n");
    for (damage how = ZEROED; how <= DOUBLED; how++)
        printf("  %-8s %3d: own-weights fixture %3d, drift %3d (by the type's budget alone it would be %d)\n",
               NAMES[how], by[how].n, by[how].own, by[how].drift, by[how].by_type);
    for (damage how = ZEROED; how <= DOUBLED; how++) ck_assert_int_eq(by[how].own, by[how].n);
    if (EVERY > 1) return;                                          // too few, and other cases, to say more
    for (damage how = ZEROED; how <= SWAPPED; how++) ck_assert_int_gt(10 * by[how].drift, 8 * by[how].n);
    ck_assert_msg(attn_seen, "a layer's attention output of zeros is within what drift may be");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("damage");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, files_end);
    tcase_add_test(t, a_sound_release_says_that_every_tensor_derives);
    tcase_add_test(t, a_record_does_not_choose_what_drift_it_may_have);
    tcase_add_test(t, whatever_happens_to_one_tensor_nothing_is_published);
    tcase_add_test(t, a_tensor_of_another_type_is_refused);
    tcase_add_test(t, what_verify_alone_sees);
    suite_add_tcase(s, t);
    return run_suite(s);
}
