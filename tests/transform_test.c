// Proves quant/transform.h and the families' tables of tensors: each element of every file comes from one element of
// the checkpoint, each of those goes to one place, and that place is where a formula of this test's own says.
//
// Every tensor of every checkpoint in fixtures/ is mapped as convert maps it; then its elements become their own
// numbers, and the file's elements are read as what they are: the places they came from.
#include "convert/family.h"
#include "convert/tensor_map.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "quant/tensor_piece.h"

#include "mini_families.h"
#include "suite.h"

#include <glob.h>
#include <math.h>

enum { MOST = 1 << 24 };        // whole numbers up to here are F32

// How the file's elements come from the source's, as llama.cpp's converter has it.
typedef enum {
    AS_IT_IS,
    SWAPPED,            // halves of a head become neighbours
    TILED_ROWS,         // value heads by key head -> in tiles; rows before `first` stay
    TILED_COLUMNS,
    A_HALF,             // of the rows of each matrix: gate (0) or up (1) of each expert
} way;

typedef struct {
    way     how;
    int64_t heads;              // SWAPPED: in the tensor
    int64_t first, keys, each, size;        // tiled: key heads, value heads for each, rows (columns) of one
    int64_t half;               // A_HALF
    float   add;
    bool    neg_exp;
} wanted;

// Whether `name` is blk.N.`part`
static bool is_part(const char *name, const char *part)
{
    const char *dot = strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
    return dot && strcmp(dot + 1, part) == 0;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static int64_t number(const cJSON *config, const char *key)
{
    return (int64_t)cJSON_GetNumberValue(json_get(config, key));
}

// llama.cpp's converter: LlamaModel.permute for q_proj and k_proj of "llama" alone.
static wanted wanted_of_llama(const cJSON *config, const char *name)
{
    const bool q = is_part(name, "attn_q.weight") || is_part(name, "attn_q.bias");
    const bool k = is_part(name, "attn_k.weight") || is_part(name, "attn_k.bias");
    if (!q && !k) return (wanted){ 0 };
    return (wanted){ .how = SWAPPED, .heads = number(config, q ? "num_attention_heads" : "num_key_value_heads") };
}

// Its _LinearAttentionVReorderBase and Qwen3NextModel: value heads in tiles, norms plus one, A_log as what it decays
// by.
static wanted wanted_of_qwen35(const cJSON *config, const char *name)
{
    const int64_t keys = number(config, "linear_num_key_heads"), each = number(config, "linear_num_value_heads") / keys;
    const int64_t d = number(config, "linear_value_head_dim"), qk = 2 * keys * number(config, "linear_key_head_dim");
    wanted w = { .how = TILED_ROWS, .keys = keys, .each = each, .size = d };
    if (is_part(name, "attn_qkv.weight") || is_part(name, "ssm_conv1d.weight")) w.first = qk;
    else if (is_part(name, "ssm_alpha.weight") || is_part(name, "ssm_beta.weight") || is_part(name, "ssm_a")
             || is_part(name, "ssm_dt.bias")) w.size = 1;
    else if (is_part(name, "ssm_out.weight")) w.how = TILED_COLUMNS;
    else if (!is_part(name, "attn_gate.weight")) w.how = AS_IT_IS;
    w.neg_exp = is_part(name, "ssm_a");
    w.add = ends_with(name, "norm.weight") && !is_part(name, "ssm_norm.weight") ? 1 : 0;
    return w;
}

static wanted wanted_of(const cJSON *config, const char *arch, const mapped_tensor *t)
{
    const bool fused = t->src.n_parts == 0 && strncmp(arch, "qwen3", 5) == 0;
    wanted w = { 0 };
    if (strcmp(arch, "llama") == 0)        w = wanted_of_llama(config, t->name);
    if (strncmp(arch, "qwen35", 6) == 0)   w = wanted_of_qwen35(config, t->name);
    if (strcmp(arch, "gemma3") == 0 && ends_with(t->name, "norm.weight")) w.add = 1;
    if (fused && is_part(t->name, "ffn_gate_exps.weight")) w = (wanted){ .how = A_HALF, .half = 0 };
    if (fused && is_part(t->name, "ffn_up_exps.weight"))   w = (wanted){ .how = A_HALF, .half = 1 };
    return w;
}

// ---- places: place[i] is the element of the source that belongs into element i of the file --------------------------

// Reshape [heads][2][d/2][cols], the two middle dimensions exchanged.
static void place_swapped(int64_t *place, const wanted *w, int64_t n_rows, int64_t cols)
{
    const int64_t half = n_rows / w->heads / 2;
    int64_t       from = 0;
    ck_assert_int_eq(w->heads * 2 * half, n_rows);
    for (int64_t h = 0; h < w->heads; h++)
        for (int64_t side = 0; side < 2; side++)
            for (int64_t i = 0; i < half; i++) {
                int64_t *row = place + ((h * half + i) * 2 + side) * cols;
                for (int64_t c = 0; c < cols; c++) row[c] = from++;
            }
}

// Behind the first ones: reshape [keys][each][size][cols], the first two dimensions exchanged.
static void place_tiled_rows(int64_t *place, const wanted *w, int64_t n_rows, int64_t cols)
{
    int64_t to = 0;
    ck_assert_int_eq(w->first + w->keys * w->each * w->size, n_rows);
    for (; to < w->first * cols; to++) place[to] = to;
    for (int64_t e = 0; e < w->each; e++)
        for (int64_t k = 0; k < w->keys; k++)
            for (int64_t i = 0; i < w->size * cols; i++)
                place[to++] = w->first * cols + (k * w->each + e) * w->size * cols + i;
}

static void place_tiled_columns(int64_t *place, const wanted *w, int64_t n_rows, int64_t cols)
{
    int64_t to = 0;
    ck_assert_int_eq(w->keys * w->each * w->size, cols);
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t e = 0; e < w->each; e++)
            for (int64_t k = 0; k < w->keys; k++)
                for (int64_t i = 0; i < w->size; i++) place[to++] = r * cols + (k * w->each + e) * w->size + i;
}

