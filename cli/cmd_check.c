// hallmark check: prove again later, offline, what release said.
#include "answer.h"
#include "../release/release.h"
#include "progress_bar.h"
#include "text_out.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    text_list   fixtures, imatrix, calibrate;
    const char *device, *gate, *key, *sig, *from, *revision;
    int64_t     threads;
    bool        json, quiet;
} check_options;

static const opt options[] = {
    { "--from", NULL, OPT_PATH, offsetof(check_options, from), "HF",
      "the checkpoint, a folder or an id: tensors and metadata must be what it gives", false, 0, 0, NULL },
    OPT_REVISION(check_options),
    { "--imatrix", NULL, OPT_PATHS, offsetof(check_options, imatrix), "FILE",
      "with --from: an importance matrix that a file was made with (default: the one beside it)", false, 0, 0, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(check_options, calibrate), "TEXT",
      "with --from: a text that a file was calibrated with (default: those beside it)", false, 0, 0, NULL },
    { "--fixture", NULL, OPT_PATHS, offsetof(check_options, fixtures), "FIX",
      "run the comparison again, too", false, 0, 0, NULL },
    { "--key", NULL, OPT_PATH, offsetof(check_options, key), "PUBLIC.pem",
      "the public key that must have signed it", false, 0, 0, NULL },
    { "--sig", NULL, OPT_PATH, offsetof(check_options, sig), "FILE",
      "the signature (default: model.sig in the folder, or beside the file)", false, 0, 0, NULL },
    OPT_DEVICE(check_options),
    { "--gate", NULL, OPT_PATH, offsetof(check_options, gate), "FILE",
      "limits other than the built-in ones, as JSON", false, 0, 0, NULL },
    OPT_THREADS(check_options),
    OPT_ANSWER(check_options),
};

// Options that say something of another, which is not there.
static bool belong_together(const check_options *o, const text_list *args, err *e)
{
    if (o->sig && !o->key)
        return err_set(e, ERR_USAGE,
                       "option --sig: found it without --key, and a signature says nothing without the key");
    if (o->sig && args->n > 1)
        return err_set(e, ERR_USAGE, "option --sig: found it with %d names, expected one: a signature is of one folder",
                       args->n);
    if (o->from || !(o->imatrix.n || o->calibrate.n || o->revision)) return true;
    const char *name = o->imatrix.n ? "--imatrix" : o->calibrate.n ? "--calibrate" : "--revision";
    return err_set(e, ERR_USAGE, "option %s: found it without --from, expected a source that it belongs to", name);
}

typedef struct {                // what the names on the command line come to
    int         status;         // the worst: what one of them lacks, the others do not make good
    const char *verdict;        // likewise, "error" where one was not judged
    json_out   *list;           // NULL: each answers by itself
} worst_of_all;

static void keep_worst(worst_of_all *w, int status, const char *word)
{
    if (status > w->status) w->status = status;
    if (strcmp(w->verdict, "error") == 0) return;
    w->verdict = strcmp(word, "error") == 0 ? word : verify_worse(w->verdict, word);
}

// A file that cannot be read proves nothing, which a person is told so; in JSON it is an error, and no verdict. Of one
// that is not there nothing can be said.
static bool is_judged(const char *path, const check_options *o, const err *e)
{
    if (e->kind == ERR_INPUT && access(path, F_OK) != 0) return false;
    return e->kind == ERR_NONE || e->kind == ERR_VERDICT || (e->kind == ERR_INPUT && !o->json);
}

