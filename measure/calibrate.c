// calibrate: see calibrate.h.
#define _GNU_SOURCE
#include "calibrate.h"
#include "../convert/convert.h"
#include "../formats/place.h"
#include "../formats/unfinished.h"
#include "../quant/moments.h"
#include "texts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_CHUNK = 512 };
#define DEFAULT_MEMORY_BYTES ((int64_t)1 << 30)
#define DEFAULT_DAMPING      0.01

typedef struct {            // one distinct input
    char    name[LIMIT_NAME_BYTES];     // of the matrix that the observer is asked about
    int64_t cols, block;
    int64_t factors_at;     // floats: where its matrices begin in the file, then cols of d
    float  *h;              // sums, while its pass is on: as in the file, without d
} input;

struct calibration {
    input           *inputs;
    tensor_feedback *tensors;           // names are owned
    int64_t          n_inputs, n_tensors;
    float           *factors;           // the mapping
    int64_t          file_floats, tokens;
    char            *digest;
    int              n_threads;
    int64_t          first, end;        // inputs of this pass
};

effort_opts calibration_effort(const calibration *c, int level)
{
    if (!c) return (effort_opts){ .level = level };
    return (effort_opts){ .level = level > 0 ? level : 1, .feedback = c->tensors, .n = c->n_tensors,
                          .calibration = c->digest };
}

const char *calibration_digest(const calibration *c) { return c->digest; }
int64_t calibration_tokens(const calibration *c) { return c->tokens; }

void calibration_free(calibration *c)
{
    if (!c) return;
    for (int64_t i = 0; c->inputs && i < c->n_inputs; i++) free(c->inputs[i].h);
    for (int64_t i = 0; c->tensors && i < c->n_tensors; i++) free((char *)(uintptr_t)c->tensors[i].tensor);
    if (c->factors) munmap(c->factors, (size_t)c->file_floats * sizeof(float));
    free(c->inputs);
    free(c->tensors);
    free(c->digest);
    free(c);
}

// ---- which inputs there are -----------------------------------------------------------------------------------------

// The matrix whose input stands for this one's; false for tensors that no layer multiplies with, and for those of
// blocks from n_layer on, which no forward pass uses.
static bool input_name(char *name, size_t size, const char *tensor, int n_layer)
{
    static const struct { const char *tensor, *stands_for; } products[] = {
        { "attn_q", "attn_q" },
        { "attn_k", "attn_q" },
        { "attn_v", "attn_q" },
        { "attn_output", "attn_output" },
        { "ffn_gate", "ffn_gate" },
        { "ffn_up", "ffn_gate" },
        { "ffn_down", "ffn_down" },
        { "inp_gate", "inp_gate" },
        { "proj", "proj" },
        { "attn_qkv", "attn_qkv" },
        { "attn_gate", "attn_qkv" },
        { "ssm_alpha", "attn_qkv" },
        { "ssm_beta", "attn_qkv" },
        { "ssm_out", "ssm_out" },
        { "ffn_gate_shexp", "ffn_gate_shexp" },
        { "ffn_up_shexp", "ffn_gate_shexp" },
        { "ffn_down_shexp", "ffn_down_shexp" },
    };
    int layer, at = 0;
    if (sscanf(tensor, "blk.%d.%n", &layer, &at) != 1 || at == 0 || layer >= n_layer) return false;
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const size_t n = strlen(products[i].tensor);
        if (strncmp(tensor + at, products[i].tensor, n) != 0 || strcmp(tensor + at + n, ".weight") != 0) continue;
        snprintf(name, size, "blk.%d.%s.weight", layer, products[i].stands_for);
        return true;
    }
    return false;
}

static input *find_input(const calibration *c, const char *name)
{
    for (int64_t i = 0; i < c->n_inputs; i++)
        if (strcmp(c->inputs[i].name, name) == 0) return &c->inputs[i];
    return NULL;
}

// Floats of an input's matrices.
static int64_t matrix_floats(const input *in)
{
    const int64_t whole = in->cols / in->block, rest = in->cols % in->block;
    return whole * in->block * in->block + rest * rest;
}