// The source has [experts][2][rows][cols].
static void place_half(int64_t *place, const wanted *w, int64_t n_experts, int64_t n)
{
    const int64_t one = n / n_experts;
    for (int64_t i = 0; i < n; i++) place[i] = (i / one * 2 + w->half) * one + i % one;
}

static int64_t *places(const wanted *w, int n_dims, const int64_t *shape, int64_t n)
{
    const int64_t cols = n_dims > 1 ? shape[n_dims - 1] : 1, n_rows = n / cols;
    int64_t *place = malloc((size_t)n * sizeof *place);
    ck_assert_ptr_nonnull(place);
    for (int64_t i = 0; i < n; i++) place[i] = i;
    if (w->how == SWAPPED)       place_swapped(place, w, n_rows, cols);
    if (w->how == TILED_ROWS)    place_tiled_rows(place, w, n_rows, cols);
    if (w->how == TILED_COLUMNS) place_tiled_columns(place, w, n_rows, cols);
    if (w->how == A_HALF)        place_half(place, w, shape[0], n);
    return place;
}

// ---- reading --------------------------------------------------------------------------------------------------------

// Check writes down where it is at each assertion, so there is one only where something is wrong.
static void check_element(float got, int64_t i, int64_t place, float add, uint8_t *seen, int64_t n, const char *name)
{
    const int64_t from = got >= add && got < (float)MOST ? (int64_t)(got - add) : -1;
    const char   *what = NULL;
    if (from < 0 || from >= n || (float)from + add != got) what = "is no element of the source";
    else if (seen[from]++)                                 what = "comes twice";
    else if (from != place)                                what = "comes from another place";
    if (what)
        ck_abort_msg("%s: element %lld: found %g, expected %lld + %g: %s", name, (long long)i, (double)got,
                     (long long)place, (double)add, what);
}

