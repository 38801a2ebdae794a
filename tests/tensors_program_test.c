// Proves that the converter and the runtime mean the same files: what arch/tensors.h says that a file holds is what the
// program of its hyperparameters asks for (runtime/program.h), name by name and shape by shape, for every checkpoint in
// fixtures/.
#include "arch/hparams.h"
#include "arch/tensors.h"
#include "convert/convert.h"
#include "convert/sizes.h"
#include "convert/tensor_map.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "runtime/program.h"

#include "bytes.h"
#include "suite.h"

#include <glob.h>

typedef struct { hf_config c; model_sizes m; block_sizes block[LIMIT_LAYERS]; } planned;

// As convert plans the file: with the blocks that the weights have.
static planned *model_of(const char *dir)
{
    char   *path = in_dir(dir, "config.json"), *text = NULL;
    int64_t n = 0;
    err     e = { 0 };
    planned *m = calloc(1, sizeof *m);
    ck_assert(m && file_read_text(&text, &n, path, 1 << 20, &e));
    cJSON *root = json_parse(text, n, path, &e);
    st    *s = st_open_dir(dir, &e);
    ck_assert_msg(root && s && hf_config_read(&m->c, root, path, &e), "%s", e.msg);
    ck_assert_msg(tensor_map_settle_mtp(&m->c, s, false, NULL, &e), "%s", e.msg);
    sizes_of_config(&m->m, m->block, &m->c);
    st_close(s);
    cJSON_Delete(root);
    free(text);
    return m;
}

static gguf *converted(const char *dir, const char *out)
{
    err e = { 0 };
    const convert_opts o = { .type = FT_BF16, .n_threads = 1, .judge = model_check };
    char *path = in_dir(out, "out.gguf");
    ck_assert_msg(convert_checkpoint(dir, path, &o, &e), "%s", e.msg);
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    return g;
}

static const program_weight *weight_named(const program *p, const char *name)
{
    for (int i = 0; i < p->n_weights; i++)
        if (strcmp(p->weights[i].name, name) == 0) return &p->weights[i];
    return NULL;
}

static void check_weight(const program_weight *w, const planned *m)
{
    int64_t block, shape[LIMIT_DIMS];
    const tensor_row *row = tensor_row_find(tensor_table_of(m->m.arch), w->name, &block);
    ck_assert_msg(row != NULL, "%s: %s: the program asks for it, and no row has it", m->m.arch, w->name);
    const tensor_presence presence = tensor_row_presence(row, &m->m, block);
    ck_assert_msg(w->optional || presence == TENSOR_MUST, "%s: the program must have it, and the table not", w->name);
    if (presence == TENSOR_NOT) return;
    const int     n_dims = tensor_row_shape(row, &m->m, block, shape);
    const int64_t cols = shape[n_dims - 1];
    int64_t       rows = 1;
    for (int d = 0; d < n_dims - 1; d++) rows *= shape[d];
    ck_assert_msg(w->rows == rows && w->cols == cols, "%s: found %lld of %lld, the table has %lld of %lld", w->name,
                  (long long)w->rows, (long long)w->cols, (long long)rows, (long long)cols);
    ck_assert_msg((w->experts > 0) == (row->role == ROLE_EXPERTS), "%s: experts", w->name);
    if (w->vector || w->plain) ck_assert_msg(tensor_role_is_f32(row->role), "%s: must be F32 to be run", w->name);
}

static void check_folder(const char *dir, const char *out)
{
    err           e = { 0 };
    hparams       h;
    program       p;
    tensor_entry *list;
    int64_t       n;
    planned *m = model_of(dir);
    gguf  *g = converted(dir, out);
    ck_assert_msg(hparams_read(&h, g, &e) && program_build(&p, &h, &e), "%s", e.msg);
    for (int i = 0; i < p.n_weights; i++) check_weight(&p.weights[i], m);
    ck_assert_msg(tensors_list(&m->m, &list, &n, &e), "%s", e.msg);
    for (int64_t i = 0; i < n; i++) {
        ck_assert_msg(weight_named(&p, list[i].name) != NULL, "%s: %s: no program asks for it", dir, list[i].name);
        ck_assert_msg(gguf_find_tensor(g, list[i].name) != NULL, "%s: %s: not in the file", dir, list[i].name);
    }
    free(list);
    program_free(&p);
    hparams_free(&h);
    gguf_close(g);
    free(m);
}

START_TEST(test_every_checkpoint)
{
    glob_t found;
    char  *out = new_dir();
    ck_assert_int_eq(glob(SOURCE_DIR "/fixtures/tiny-*/config.json", 0, NULL, &found), 0);
    ck_assert_int_ge((int)found.gl_pathc, 11);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *dir = strdup(found.gl_pathv[i]);
        ck_assert_ptr_nonnull(dir);
        *strrchr(dir, '/') = 0;
        check_folder(dir, out);
        free(dir);
    }
    globfree(&found);
    drop_dir(out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tensors_program");
    TCase *t = tcase_create("tensors_program");
    tcase_add_test(t, test_every_checkpoint);
    suite_add_tcase(s, t);
    return run_suite(s);
}