static bool list_inputs(calibration *c, const gguf *g, int n_layer, err *e)
{
    const size_t n = (size_t)gguf_n_tensors(g) + 1;
    c->inputs  = calloc(n, sizeof *c->inputs);
    c->tensors = calloc(n, sizeof *c->tensors);
    if (!c->inputs || !c->tensors) return err_nomem(e, "the list of inputs", n * sizeof *c->inputs);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        char name[LIMIT_NAME_BYTES];
        if (t->n_dims != 2 || !input_name(name, sizeof name, t->name, n_layer)) continue;
        input *in = find_input(c, name);
        if (!in) {
            in = &c->inputs[c->n_inputs++];
            memcpy(in->name, name, sizeof name);
            in->cols  = t->shape[1];
            in->block = in->cols < CALIBRATION_BLOCK ? in->cols : CALIBRATION_BLOCK;
            in->factors_at = c->file_floats;
            // far from overflow: a tensor of so many columns is in the file
            c->file_floats += matrix_floats(in) + in->cols;
        }
        if (in->cols != t->shape[1])
            return err_set(e, ERR_INPUT, "%s: tensor '%s': found %lld columns, '%s' has %lld", gguf_path(g), t->name,
                                                    (long long)t->shape[1], name, (long long)in->cols);
        tensor_feedback *f = &c->tensors[c->n_tensors];
        if (!(f->tensor = strdup(t->name))) return err_nomem(e, "a name", strlen(t->name));
        f->f = (feedback){ .cols = in->cols, .block = in->block };
        c->n_tensors++;
    }
    return c->n_inputs > 0 || err_set(e, ERR_INPUT, "%s: found no matrix that a layer multiplies with", gguf_path(g));
}

// Factors of a large model take gigabytes: not in memory, where /tmp often lies.
static const char *dir_of(const char *given)
{
    const char *set = getenv("TMPDIR");
    return given ? given : set && *set ? set : "/var/tmp";
}

static bool open_file(calibration *c, const char *dir, err *e)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/hallmark-calibration-XXXXXX", dir_of(dir));
    unfinished_lock();                  // its name is there for an instant, in which nobody may end the process
    const int fd = mkstemp(path);
    if (fd >= 0) unlink(path);
    unfinished_unlock();
    if (fd < 0) return err_set(e, ERR_SYSTEM, "%s: cannot be made: %s", path, strerror(errno));
    const int64_t bytes = c->file_floats * (int64_t)sizeof(float);
    const int full = posix_fallocate(fd, 0, bytes);             // so that no write to the mapping can fail
    void *p = full == 0 ? mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    const int why = full ? full : errno;
    close(fd);
    if (p == MAP_FAILED) return err_set(e, ERR_SYSTEM, "%s: %lld bytes: %s", path, (long long)bytes, strerror(why));
    c->factors = p;
    return true;
}

static void point_tensors(calibration *c, int n_layer)
{
    for (int64_t i = 0; i < c->n_tensors; i++) {
        char name[LIMIT_NAME_BYTES];
        input_name(name, sizeof name, c->tensors[i].tensor, n_layer);
        const input *in = find_input(c, name);
        c->tensors[i].f.m = c->factors + in->factors_at;
        c->tensors[i].f.d = c->factors + in->factors_at + matrix_floats(in);
    }
}

// ---- sums -----------------------------------------------------------------------------------------------------------

static void observe(void *ctx, const product_input *seen)
{
    const float *x = seen->x;
    const int     n = seen->n;
    const int64_t cols = seen->cols;
    calibration *c = ctx;
    for (int64_t i = c->first; i < c->end; i++) {
        const input *in = &c->inputs[i];
        if (strcmp(in->name, seen->tensor) != 0) continue;
        for (int64_t at = 0, b = 0; at < cols; at += in->block, b++) {
            const int64_t width = cols - at < in->block ? cols - at : in->block;
            moments_add(in->h + b * in->block * in->block, width, x + at, cols, n, c->n_threads);
        }
    }
}

// Inputs from `first` on whose sums fit; one at least.
static int64_t end_of_pass(const calibration *c, int64_t first, int64_t memory)
{
    int64_t end = first;
    for (int64_t bytes = 0; end < c->n_inputs; end++) {
        bytes += matrix_floats(&c->inputs[end]) * (int64_t)sizeof(float);
        if (end > first && bytes > memory) break;
    }
    return end;
}

static bool run_chunks(session *run, const model *m, const token_list *ids, int64_t chunk, progress *p, err *e)
{
    for (int64_t at = 0; at + 1 < ids->n; at += chunk) {
        const int64_t n = ids->n - at < chunk ? ids->n - at : chunk;
        if (!texts_run(run, ids->v + at, n, true, texts_bos(m), NULL, e)) return false;
        progress_add(p, "calibrate", n);
    }
    return true;
}

