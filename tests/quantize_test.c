// Proves quant/quantize.h, quant/imatrix.h and quant/derive.h: a small Gemma 4 file becomes a quantized one that says
// what it is; importance matrices in both of llama.cpp's forms; what is refused, by name. The bytes themselves:
// codec_golden_test.c; the types: policy_test.c.
#define _GNU_SOURCE
#include "arch/tokens.h"
#include "formats/claims.h"
#include "formats/file_map.h"
#include "quant/codec.h"
#include "quant/derive.h"
#include "quant/imatrix.h"
#include "quant/quantize.h"

#include "golden/codec_inputs.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LAYERS = 4, SHARED = 1, EMBD = 256, FF = 512, VOCAB = 40 };

static char folder[] = "/tmp/hallmark-quantize-XXXXXX";
static char in_path[128], out_path[128], im_path[128];

typedef struct { const char *name; int n_dims; int64_t shape[2]; bool norm; } part;
static const part whole[] = { { "token_embd.weight", 2, { VOCAB, EMBD }, false },
                              { "output_norm.weight", 1, { EMBD }, true } };
static const part layer[] = {
    { "attn_norm.weight", 1, { EMBD }, true },         { "attn_q.weight", 2, { 128, EMBD }, false },
    { "attn_k.weight", 2, { 64, EMBD }, false },       { "attn_v.weight", 2, { 64, EMBD }, false },
    { "attn_output.weight", 2, { EMBD, 128 }, false }, { "ffn_gate.weight", 2, { FF, EMBD }, false },
    { "ffn_up.weight", 2, { FF, EMBD }, false },       { "ffn_down.weight", 2, { EMBD, FF }, false },
    { "layer_output_scale.weight", 1, { 1 }, true },
};
#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))
enum { MAX = 64 };

typedef struct { int n; char names[MAX][64]; const part *parts[MAX]; } listing;

static listing all_tensors(void)
{
    listing l = { 0 };
    for (int i = 0; i < COUNT(whole); i++) {
        snprintf(l.names[l.n], 64, "%s", whole[i].name);
        l.parts[l.n++] = &whole[i];
    }
    for (int k = 0; k < LAYERS; k++)
        for (int i = 0; i < COUNT(layer); i++) {
            snprintf(l.names[l.n], 64, "blk.%d.%s", k, layer[i].name);
            l.parts[l.n++] = &layer[i];
        }
    return l;
}

static int64_t shared_layers = SHARED;      // what the small model says of them

static int64_t version = 0;                 // whose list of source files its digest is of

// What a tokenizer does otherwise than standard keys say, and what it knows beside them, is no claim about bytes.
static const char *const TOKENIZER_KEYS[] = { KEY_HM_SPACE_PREFIX, KEY_HM_IGNORE_MERGES, KEY_HM_NFC, KEY_HM_EOS_IDS,
                                              KEY_HM_BEYOND };

