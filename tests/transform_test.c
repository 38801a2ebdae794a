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

#include "mini_checkpoint.h"
#include "suite.h"

#include <glob.h>

enum { MOST = 1 << 24 };        // whole numbers up to here are F32

typedef struct {
    bool    swapped;            // halves of a head become neighbours
    int64_t heads;              // in the tensor
    float   add;
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

// llama.cpp's converter: LlamaModel.permute for q_proj and k_proj of "llama" alone; Gemma 3's norms are 1 + w.
static wanted wanted_of(const cJSON *config, const char *arch, const char *name)
{
    wanted w = { false, 1, 0 };
    const bool q = is_part(name, "attn_q.weight") || is_part(name, "attn_q.bias");
    const bool k = is_part(name, "attn_k.weight") || is_part(name, "attn_k.bias");
    if (strcmp(arch, "llama") == 0 && (q || k)) {
        const char *key = q ? "num_attention_heads" : "num_key_value_heads";
        w.swapped = true;
        w.heads = (int64_t)cJSON_GetNumberValue(json_get(config, key));
    }
    if (strcmp(arch, "gemma3") == 0 && ends_with(name, "norm.weight")) w.add = 1;
    return w;
}

// place[i]: the element of the source that belongs into element i of the file: reshape [heads][2][d/2][cols], the two
// middle dimensions exchanged.
static int64_t *places(const wanted *w, int64_t n_rows, int64_t cols)
{
    int64_t *place = malloc((size_t)(n_rows * cols) * sizeof *place);
    ck_assert_ptr_nonnull(place);
    const int64_t half = n_rows / w->heads / 2;
    for (int64_t i = 0; i < n_rows * cols && !w->swapped; i++) place[i] = i;
    if (!w->swapped) return place;
    ck_assert_int_eq(w->heads * 2 * half, n_rows);
    int64_t from = 0;
    for (int64_t h = 0; h < w->heads; h++)
        for (int64_t side = 0; side < 2; side++)
            for (int64_t i = 0; i < half; i++) {
                int64_t *row = place + ((h * half + i) * 2 + side) * cols;
                for (int64_t c = 0; c < cols; c++) row[c] = from++;
            }
    return place;
}

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
static void check_pieces(const tensor_job *j, const int64_t *place, float add, int64_t step, const char *name)
{
    const int64_t n = j->dst->n_elems, most = step ? step : j->piece_weights;
    uint8_t *seen = calloc((size_t)n, 1), *out = malloc((size_t)most * sizeof(float));
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
        for (int64_t i = 0; i < count; i++) check_element(x[i], first + i, place[first + i], add, seen, n, name);
        done += count;
    }
    ck_assert_msg(!memchr(seen, 0, (size_t)n), "%s: an element never comes", name);
    piece_scratch_free(&scratch);
    free(seen);
    free(out);
}

// The tensor's elements, numbered, through one type of source: BF16 and F16 do not hold enough numbers.
static void check_type(dtype type, const char *name, int n_dims, const int64_t *shape, const transform *change,
                       const wanted *w)
{
    err         e = { 0 };
    gguf_tensor dst = { .name = name, .type = DT_F32, .n_dims = n_dims, .n_elems = 1 };
    for (int i = 0; i < LIMIT_DIMS; i++) dst.shape[i] = i < n_dims ? shape[i] : 1;
    for (int i = 0; i < n_dims; i++) dst.n_elems *= shape[i];
    ck_assert_int_le(dst.n_elems, MOST);
    const int64_t n = dst.n_elems, cols = n_dims > 1 ? shape[n_dims - 1] : 1;
    float  *narrow = malloc((size_t)n * sizeof *narrow);
    double *wide = malloc((size_t)n * sizeof *wide);
    ck_assert(narrow && wide);
    for (int64_t i = 0; i < n; i++) wide[i] = narrow[i] = (float)i;
    const void   *data = type == DT_F64 ? (const void *)wide : narrow;
    tensor_source src = { .where = name, .type = type, .data = data, .fd = -1, .change = *change };
    tensor_job    j;
    ck_assert_msg(tensor_job_init(&j, &dst, &src, &e), "%s: %s", name, e.msg);
    int64_t *place = places(w, n / cols, cols);
    if (j.copied) {
        ck_assert_msg(!w->swapped && w->add == 0, "%s: its bytes are copied", name);
    } else {
        check_pieces(&j, place, w->add, 0, name);
        check_pieces(&j, place, w->add, 1000, name);    // cut anywhere
    }
    free(place);
    free(narrow);
    free(wide);
}