static bool run_pass(calibration *c, session *run, const model *m, const token_list *ids, int64_t chunk, double damping,
                     progress *p, err *e)
{
    for (int64_t i = c->first; i < c->end; i++) {
        input *in = &c->inputs[i];
        in->h = calloc((size_t)matrix_floats(in), sizeof *in->h);
        if (!in->h) return err_nomem(e, "second moments", (size_t)matrix_floats(in) * sizeof *in->h);
    }
    if (!run_chunks(run, m, ids, chunk, p, e)) return false;
    for (int64_t i = c->first; i < c->end; i++) {
        input *in = &c->inputs[i];
        float *to = c->factors + in->factors_at, *d = to + matrix_floats(in);
        for (int64_t at = 0, b = 0; at < in->cols; at += in->block, b++) {
            const int64_t width = in->cols - at < in->block ? in->cols - at
                : in->block, skip = b * in->block * in->block;
            err why = { 0 };
            if (!moments_factor(to + skip, d + at, in->h + skip, width, (double)c->tokens, damping, c->n_threads, &why))
                return err_set(e, why.kind, "tensor '%s': its inputs: %s", in->name, why.msg);
        }
        free(in->h);
        in->h = NULL;
    }
    return true;
}

// ---- texts ----------------------------------------------------------------------------------------------------------

static bool add_text(calibration *c, token_list *all, const model *m, const char *path, err *e)
{
    char hex[SHA256_HEX + 1], *digest;
    const int64_t before = all->n;
    if (!texts_append(all, m, path, false, hex, e)) return false;
    if (all->n - before < 2)
        return err_set(e, ERR_INPUT, "%s: found %lld tokens, expected two at least", path,
                       (long long)(all->n - before));
    if (asprintf(&digest, "%s%s%s", c->digest ? c->digest : "", c->digest ? "," : "", hex) < 0)
        return err_nomem(e, "a digest", SHA256_HEX);
    free(c->digest);
    c->digest = digest;
    return true;
}

bool calibration_check_texts(const calibration_opts *o, err *e)
{
    for (int i = 0; i < o->n_texts; i++) {
        char *text = NULL;
        int64_t bytes;
        if (!texts_load(&text, &bytes, o->texts[i], e)) return false;
        free(text);
    }
    return true;
}

static bool compute(calibration *c, const model *m, const calibration_opts *o, err *e)
{
    token_list ids = { 0 };
    session *run = NULL;
    int64_t chunk = o->chunk > 0 ? o->chunk : DEFAULT_CHUNK;
    bool ok = true;
    for (int i = 0; ok && i < o->n_texts; i++) ok = add_text(c, &ids, m, o->texts[i], e);
    if (ok && o->max_tokens > 0 && ids.n > o->max_tokens) ids.n = o->max_tokens;
    if (ok && ids.n < DEFAULT_CHUNK)
        progress_logf(o->progress, "calibration: %lld token%s of text: too few to calibrate well, use at least %d",
                      (long long)ids.n, ids.n == 1 ? "" : "s", DEFAULT_CHUNK);
    if (ok && ids.n % chunk == 1) ids.n--;              // one token alone says nothing
    if (chunk > ids.n) chunk = ids.n;
    c->tokens = ids.n;
    ok = ok &&
         (ids.n >= 2 ||
          err_set(e, ERR_INPUT, "found %lld tokens to calibrate with, expected two at least", (long long)ids.n)) &&
         list_inputs(c, model_gguf(m), model_hparams(m)->n_layer, e) && open_file(c, o->dir, e);
    if (ok) {
        run = session_new(m,
                          &(session_opts){ .device = "cpu", .arith = "f32", .n_threads = o->n_threads, .n_ctx = chunk },
                          e);
        ok = run && session_observe(run, observe, c, e);
    }
    for (c->first = 0; ok && c->first < c->n_inputs; c->first = c->end) {
        c->end = end_of_pass(c, c->first, o->memory_bytes > 0 ? o->memory_bytes : DEFAULT_MEMORY_BYTES);
        progress_stage_of(o->progress, "calibrate", ids.n, "tokens");
        ok = run_pass(c, run, m, &ids, chunk, o->damping > 0 ? o->damping : DEFAULT_DAMPING, o->progress, e);
    }
    session_free(run);
    free(ids.v);
    if (ok) point_tensors(c, model_hparams(m)->n_layer);
    return ok;
}