// Writes the small model in one float type. With `claims`, digests and a source digest that fit; with `flip`, one bit
// of a tensor changed after.
static void write_model(dtype type, bool claims, bool flip)
{
    err e = { 0 };
    int64_t header, bytes;
    const listing l = all_tensors();
    static tensor_source src[MAX];
    static float values[MAX][FF * EMBD];
    static char digests[MAX][SHA256_HEX + 1];
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "general.architecture", "gemma4", &e) &&
              gguf_plan_u32(p, "general.file_type", type == DT_BF16 ? 32 : 0, &e));
    ck_assert(gguf_plan_str(p, "general.name", "small", &e) && gguf_plan_u32(p, "gemma4.block_count", LAYERS, &e));
    ck_assert(gguf_plan_u32(p, "gemma4.attention.head_count", 4, &e) &&
              gguf_plan_u32(p, "gemma4.attention.head_count_kv", 1, &e));
    const gguf_kv shared = { .key = "gemma4.attention.shared_kv_layers",
                             .type = GGUF_I64,
                             .elem = GGUF_I64,
                             .n = 1,
                             .data = (const uint8_t *)&shared_layers,
                             .n_bytes = 8 };
    ck_assert(gguf_plan_copy_kv(p, &shared, &e));
    for (int i = 0; i < l.n; i++) {
        const part *t = l.parts[i];
        const int64_t n = t->shape[0] * (t->n_dims > 1 ? t->shape[1] : 1);
        for (int64_t r = 0; r < n; r += n < 256 ? n : 256)
            input_row(values[i] + r, n < 256 ? (int)n : 256, 0, (uint64_t)(1000 * i + r));
        ck_assert_msg(gguf_plan_tensor(p, l.names[i], t->norm ? DT_F32 : type, t->n_dims, t->shape, &e), "%s", e.msg);
        src[i] = (tensor_source){ .where = l.names[i], .type = DT_F32, .data = (uint8_t *)values[i], .fd = -1 };
    }
    for (int i = 0; i < COUNT(TOKENIZER_KEYS); i++) ck_assert(gguf_plan_bool(p, TOKENIZER_KEYS[i], i % 2, &e));
    if (claims)
        ck_assert(claims_plan(p, "BF16",
                              &(claims_source){ .version = version,
                                                .digest = "ab",
                                                .revision = "0123456789012345678901234567890123456789" },
                              &e));
    ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
    outfile *f = outfile_open(in_path, bytes, &e);
    ck_assert_msg(f && write_tensors(p, f, src, 1, digests, NULL, NULL, &e), "%s", e.msg);
    if (claims) ck_assert(claims_set_digests(p, (const char (*)[SHA256_HEX + 1])digests, &e));
    if (flip) ck_assert(outfile_write_at(f, gguf_plan_tensor_at(p, 3)->off, "\x55", 1, &e));
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
}

static bool quantize(file_type ft, const char *im, int threads, err *e)
{
    const quantize_opts o = { .type = ft, .imatrix = im, .n_threads = threads };
    *e = (err){ 0 };
    return quantize_file(in_path, out_path, &o, e);
}

// Every tensor of the output is the codec's own encoding of the input's, row by row.
static void check_tensors(const gguf *in, const gguf *out, const imatrix *im)
{
    static float x[FF];
    static uint8_t row[FF * 4];
    for (int64_t i = 0; i < gguf_n_tensors(out); i++) {
        const gguf_tensor *to = gguf_tensor_at(out, i), *from = gguf_find_tensor(in, to->name);
        const int64_t cols = to->shape[to->n_dims - 1];
        int64_t from_bytes, to_bytes, n;
        err e = { 0 };
        ck_assert(from && dtype_row_bytes(from->type, cols, &from_bytes) && dtype_row_bytes(to->type, cols, &to_bytes));
        for (int64_t r = 0; r < to->n_elems / cols; r++) {
            codec_find(from->type)->decode_row(x, from->data + r * from_bytes, cols);
            ck_assert(codec_find(to->type)->encode_row(row, x, cols, im ? imatrix_find(im, to->name, &n) : NULL, &e));
            ck_assert_msg(memcmp(row, to->data + r * to_bytes, (size_t)to_bytes) == 0, "%s: row %lld", to->name,
                          (long long)r);
        }
    }
}

