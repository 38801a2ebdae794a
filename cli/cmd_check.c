// hallmark check: prove again later, offline, what release said.
#include "cli.h"
#include "../release/release.h"
#include "progress_bar.h"
#include <stdlib.h>

typedef struct {
    text_list   fixtures, imatrix, calibrate;
    const char *device, *gate, *key, *sig, *from, *revision;
    int64_t     threads;
    bool        json;
} check_options;

static const opt options[] = {
    { "--from", NULL, OPT_PATH, offsetof(check_options, from), "HF",
      "the checkpoint, a folder or an id: tensors and metadata must be what it gives", false, 0, 0, NULL },
    OPT_REVISION(check_options),
    { "--imatrix", NULL, OPT_PATHS, offsetof(check_options, imatrix), "FILE",
      "with --from: an importance matrix that a file was made with (default: the one beside it)", false, 0, 0, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(check_options, calibrate), "TEXT",
      "with --from: a text that a file was calibrated with (default: those beside it)", false, 0, 0, NULL },
    { "--fixture", NULL, OPT_PATHS, offsetof(check_options, fixtures), "FIX", "run the comparison again, too", false, 0, 0, NULL },
    { "--key", NULL, OPT_PATH, offsetof(check_options, key), "PUBLIC.pem", "the public key that must have signed it", false, 0, 0, NULL },
    { "--sig", NULL, OPT_PATH, offsetof(check_options, sig), "FILE", "the signature (default: model.sig in the folder, or beside the file)", false, 0, 0, NULL },
    OPT_DEVICE(check_options),
    { "--gate", NULL, OPT_PATH, offsetof(check_options, gate), "FILE", "limits other than the built-in ones, as JSON", false, 0, 0, NULL },
    OPT_THREADS(check_options),
    OPT_JSON(check_options),
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

// One of the names on the command line: its verdict is said, and its exit status returned.
static int check_one(const char *path, const check_options *o, const char *from)
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
    const bool ok = check_artifact(path, &c, &e);
    progress_bar_end(&bar);
    // A file that cannot be read proves nothing; the status says which.
    const verdict v = { .artifact = path, .yes = "every claim holds", .no = "NOT proved",
                        .judged = ok || e.kind == ERR_VERDICT || e.kind == ERR_INPUT, .json = o->json,
                        .gate = held.name[0] ? held.name : NULL,
                        .gate_sha256 = held.sha256[0] ? held.sha256 : NULL, .claims = &claims, .proof = &proof };
    const int status = cli_verdict(&cmd_check, &v, &e);
    check_told_free(&claims);
    check_proof_free(&proof);
    return status;
}

// The worst status of all: what one of them lacks, the others do not make good.
static int check_all(const text_list *args, const check_options *o, const char *from)
{
    int worst = 0;
    for (int i = 0; i < args->n; i++) {
        const int status = check_one(args->v[i], o, from);
        if (status > worst) worst = status;
    }
    return worst;
}

static int run(const void *opts, const text_list *args)
{
    const check_options *o = opts;
    err   e = { 0 };
    char *from = NULL;
    bool  ok = belong_together(o, args, &e);
    ok = ok && (!o->from || (from = hf_folder(&cmd_check, o->from, o->revision, true, &e)) != NULL);
    const int status = ok ? check_all(args, o, from) : cli_fail(&cmd_check, &e);
    free(from);
    return status;
}

const command cmd_check = {
    .name = "check",
    .summary = "prove again, offline, what release said about a file or a folder",
    .synopsis = "FILE|DIR... [--key PUBLIC.pem] [--sig FILE] [--from HF] [--fixture FIX]",
    .about = "Recomputes every digest in the artifact and compares it with the verification record that release wrote.\n"
             "With --key it must be what the key's owner signed (release --sign, or the OpenSSF's model_signing): every file of a\n"
             "folder and no other, or one file alone. Without it the digests agree with each other, and who made them is not known.\n"
             "With --from each tensor is encoded again from the checkpoint, and each key of the metadata, tokenizer and chat template\n"
             "too, must be what convert would write from it. With --fixture it runs the comparison again, too.\n"
             "The last lines say what was proved, and what was not. Of several names each is said; the exit status is the worst.\n"
             "Exit status 1 names the first claim that does not hold.\n",
    .examples = "  hallmark check out/gemma-4-E2B-it-GGUF\n"
                "  hallmark check out/gemma-4-E2B-it-GGUF --key maker.pem\n"
                "  hallmark check gemma-4-E2B-it-Q4_K_M.gguf --key maker.pem --sig model.sig\n"
                "  hallmark check out/gemma-4-E2B-it-GGUF --from google/gemma-4-E2B-it\n"
                "  hallmark check gemma-4-E2B-it-BF16.gguf --fixture gemma.bfloat16.json.gz\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(check_options),
    .min_args = 1, .max_args = -1, .run = run,
};