// In pieces of `step` elements, 0: the job's own.
static void check_pieces(const tensor_job *j, const int64_t *place, int64_t n_source, float add, int64_t step,
                         const char *name)
{
    const int64_t n = j->dst->n_elems, most = step ? step : j->piece_weights;
    uint8_t *seen = calloc((size_t)n_source, 1), *out = malloc((size_t)most * sizeof(float));
    piece_scratch scratch = { 0 };
    err     e = { 0 };
    int64_t done = 0;
    ck_assert(seen && out);
    for (int64_t k = 0; done < n; k++) {
        int64_t first = done, count = step < n - done ? step : n - done;
        if (step == 0) count = tensor_job_piece(j, k, &first);
        ck_assert_int_eq(first, done);
        ck_assert_msg(piece_encode(j, first, count, out, &scratch, &e), "%s: %s", name, e.msg);
        const float *x = (const float *)(const void *)out;
        for (int64_t i = 0; i < count; i++) check_element(x[i], first + i, place[first + i], add, seen, n_source, name);
        done += count;
    }
    ck_assert_msg(n < n_source || !memchr(seen, 0, (size_t)n), "%s: an element never comes", name);
    piece_scratch_free(&scratch);
    free(seen);
    free(out);
}

// Numbers for elements, in equal parts if there are several.
typedef struct { float *narrow; double *wide; const uint8_t **parts; } numbers;

static numbers numbers_new(int64_t n, dtype type, int64_t n_parts)
{
    numbers x = { malloc((size_t)n * sizeof(float)), malloc((size_t)n * sizeof(double)), NULL };
    ck_assert(x.narrow && x.wide);
    for (int64_t i = 0; i < n; i++) x.wide[i] = x.narrow[i] = (float)i;
    const uint8_t *data = type == DT_F64 ? (const uint8_t *)x.wide : (const uint8_t *)x.narrow;
    const int64_t  size = type == DT_F64 ? 8 : 4;
    x.parts = malloc((size_t)(n_parts + 1) * sizeof *x.parts);
    ck_assert_ptr_nonnull(x.parts);
    for (int64_t i = 0; i < n_parts; i++) x.parts[i] = data + i * (n / n_parts) * size;
    return x;
}

static void numbers_free(numbers *x)
{
    free(x->narrow);
    free(x->wide);
    free(x->parts);
}

// The tensor's elements, numbered, through one type of source: BF16 and F16 do not hold enough numbers.
static void check_type(dtype type, const char *name, int n_dims, const int64_t *shape, int64_t n_parts,
                       const transform *change, const wanted *w)
{
    err         e = { 0 };
    gguf_tensor dst = { .name = name, .type = DT_F32, .n_dims = n_dims, .n_elems = 1 };
    for (int i = 0; i < LIMIT_DIMS; i++) dst.shape[i] = i < n_dims ? shape[i] : 1;
    for (int i = 0; i < n_dims; i++) dst.n_elems *= shape[i];
    ck_assert_int_le(dst.n_elems, MOST / 2);
    const int64_t n = dst.n_elems, n_source = w->how == A_HALF ? 2 * n : n;
    numbers       x = numbers_new(n_source, type, n_parts);
    const void   *data = type == DT_F64 ? (const void *)x.wide : x.narrow;
    tensor_source src = { .where = name, .type = type, .data = n_parts ? NULL : data, .fd = -1, .change = *change };
    tensor_job    j;
    ck_assert_int_eq(src.change.neg_exp, w->neg_exp);
    src.change.neg_exp = false;             // numbers of elements are far beyond what e^x takes: see test_values
    src.parts = n_parts ? x.parts : NULL;
    src.n_parts = n_parts;
    ck_assert_msg(tensor_job_init(&j, &dst, &src, &e), "%s: %s", name, e.msg);
    int64_t *place = places(w, n_dims, shape, n);
    if (j.copied) {
        ck_assert_msg(w->how == AS_IT_IS && w->add == 0 && n_parts == 0, "%s: its bytes are copied", name);
    } else {
        check_pieces(&j, place, n_source, w->add, 0, name);
        check_pieces(&j, place, n_source, w->add, 1000, name);    // cut anywhere
        if (n < 4000) check_pieces(&j, place, n_source, w->add, 7, name);
    }
    free(place);
    numbers_free(&x);
}