// Returns how many tensors have rows that move.
static int check_folder(const char *dir)
{
    char       *path = in_dir(dir, "config.json"), *text = NULL;
    int64_t     n = 0;
    int         n_swapped = 0;
    err         e = { 0 };
    tensor_map  m = { 0 };
    hf_config  *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    ck_assert_msg(file_read_text(&text, &n, path, 1 << 20, &e), "%s", e.msg);
    cJSON *root = json_parse(text, n, path, &e);
    ck_assert_msg(root && hf_config_read(c, root, path, &e), "%s", e.msg);
    st *s = st_open_dir(dir, &e);
    ck_assert_msg(s && tensor_map_build(&m, s, c, NULL, &e), "%s: %s", dir, e.msg);
    const cJSON *t = json_get(root, "text_config") ? json_get(root, "text_config") : root;
    for (int64_t i = 0; i < m.n; i++) {
        const wanted w = wanted_of(t, c->arch->family->arch, m.t[i].name);
        n_swapped += w.swapped;
        check_type(DT_F64, m.t[i].name, m.t[i].n_dims, m.t[i].shape, &m.t[i].src.change, &w);
        check_type(DT_F32, m.t[i].name, m.t[i].n_dims, m.t[i].shape, &m.t[i].src.change, &w);
    }
    const int64_t moved_a_layer = strcmp(c->arch->family->arch, "llama") == 0 ? 2 : 0;
    ck_assert_int_ge(n_swapped, moved_a_layer * c->n_layer);
    tensor_map_free(&m);
    st_close(s);
    cJSON_Delete(root);
    free(text);
    free(c);
    return n_swapped;
}

START_TEST(test_every_family)
{
    glob_t found;
    int    n_swapped = 0;
    ck_assert_int_eq(glob(SOURCE_DIR "/fixtures/tiny-*/config.json", 0, NULL, &found), 0);
    ck_assert_int_ge((int)found.gl_pathc, 3);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *dir = strdup(found.gl_pathv[i]);
        ck_assert_ptr_nonnull(dir);
        *strrchr(dir, '/') = 0;
        n_swapped += check_folder(dir);
        free(dir);
    }
    ck_assert_int_gt(n_swapped, 0);
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

// Shapes that no fixture has: biases, one head, the smallest head, rows longer than a piece and shorter than a cut.
START_TEST(test_shapes)
{
    static const struct { int n_dims; int64_t shape[2], heads; } cases[] = {
        { 1, { 128, 0 }, 4 }, { 1, { 6, 0 }, 1 }, { 1, { 6, 0 }, 3 }, { 1, { 2400, 0 }, 3 }, { 2, { 4, 300000 }, 1 },
        { 2, { 4, 1 }, 2 }, { 2, { 12, 7 }, 2 }, { 2, { 12, 999 }, 6 }, { 2, { 640, 1001 }, 5 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const wanted    w = { true, cases[i].heads, 0 };
        const transform change = { .pairs = cases[i].shape[0] / cases[i].heads };
        check_type(DT_F64, "a shape", cases[i].n_dims, cases[i].shape, &change, &w);
        check_type(DT_F32, "a shape", cases[i].n_dims, cases[i].shape, &change, &w);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transform");
    TCase *t = tcase_create("each element once, in place");
    tcase_add_test(t, test_every_family);
    tcase_add_test(t, test_gemma3);
    tcase_add_test(t, test_shapes);
    suite_add_tcase(s, t);
    return run_suite(s);
}