// One of the names on the command line: its verdict is said.
static void check_one(const char *path, const check_options *o, const char *from, worst_of_all *w)
{
    progress_bar bar;
    check_gate   held;
    check_proof  proof;
    check_told   claims;
    err          e = { 0 };
    const check_opts c = {
        .fixtures = o->fixtures.n ? o->fixtures.v : NULL, .n_fixtures = o->fixtures.n,
        .n_threads = (int)o->threads, .device = o->device, .gate_path = o->gate, .progress = progress_bar_begin(&bar),
        .gate = &held, .key_path = o->key, .sig_path = o->sig, .from = from, .imatrix = o->imatrix.v,
        .n_imatrix = o->imatrix.n, .calibrate = o->calibrate.v, .n_calibrate = o->calibrate.n,
        .proof = &proof, .claims = &claims,
    };
    check_artifact(path, &c, &e);
    progress_bar_end(&bar);
    const char *yes = proof.bare ? "is the file that was signed; it makes no claims of its own" : "every claim holds";
    const verdict v = { .artifact = path, .yes = yes, .no = "NOT proved",
                        .judged = is_judged(path, o, &e), .json = o->json, .list = w->list,
                        .gate = held.name[0] ? held.name : NULL,
                        .gate_sha256 = held.sha256[0] ? held.sha256 : NULL, .claims = &claims, .proof = &proof };
    const int status = cli_verdict(&cmd_check, &v, &e);
    keep_worst(w, status, cli_verdict_word(&v, &e));
    check_told_free(&claims);
    check_proof_free(&proof);
}

static int check_all(const text_list *args, const check_options *o, const char *from)
{
    worst_of_all w = { .verdict = "pass" };
    for (int i = 0; i < args->n; i++) check_one(args->v[i], o, from, &w);
    return w.status;
}

static void check_into(json_out *j, const text_list *args, const check_options *o, const char *from, worst_of_all *w)
{
    json_open(j, '{');
    json_key_open(j, "artifacts", '[');
    for (int i = 0; i < args->n; i++) check_one(args->v[i], o, from, w);
    json_close(j, ']');
    json_key_cstr(j, "verdict", w->verdict);
    json_close(j, '}');
}

// Of several names {"artifacts": [...], "verdict": the worst}, printed when all are done: what ends the program before
// that has a document of its own.
static int check_all_json(const text_list *args, const check_options *o, const char *from)
{
    err    e = { 0 };
    char  *text = NULL;
    size_t n = 0;
    FILE  *f = open_memstream(&text, &n);
    json_out j;
    worst_of_all w = { .verdict = "pass", .list = &j };
    json_begin(&j, f);
    if (f) check_into(&j, args, o, from, &w);
    const bool ok = f && fclose(f) == 0;
    if (ok) fputs(text, answer_document());
    else    err_nomem(&e, "the answer", n);
    free(text);
    return ok ? w.status : cli_fail(&cmd_check, &e);
}

static int run(const void *opts, const text_list *args)
{
    const check_options *o = opts;
    err   e = { 0 };
    char *from = NULL;
    bool  ok = belong_together(o, args, &e);
    ok = ok && (!o->from || (from = hf_folder(&cmd_check, o->from, o->revision, true, &e)) != NULL);
    const int status = !ok ? cli_fail(&cmd_check, &e)
        : (o->json && args->n > 1 ? check_all_json : check_all)(args, o, from);
    free(from);
    return status;
}

const command cmd_check = {
    .name = "check",
    .summary = "prove again, offline, what release said about a file or a folder",
    .synopsis = "FILE|DIR... [--key PUBLIC.pem] [--sig FILE] [--from HF] [--fixture FIX]",
    .about = "Recomputes every digest in the artifact and compares it with the verification record that release\n"
             "wrote.\n"
             "With --key it must be what the key's owner signed (release --sign, or the OpenSSF's model_signing):\n"
             "every file of a folder and no other, or one file alone. Without it the digests agree with each other,\n"
             "a folder's model.sig names these files with these digests, and who made them is not known. With\n"
             "--from each tensor is encoded again from the checkpoint, and each key of the metadata, tokenizer and\n"
             "chat template too, must be what convert would write from it. With --fixture it runs the comparison\n"
             "again, too.\n"
             "The last lines say what was proved, and what was not. Of several names each is said; the exit status\n"
             "is the worst. Exit status 1 names the first claim that does not hold.\n",
    .examples = "  hallmark check out/gemma-4-E2B-it-GGUF\n"
                "  hallmark check out/gemma-4-E2B-it-GGUF --key maker.pem\n"
                "  hallmark check gemma-4-E2B-it-Q4_K_M.gguf --key maker.pem --sig model.sig\n"
                "  hallmark check out/gemma-4-E2B-it-GGUF --from google/gemma-4-E2B-it\n"
                "  hallmark check gemma-4-E2B-it-BF16.gguf --fixture gemma.bfloat16.json.gz\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(check_options),
    .min_args = 1, .max_args = -1, .run = run,
};