START_TEST(test_small_model)
{
    static const struct { file_type ft; const char *kv; dtype q; } types[] = {
        { FT_Q4_K_M, "f32", DT_Q4_K }, { FT_Q8_0, "f32", DT_Q8_0 }, { FT_F16, "f32", DT_F16 },
        { FT_BF16, "bf16", DT_BF16 },  { FT_F32, "f32", DT_F32 },   { FT_Q3_K_L, "f32", DT_Q3_K },
        { FT_Q5_1, "f32", DT_Q5_1 },
    };
    err e = { 0 };
    write_model(DT_BF16, false, false);
    for (int i = 0; i < COUNT(types); i++) {
        int64_t v;
        gguf_str kv;
        ck_assert_msg(quantize(types[i].ft, NULL, 2, &e), "%s", e.msg);
        gguf *in = gguf_open(in_path, &e), *out = gguf_open(out_path, &e);
        ck_assert_msg(in && out, "%s", e.msg);
        ck_assert(gguf_get_i64(out, "general.file_type", &v, &e) && v == types[i].ft);
        ck_assert(gguf_get_i64(out, "general.quantization_version", &v, &e) && v == 2);
        ck_assert(gguf_get_i64(out, "gemma4.block_count", &v, &e) && v == LAYERS);
        for (int k = 0; k < COUNT(TOKENIZER_KEYS); k++) {
            bool kept = k % 2 == 0;
            ck_assert_msg(gguf_get_bool_or(out, TOKENIZER_KEYS[k], kept, &kept, &e) && kept == k % 2, "%s is lost",
                          TOKENIZER_KEYS[k]);
        }
        ck_assert(gguf_get_str(out, KEY_HM_KV_TYPE, &kv, &e) && kv.n == (int64_t)strlen(types[i].kv) &&
                  memcmp(kv.s, types[i].kv, (size_t)kv.n) == 0);
        ck_assert_int_eq(gguf_find_tensor(out, "blk.0.attn_q.weight")->type, types[i].q);
        ck_assert_int_eq(gguf_find_tensor(out, "blk.0.layer_output_scale.weight")->type, DT_F32);
        ck_assert_msg(claims_check_tensors(out, 2, NULL, &e), "%s", e.msg);
        check_tensors(in, out, NULL);
        gguf_close(in);
        gguf_close(out);
    }
}
END_TEST

// A user who named the input as the output lost the only copy that was not rounded.
START_TEST(test_the_input_is_never_the_output)
{
    err e = { 0 };
    char link_path[256];
    write_model(DT_BF16, false, false);
    snprintf(link_path, sizeof link_path, "%s.link", in_path);
    unlink(link_path);
    ck_assert_int_eq(symlink(in_path, link_path), 0);
    const quantize_opts o = { .type = FT_Q4_K_M, .n_threads = 1 };
    const char *outs[] = { in_path, link_path };
    for (int i = 0; i < COUNT(outs); i++) {
        e = (err){ 0 };
        ck_assert(!quantize_file(in_path, outs[i], &o, &e));
        ck_assert_int_eq(e.kind, ERR_USAGE);
    }
    unlink(link_path);
    e = (err){ 0 };
    gguf *in = gguf_open(in_path, &e);
    ck_assert_msg(in != NULL && gguf_find_tensor(in, "blk.0.attn_q.weight")->type == DT_BF16, "%s", e.msg);
    gguf_close(in);
}
END_TEST

START_TEST(test_preview_is_what_comes)
{
    const type_rule rule = { "blk\\.1\\.ffn_up", DT_Q8_0 };
    const policy_overrides over = { .rules = &rule, .n_rules = 1, .output = DT_INVALID, .embedding = DT_Q5_K };
    const quantize_opts o = { .type = FT_Q4_K_M, .n_threads = 2, .overrides = &over };
    quantize_preview v;
    err e = { 0 };
    int64_t bytes = 0;
    write_model(DT_BF16, false, false);
    ck_assert_msg(quantize_preview_file(&v, in_path, &o, &e) && quantize_file(in_path, out_path, &o, &e), "%s", e.msg);
    gguf *out = gguf_open(out_path, &e);
    ck_assert_int_eq(v.n, gguf_n_tensors(out));
    for (int64_t i = 0; i < v.n; i++) {
        const gguf_tensor *t = gguf_tensor_at(out, i);
        ck_assert_str_eq(v.rows[i].name, t->name);
        ck_assert_int_eq(v.rows[i].to, t->type);
        ck_assert_int_eq(v.rows[i].to_bytes, t->n_bytes);
        bytes += t->n_bytes;
    }
    ck_assert_int_eq(v.to_bytes, bytes);
    ck_assert(v.bits_per_weight > 4.5 && v.bits_per_weight < 8);
    ck_assert_int_eq(gguf_find_tensor(out, "blk.1.ffn_up.weight")->type, DT_Q8_0);
    ck_assert_int_eq(gguf_find_tensor(out, "token_embd.weight")->type, DT_Q5_K);
    quantize_preview_free(&v);
    gguf_close(out);
}
END_TEST

