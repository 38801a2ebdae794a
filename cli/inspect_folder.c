// A folder of artifacts: what is in it, a line for each.
#include "inspect.h"
#include "answer.h"
#include "../formats/checkpoint.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char **v; int n; } names;      // paths, in the order of their names

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool add(names *l, char *path, err *e)
{
    char **v = path ? realloc(l->v, ((size_t)l->n + 1) * sizeof *v) : NULL;
    if (!v) {
        free(path);
        return err_nomem(e, "the list of artifacts", ((size_t)l->n + 1) * sizeof *v);
    }
    l->v = v;
    l->v[l->n++] = path;
    return true;
}

static bool list_artifacts(names *l, const char *dir, err *e)
{
    DIR *d = opendir(dir);
    bool ok = d != NULL || err_errno(e, true, dir, "open the folder");
    for (struct dirent *x; ok && (x = readdir(d)) != NULL;) {
        size_t n = strlen(x->d_name);
        if (n > 5 && strcmp(x->d_name + n - 5, ".gguf") == 0) ok = add(l, path_join(dir, x->d_name), e);
    }
    if (d) closedir(d);
    err what = { 0 };
    if (ok && l->n == 0 && !checkpoint_expect(dir, false, &what))
        ok = err_set(e, what.kind, "%s, or a folder of .gguf files", what.msg);
    if (ok) qsort(l->v, (size_t)l->n, sizeof *l->v, by_name);
    return ok;
}

// ---- one line -------------------------------------------------------------------------------------------------------

typedef struct { gguf *g; hparams h; bool runs, has_record; const char *name; } artifact;

static bool artifact_open(artifact *a, const char *path, err *e)
{
    err      why = { 0 };
    gguf_str record;
    *a = (artifact){ .name = strrchr(path, '/') + 1 };
    if (!(a->g = gguf_open(path, e))) return false;
    // else it is of an architecture that is not run here: the columns stay empty
    a->runs = hparams_read(&a->h, a->g, &why);
    a->has_record = inspect_record(a->g, &record);
    return true;
}

static void artifact_close(artifact *a)
{
    hparams_free(&a->h);
    gguf_close(a->g);
}

static void artifact_json(json_out *j, const artifact *a)
{
    json_open(j, '{');
    json_key_cstr(j, "file", a->name);
    json_key_int(j, "bytes", gguf_file_bytes(a->g));
    json_key_cstr(j, "type", a->runs ? a->h.type_label : NULL);
    json_key_cstr(j, "kv_type", a->runs ? a->h.kv_required : NULL);
    json_key_int(j, "tensors", gguf_n_tensors(a->g));
    json_key_bool(j, "released", a->has_record);
    json_close(j, '}');
}

static void artifact_cells(table *t, const artifact *a)
{
    char size[32];
    table_cell(t, "%s", a->name);
    table_cell(t, "%s", a->runs ? a->h.type_label : "-");
    table_cell(t, "%s", human_bytes(gguf_file_bytes(a->g), size));
    table_cell(t, "%lld", (long long)gguf_n_tensors(a->g));
    table_cell(t, "%s", a->runs ? a->h.kv_required : "-");
    table_cell(t, "%s", a->has_record ? "yes" : "no");
}

// j NULL: as a table.
static bool each(const names *l, json_out *j, table *t, err *e)
{
    for (int i = 0; i < l->n; i++) {
        artifact a;
        if (!artifact_open(&a, l->v[i], e)) return false;
        if (j) artifact_json(j, &a);
        else   artifact_cells(t, &a);
        artifact_close(&a);
    }
    return true;
}

// ---- the whole ------------------------------------------------------------------------------------------------------

// Every file is opened before the first line goes out: a bad one leaves standard output empty.
static bool all_open(const names *l, err *e)
{
    for (int i = 0; i < l->n; i++) {
        gguf *g = gguf_open(l->v[i], e);
        if (!g) return false;
        gguf_close(g);
    }
    return true;
}

// wrong: of the first file that is refused.
static bool folder_json(const char *dir, const names *l, const err *wrong, err *e)
{
    json_out j;
    inspect_head_json(&j, dir, "artifacts");
    json_key_open(&j, "kv", '{');
    json_close(&j, '}');
    json_key_open(&j, "tensors", '[');
    json_close(&j, ']');
    json_key_open(&j, "artifacts", '[');
    bool ok = each(l, &j, NULL, e);
    json_close(&j, ']');
    if (!ok || wrong->kind != ERR_NONE) answer_error_member(&j, ok ? wrong : e);
    json_close(&j, '}');
    return ok;
}

static bool folder_text(const char *dir, const names *l, err *e)
{
    static const char *const header[] = { "artifact", "type", ">size", ">tensors", "KV dtype", "verification record",
                                          NULL };
    table t;
    table_begin(&t, header);
    bool ok = each(l, NULL, &t, e);
    print_line(stdout, "%s: %d artifact%s", dir, l->n, l->n == 1 ? "" : "s");
    putchar('\n');
    if (!table_print(&t, stdout)) return err_nomem(e, "the table", 0);
    printf("\n'hallmark inspect' of one file tells more; 'hallmark check' proves the records.\n");
    return ok;
}

static bool judge_file(const char *path, err *e)
{
    gguf *g = gguf_open(path, e);
    const bool ok = g && inspect_judge(g, e);
    gguf_close(g);
    return ok;
}

bool inspect_artifacts(const char *dir, bool json, err *e)
{
    names l = { 0 };
    err  wrong = { 0 };
    bool ok = list_artifacts(&l, dir, e) && all_open(&l, e);
    for (int i = 0; ok && i < l.n && wrong.kind == ERR_NONE; i++) judge_file(l.v[i], &wrong);
    ok = ok && (json ? folder_json(dir, &l, &wrong, e) : folder_text(dir, &l, e));
    if (ok && wrong.kind != ERR_NONE) ok = err_set(e, wrong.kind, "%s", wrong.msg);
    for (int i = 0; i < l.n; i++) free(l.v[i]);
    free(l.v);
    return ok;
}