// Returns how many tensors have rows that move.
static int check_folder(const char *dir)
{
    char       *path = in_dir(dir, "config.json"), *text = NULL;
    int64_t     n = 0;
    int         n_moved = 0;
    err         e = { 0 };
    tensor_map  m = { 0 };
    hf_config  *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    ck_assert_msg(file_read_text(&text, &n, path, 1 << 20, &e), "%s", e.msg);
    cJSON *root = json_parse(text, n, path, &e);
    ck_assert_msg(root && hf_config_read(c, root, path, &e), "%s", e.msg);
    st *s = st_open_dir(dir, &e);
    ck_assert_msg(s && tensor_map_settle_mtp(c, s, false, NULL, &e), "%s", e.msg);
    ck_assert_msg(tensor_map_build(&m, s, c, NULL, &e), "%s: %s", dir, e.msg);
    const cJSON *t = json_get(root, "text_config") ? json_get(root, "text_config") : root;
    for (int64_t i = 0; i < m.n; i++) {
        const mapped_tensor *x = &m.t[i];
        const wanted w = wanted_of(t, c->arch->family->arch, x);
        n_moved += w.how != AS_IT_IS;
        check_type(DT_F64, x->name, x->n_dims, x->shape, x->src.n_parts, &x->src.change, &w);
        check_type(DT_F32, x->name, x->n_dims, x->shape, x->src.n_parts, &x->src.change, &w);
    }
    const int64_t moved_a_layer = strcmp(c->arch->family->arch, "llama") == 0 ? 2 : 0;
    ck_assert_int_ge(n_moved, moved_a_layer * c->n_layer);
    tensor_map_free(&m);
    st_close(s);
    cJSON_Delete(root);
    free(text);
    free(c);
    return n_moved;
}

START_TEST(test_every_family)
{
    glob_t found;
    int    n_moved = 0;
    ck_assert_int_eq(glob(SOURCE_DIR "/fixtures/tiny-*/config.json", 0, NULL, &found), 0);
    ck_assert_int_ge((int)found.gl_pathc, 3);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *dir = strdup(found.gl_pathv[i]);
        ck_assert_ptr_nonnull(dir);
        *strrchr(dir, '/') = 0;
        n_moved += check_folder(dir);
        free(dir);
    }
    ck_assert_int_gt(n_moved, 0);
    globfree(&found);
}
END_TEST

// The only family that adds.
START_TEST(test_gemma3)
{
    mini *m = mini_gemma3();
    mini_write(m, false);
    check_folder(m->dir);
    mini_free(m);
}
END_TEST

// Experts in one tensor, and a matrix each; delta nets whose value heads are more than their key heads, and as many.
START_TEST(test_experts_and_delta_nets)
{
    mini *all[] = { mini_gemma4_moe(), mini_qwen3moe(false), mini_qwen3moe(true), mini_qwen35(false, false),
                    mini_qwen35(true, false), mini_qwen35(true, true) };
    // Of each: gate and up where they are cut (a layer has two); attn_qkv, attn_gate, ssm_alpha, _beta, _conv1d, _a,
    // _dt and _out of two layers. The block that guesses has experts, too.
    static const int moved[] = { 0, 0, 4, 16, 16, 16 + 8 };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mini_write(all[i], i % 2 == 1);
        ck_assert_int_eq(check_folder(all[i]->dir), moved[i]);
        mini_free(all[i]);
    }
}
END_TEST