START_TEST(test_same_bytes_for_any_threads)
{
    char *first = NULL;
    int64_t n_first = 0;
    err e = { 0 };
    write_model(DT_F32, false, false);
    for (int threads = 1; threads < 8; threads += 3) {
        file_map m = { 0 };
        ck_assert_msg(quantize(FT_Q4_K_M, NULL, threads, &e) && file_map_open(&m, out_path, &e), "%s", e.msg);
        if (!first) {
            first = malloc((size_t)m.size);
            memcpy(first, m.data, (size_t)(n_first = m.size));
        }
        ck_assert(m.size == n_first && memcmp(m.data, first, (size_t)n_first) == 0);
        file_map_close(&m);
    }
    free(first);
}
END_TEST

START_TEST(test_source_claims)
{
    err e = { 0 };
    write_model(DT_BF16, true, false);
    ck_assert_msg(quantize(FT_Q4_K_M, NULL, 2, &e), "%s", e.msg);
    gguf *g = gguf_open(out_path, &e);
    int64_t v = 0;
    // it still derives from that source
    ck_assert(gguf_find_kv(g, KEY_HM_SOURCE_DIGEST) && gguf_find_kv(g, KEY_HM_SOURCE_REV));
    ck_assert(gguf_get_i64(g, KEY_HM_VERSION, &v, &e) && v == CLAIMS_VERSION);
    gguf_close(g);
    // A digest by the list of version 1 stays one: under a newer version it would claim files that it does not cover.
    version = 1;
    write_model(DT_BF16, true, false);
    version = 0;
    ck_assert_msg(quantize(FT_Q4_K_M, NULL, 2, &e), "%s", e.msg);
    g = gguf_open(out_path, &e);
    ck_assert(gguf_get_i64(g, KEY_HM_VERSION, &v, &e) && v == 1);
    gguf_close(g);
    ck_assert(rename(out_path, in_path) == 0);
    ck_assert_msg(!quantize(FT_Q8_0, NULL, 2, &e) && e.kind == ERR_INPUT && strstr(e.msg, "tensor '") &&
                      strstr(e.msg, "found Q"),
                  "%s", e.msg);
    // its bytes are not those it claims: what it says of its source is worth nothing
    write_model(DT_BF16, true, true);
    ck_assert(!quantize(FT_Q4_K_M, NULL, 2, &e));
    ck_assert_msg(e.kind == ERR_VERDICT, "%s", e.msg);
}
END_TEST

// ---- importance matrices -----------------------------------------------------------------------------------------

// a tensor left out, one too narrow, the first value of all
typedef struct { const char *skip, *narrow; float first; } im_faults;

static bool in_matrix(const part *t, const char *name, const im_faults *f)
{
    return t->n_dims == 2 && strncmp(name, "blk.", 4) == 0 && !(f->skip && strcmp(f->skip, name) == 0);
}

static int64_t im_values(float *v, const part *t, const char *name, const im_faults *f, int index)
{
    const int64_t n = f->narrow && strcmp(f->narrow, name) == 0 ? t->shape[1] - 1 : t->shape[1];
    input_importance(v, (int)n, 0, (uint64_t)index * 5);
    if (f->first != 0) v[0] = f->first;
    return n;
}