// Takes m.
static calibration *calibrate_model(model *m, const calibration_opts *o, err *e)
{
    calibration *c = m ? calloc(1, sizeof *c) : NULL;
    if (m && !c) err_nomem(e, "a calibration", sizeof *c);
    if (c) c->n_threads = o->n_threads;
    const bool ok = c && (o->n_texts > 0 || err_set(e, ERR_USAGE, "a calibration needs a text")) && compute(c, m, o, e);
    model_close(m);
    if (ok) return c;
    calibration_free(c);
    return NULL;
}

calibration *calibration_compute(const char *source_gguf, const calibration_opts *o, err *e)
{
    return calibrate_model(model_open(source_gguf, e), o, e);
}

// ---- a checkpoint ---------------------------------------------------------------------------------------------------
// It is converted to a file in a folder of its own, which is gone as soon as the file is mapped. A lock on the folder
// says that its maker lives.

#define SOURCE_DIR_BEGINS  "hallmark-source-"
#define SOURCE_FILE        "source.gguf"

// Removes our file and its temporary form from the folder open as fd; how many there were.
static int empty_folder(int fd)
{
    DIR *d = fdopendir(dup(fd));
    int n = 0;
    for (struct dirent *f; d && (f = readdir(d)) != NULL;)
        if (strcmp(f->d_name, SOURCE_FILE) == 0 || is_partial_of(f->d_name, SOURCE_FILE))
            n += unlinkat(fd, f->d_name, 0) == 0;
    if (d) closedir(d);
    return n;
}

// What a killed run left in dir, as large as a model. A folder without a file may be one that was made this instant.
static void remove_leftovers(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *f; d && (f = readdir(d)) != NULL;) {
        struct stat st;
        if (strncmp(f->d_name, SOURCE_DIR_BEGINS, strlen(SOURCE_DIR_BEGINS)) != 0) continue;
        const int fd = openat(dirfd(d), f->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) continue;
        const bool dead = fstat(fd, &st) == 0 && st.st_uid == geteuid() && lock_try(fd) == LOCK_MINE
            && is_still(dirfd(d), f->d_name, fd);
        if (dead && empty_folder(fd) > 0)
            unlinkat(dirfd(d), f->d_name, AT_REMOVEDIR);
        close(fd);
    }
    if (d) closedir(d);
}

// The folder, locked: where a file system has no locks, no run takes another's folder for a leftover either. path: of
// the file in it; u: listed as unfinished.
static bool make_source_dir(char dir[4096], char path[4200], unfinished *u, err *e)
{
    unfinished_lock();
    const bool made = mkdtemp(dir) != NULL;
    const int why = errno, fd = made ? open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    *u = (unfinished){ .dir_fd = AT_FDCWD, .name = dir, .fd = fd, .folder = true };
    if (made) unfinished_add(u);
    unfinished_unlock();
    if (!made) return err_set(e, ERR_SYSTEM, "%s: cannot be made: %s", dir, strerror(why));
    if (fd >= 0) flock(fd, LOCK_EX);
    snprintf(path, 4200, "%s/" SOURCE_FILE, dir);
    return true;
}

static void remove_source_dir(const char *dir, const char *path, unfinished *u)
{
    unlink(path);                               // the mapping keeps it
    rmdir(dir);
    unfinished_lock();
    unfinished_drop(u);
    unfinished_unlock();
    if (u->fd >= 0) close(u->fd);
}

calibration *calibration_compute_hf(const char *hf_dir, const calibration_opts *o, err *e)
{
    char dir[4096], path[4200];
    file_type type;
    unfinished listed;
    model *m = NULL;
    if (!convert_exact_type(&type, hf_dir, o->n_threads, e)) return NULL;
    remove_leftovers(dir_of(o->dir));
    snprintf(dir, sizeof dir, "%s/" SOURCE_DIR_BEGINS "XXXXXX", dir_of(o->dir));
    if (!make_source_dir(dir, path, &listed, e)) return NULL;
    const convert_opts c = { .type = type, .n_threads = o->n_threads, .progress = o->progress };
    if (convert_checkpoint(hf_dir, path, &c, e)) m = model_open(path, e);
    remove_source_dir(dir, path, &listed);
    return calibrate_model(m, o, e);
}