// Value heads as many as key heads stay where they are, and their tensors are copied.
START_TEST(test_equal_heads)
{
    mini *m = mini_qwen35(false, false);
    mini_set(m->config, "linear_num_key_heads", "6");
    for (int i = 0; i < m->n; i++)
        if (strstr(m->t[i].name, "in_proj_qkv") || strstr(m->t[i].name, "conv1d")) m->t[i].shape[0] = 3 * 6 * 16;
    mini_write(m, false);
    err        e = { 0 };
    hf_config *c = calloc(1, sizeof *c);
    tensor_map map;
    st        *s = st_open_dir(m->dir, &e);
    ck_assert_msg(s && c && hf_config_read(c, m->config, "config.json", &e), "%s", e.msg);
    ck_assert_msg(tensor_map_build(&map, s, c, NULL, &e), "%s", e.msg);
    for (int64_t i = 0; i < map.n; i++)
        ck_assert_msg(map.t[i].src.change.rows.groups == 0 && map.t[i].src.change.cols.groups == 0, "%s",
                      map.t[i].name);
    tensor_map_free(&map);
    st_close(s);
    free(c);
    mini_free(m);
}
END_TEST

// What becomes of values, in order: -e^x, then the sum; and e^x is the nearest float or its neighbour.
START_TEST(test_values)
{
    static const float x[] = { 0.0f, 1.0f, -1.0f, 2.7725887f, -20.0f, 88.0f, -0.0f };
    float y[7];
    memcpy(y, x, sizeof y);
    const transform neg = { .neg_exp = true }, one = { .add = 1 };
    transform_values(&neg, y, 7);
    ck_assert_float_eq(y[0], -1.0f);
    ck_assert_float_eq(y[6], -1.0f);
    for (int i = 0; i < 7; i++) ck_assert_double_le(fabs((double)y[i] / -exp((double)x[i]) - 1), 0x1p-24);
    memcpy(y, x, sizeof y);
    transform_values(&one, y, 7);
    for (int i = 0; i < 7; i++) ck_assert_float_eq(y[i], x[i] + 1.0f);
    y[0] = NAN;             // stays, to be refused
    transform_values(&neg, y, 1);
    ck_assert(isnan(y[0]));
    ck_assert(transform_is_none(&(transform){ 0 }) && !transform_is_none(&neg) && !transform_is_none(&one));
    ck_assert(!transform_is_none(&(transform){ .cols = { 0, 2, 3, 1 } }));
    ck_assert(!transform_is_none(&(transform){ .take = 1, .of = 2 }));
}
END_TEST

// Shapes that no fixture has: biases, one head, the smallest head, rows longer than a piece and shorter than a cut.
START_TEST(test_shapes)
{
    static const struct { int n_dims; int64_t shape[2], heads; } cases[] = {
        { 1, { 128, 0 }, 4 }, { 1, { 6, 0 }, 1 }, { 1, { 6, 0 }, 3 }, { 1, { 2400, 0 }, 3 }, { 2, { 4, 300000 }, 1 },
        { 2, { 4, 1 }, 2 }, { 2, { 12, 7 }, 2 }, { 2, { 12, 999 }, 6 }, { 2, { 640, 1001 }, 5 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const wanted    w = { .how = SWAPPED, .heads = cases[i].heads };
        const transform change = { .pairs = cases[i].shape[0] / cases[i].heads };
        check_type(DT_F64, "a shape", cases[i].n_dims, cases[i].shape, 0, &change, &w);
        check_type(DT_F32, "a shape", cases[i].n_dims, cases[i].shape, 0, &change, &w);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transform");
    TCase *t = tcase_create("each element once, in place");
    tcase_add_test(t, test_every_family);
    tcase_add_test(t, test_gemma3);
    tcase_add_test(t, test_experts_and_delta_nets);
    tcase_add_test(t, test_equal_heads);
    tcase_add_test(t, test_values);
    tcase_add_test(t, test_shapes);
    suite_add_tcase(s, t);
    return run_suite(s);
}