static void write_dat(const im_faults *f)
{
    static float v[FF];
    const listing l = all_tensors();
    FILE *o = fopen(im_path, "wb");
    int32_t n = 0;
    for (int i = 0; i < l.n; i++) n += in_matrix(l.parts[i], l.names[i], f);
    fwrite(&n, 4, 1, o);
    for (int i = 0; i < l.n; i++) {
        if (!in_matrix(l.parts[i], l.names[i], f)) continue;
        const int32_t head[2] = { 4, (int32_t)im_values(v, l.parts[i], l.names[i], f, i) },
                      length = (int32_t)strlen(l.names[i]);
        for (int32_t c = 0; c < head[1]; c++) v[c] *= 4;
        fwrite(&length, 4, 1, o);
        fwrite(l.names[i], 1, (size_t)length, o);
        fwrite(head, 4, 2, o);
        fwrite(v, 4, (size_t)head[1], o);
    }
    const int32_t chunks = 7, length = 4;
    fwrite(&chunks, 4, 1, o);
    fwrite(&length, 4, 1, o);
    fwrite("text", 1, 4, o);
    fclose(o);
}

static void write_gguf_matrix(const im_faults *f)
{
    static float v[MAX][FF], count = 8;
    const listing l = all_tensors();
    err e = { 0 };
    int64_t header, bytes;
    gguf_plan *p = gguf_plan_new(32, &e);
    const gguf_str dataset = { "text", 4 };
    ck_assert(gguf_plan_str(p, "general.type", "imatrix", &e) &&
              gguf_plan_arr_str(p, "imatrix.datasets", &dataset, 1, &e));
    ck_assert(gguf_plan_u32(p, "imatrix.chunk_count", 7, &e) && gguf_plan_u32(p, "imatrix.chunk_size", 512, &e));
    static tensor_source src[2 * MAX];
    static char digests[2 * MAX][SHA256_HEX + 1], name[128];
    int n_src = 0;
    for (int i = 0; i < l.n; i++) {
        if (!in_matrix(l.parts[i], l.names[i], f)) continue;
        const int64_t shape[2] = { 1, im_values(v[i], l.parts[i], l.names[i], f, i) }, one[2] = { 1, 1 };
        for (int64_t c = 0; c < shape[1]; c++) v[i][c] *= count;
        snprintf(name, sizeof name, "%s.in_sum2", l.names[i]);
        ck_assert(gguf_plan_tensor(p, name, DT_F32, 2, shape, &e));
        snprintf(name, sizeof name, "%s.counts", l.names[i]);
        ck_assert(gguf_plan_tensor(p, name, DT_F32, 2, one, &e));
        src[n_src++] = (tensor_source){
            .where = "", .type = DT_F32, .data = (uint8_t *)v[i], .fd = -1, .allow_nonfinite = true
        };
        src[n_src++] = (tensor_source){ .where = "", .type = DT_F32, .data = (uint8_t *)&count, .fd = -1 };
    }
    ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
    outfile *o = outfile_open(im_path, bytes, &e);
    ck_assert(o && write_tensors(p, o, src, 1, digests, NULL, NULL, &e) && gguf_plan_write(p, o, &e) &&
              outfile_commit(o, &e));
    gguf_plan_free(p);
}

START_TEST(test_importance_in_both_forms)
{
    static const im_faults none;
    err e = { 0 };
    write_model(DT_BF16, false, false);
    for (int form = 0; form < 2; form++) {
        int64_t v;
        if (form == 0) write_gguf_matrix(&none);
        else           write_dat(&none);
        imatrix *im = imatrix_open(im_path, &e);
        ck_assert_msg(im != NULL, "%s", e.msg);
        ck_assert_int_eq(imatrix_n_chunks(im), 7);
        ck_assert_str_eq(imatrix_dataset(im), "text");
        ck_assert_int_eq(imatrix_n_entries(im), 7 * LAYERS);
        ck_assert_ptr_null(imatrix_find(im, "token_embd.weight", &v));
        ck_assert_msg(quantize(FT_Q4_K_M, im_path, 2, &e), "%s", e.msg);
        gguf *in = gguf_open(in_path, &e), *out = gguf_open(out_path, &e);
        check_tensors(in, out, im);
        ck_assert(gguf_get_i64(out, "quantize.imatrix.entries_count", &v, &e) && v == 7 * LAYERS);
        gguf_close(in);
        gguf_close(out);
        imatrix_close(im);
    }
}
END_TEST

static void expect_refused(const im_faults *f, file_type ft, const char *text)
{
    err e = { 0 };
    for (int form = 0; form < 2; form++) {
        if (form == 0) write_gguf_matrix(f);
        else           write_dat(f);
        const bool ok = quantize(ft, im_path, 2, &e);
        if (!text) { ck_assert_msg(ok, "%s", e.msg); continue; }
        ck_assert_msg(!ok && e.kind == ERR_INPUT && strstr(e.msg, text), "found '%s', expected '%s'", e.msg, text);
    }
}

START_TEST(test_importance_faults_by_name)
{
    write_model(DT_BF16, false, false);
    expect_refused(&(im_faults){ .skip = "blk.1.ffn_up.weight" }, FT_Q4_K_M,
                   "found no entry for tensor 'blk.1.ffn_up.weight'");
    expect_refused(&(im_faults){ .skip = "blk.1.attn_k.weight" }, FT_Q4_K_M,
                   "found no entry for tensor 'blk.1.attn_k.weight'");
    expect_refused(&(im_faults){ .skip = "blk.3.attn_k.weight" }, FT_Q4_K_M, NULL);    // layer 3 shares another's keys
    expect_refused(&(im_faults){ .skip = "blk.1.ffn_up.weight" }, FT_Q8_0, NULL);           // no search, nothing needed
    expect_refused(&(im_faults){ .narrow = "blk.2.ffn_down.weight" }, FT_Q4_K_M,
                   "entry 'blk.2.ffn_down.weight': found 511 values, expected 512");
    expect_refused(&(im_faults){ .first = -1 }, FT_Q4_K_M, "value 0: found -1");
    expect_refused(&(im_faults){ .first = 1.0f / 0.0f }, FT_Q4_K_M, "value 0: found inf");
}
END_TEST

// ---- derive --------------------------------------------------------------------------------------------------------

static void flip_byte(const char *path, const char *tensor, int64_t at)
{
    err e = { 0 };
    gguf *g = gguf_open(path, &e);
    const gguf_tensor *t = gguf_find_tensor(g, tensor);
    FILE *f = fopen(path, "rb+");
    ck_assert(t && f && fseek(f, (long)(t->off + at), SEEK_SET) == 0 && fputc(t->data[at] ^ 1, f) != EOF &&
              fclose(f) == 0);
    gguf_close(g);
}

START_TEST(test_derive)
{
    static const im_faults none;
    derive_opts o = { .imatrix = im_path };
    err e = { 0 };
    write_model(DT_BF16, false, false);
    write_gguf_matrix(&none);
    ck_assert_msg(quantize(FT_Q4_K_M, im_path, 2, &e), "%s", e.msg);
    for (o.n_threads = 1; o.n_threads < 8; o.n_threads += 3)
        ck_assert_msg(derive_from_gguf(out_path, in_path, &o, &e), "%s", e.msg);
    o.imatrix = NULL;           // made with one, so not what the source alone gives
    ck_assert(!derive_from_gguf(out_path, in_path, &o, &e) && e.kind == ERR_VERDICT);
    o.imatrix = im_path;
    flip_byte(out_path, "blk.2.ffn_down.weight", 5 * (FF / 256) * 210 + 210 + 17);      // Q6_K: row 5, second block
    for (o.n_threads = 1; o.n_threads < 8; o.n_threads += 3) {
        e = (err){ 0 };
        ck_assert(!derive_from_gguf(out_path, in_path, &o, &e) && e.kind == ERR_VERDICT);
        ck_assert_msg(strstr(e.msg, "tensor 'blk.2.ffn_down.weight': row 5, block 1 (Q6_K)"), "%s", e.msg);
    }
    e = (err){ 0 };
    flip_byte(out_path, "blk.0.attn_norm.weight", 4 * 7);
    ck_assert(!derive_from_gguf(out_path, in_path, &o, &e) && e.kind == ERR_VERDICT);
    ck_assert_msg(strstr(e.msg, "tensor 'blk.0.attn_norm.weight': row 0, block 7 (F32)"), "%s", e.msg);
}
END_TEST

START_TEST(test_every_truncation_of_a_dat)
{
    static const im_faults none;
    file_map m = { 0 };
    err e = { 0 };
    write_dat(&none);
    ck_assert(file_map_open(&m, im_path, &e));
    for (int64_t n = 0; n < m.size; n++) {
        uint8_t *part_of = malloc((size_t)n + 1);      // so that a read past the end is seen by the sanitizer
        memcpy(part_of, m.data, (size_t)n);
        e = (err){ 0 };
        imatrix *im = imatrix_open_mem(part_of, n, "x.dat", &e);
        ck_assert(im || e.kind == ERR_INPUT);
        ck_assert(!im || n >= m.size - 12);             // what follows the entries may be missing
        imatrix_close(im);
        free(part_of);
    }
    file_map_close(&m);
}
END_TEST

// The number of layers less this one does not fit 64 bits.
START_TEST(test_shared_layers_at_the_ends_of_64_bits)
{
    const int64_t values[] = { INT64_MIN, INT64_MIN + LAYERS, -1, INT64_MAX, LAYERS + 1 };
    err e;
    for (int i = 0; i < COUNT(values); i++) {
        shared_layers = values[i];
        write_model(DT_BF16, false, false);
        ck_assert(!quantize(FT_Q8_0, NULL, 1, &e) && e.kind == ERR_INPUT);
        ck_assert_msg(strstr(e.msg, "shared_kv_layers") && strstr(e.msg, in_path), "%s", e.msg);
    }
    shared_layers = SHARED;
}
END_TEST

// What the choice of types refuses names the file it is about.
START_TEST(test_refused_types_name_the_file)
{
    err e = { 0 };
    const type_rule rule = { "ffn_(", DT_Q8_0 };
    const policy_overrides bad_pattern = {
        .rules = &rule, .n_rules = 1, .output = DT_INVALID, .embedding = DT_INVALID
    };
    const quantize_opts o = { .type = FT_Q4_K_M, .overrides = &bad_pattern };
    write_model(DT_BF16, false, false);
    ck_assert(!quantize_file(in_path, out_path, &o, &e) && e.kind == ERR_USAGE);
    ck_assert_msg(strncmp(e.msg, in_path, strlen(in_path)) == 0 && strstr(e.msg, "tensor pattern 'ffn_('"), "%s",
                  e.msg);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("quantize");
    TCase *c = tcase_create("quantize");
    if (!mkdtemp(folder)) return 1;
    snprintf(in_path, sizeof in_path, "%s/in.gguf", folder);
    snprintf(out_path, sizeof out_path, "%s/out.gguf", folder);
    snprintf(im_path, sizeof im_path, "%s/im", folder);
    suite_add_tcase(s, c);
    tcase_add_test(c, test_small_model);
    tcase_add_test(c, test_the_input_is_never_the_output);
    tcase_add_test(c, test_preview_is_what_comes);
    tcase_add_test(c, test_same_bytes_for_any_threads);
    tcase_add_test(c, test_source_claims);
    tcase_add_test(c, test_shared_layers_at_the_ends_of_64_bits);
    tcase_add_test(c, test_refused_types_name_the_file);
    tcase_add_test(c, test_importance_in_both_forms);
    tcase_add_test(c, test_importance_faults_by_name);
    tcase_add_test(c, test_derive);
    tcase_add_test(c, test_every_truncation_of_a_dat);
    const int status = run_suite(s);
    unlink(in_path);
    unlink(out_path);
    unlink(im_path);
    rmdir(folder);
    return status;
}
