// hallmark check: prove again later, offline, what release said.
#include "cli.h"
#include "../release/release.h"
#include "progress_bar.h"

typedef struct {
    text_list   fixtures;
    const char *device, *gate, *key, *sig;
    int64_t     threads;
    bool        json;
} check_options;

static const opt options[] = {
    { "--fixture", NULL, OPT_PATHS, offsetof(check_options, fixtures), "FIX", "run the comparison again, too", false, 0, 0, NULL },
    { "--key", NULL, OPT_PATH, offsetof(check_options, key), "PUBLIC.pem", "the public key that must have signed it", false, 0, 0, NULL },
    { "--sig", NULL, OPT_PATH, offsetof(check_options, sig), "FILE", "the signature (default: model.sig in the folder, or beside the file)", false, 0, 0, NULL },
    OPT_DEVICE(check_options),
    { "--gate", NULL, OPT_PATH, offsetof(check_options, gate), "FILE", "limits other than the built-in ones, as JSON", false, 0, 0, NULL },
    OPT_THREADS(check_options),
    OPT_JSON(check_options),
};

static int run(const void *opts, const text_list *args)
{
    const check_options *o = opts;
    err e = { 0 };
    if (o->sig && !o->key) {
        err_set(&e, ERR_USAGE, "option --sig: found it without --key, and a signature says nothing without the key");
        return cli_fail(&cmd_check, &e);
    }
    progress_bar bar;
    check_gate held;
    check_proof proof;
    check_told claims;
    check_opts c = {
        .fixtures = o->fixtures.n ? o->fixtures.v : NULL, .n_fixtures = o->fixtures.n,
        .n_threads = (int)o->threads, .device = o->device, .gate_path = o->gate, .progress = progress_bar_begin(&bar),
        .gate = &held, .key_path = o->key, .sig_path = o->sig, .proof = &proof, .claims = &claims,
    };
    bool ok = check_artifact(args->v[0], &c, &e);
    progress_bar_end(&bar);
    // A file that cannot be read proves nothing; the status says which.
    const verdict v = { .artifact = args->v[0], .yes = "every claim holds", .no = "NOT proved",
                        .judged = ok || e.kind == ERR_VERDICT || e.kind == ERR_INPUT, .json = o->json,
                        .gate = held.name[0] ? held.name : NULL,
                        .gate_sha256 = held.sha256[0] ? held.sha256 : NULL, .claims = &claims, .proof = &proof };
    const int status = cli_verdict(&cmd_check, &v, &e);
    check_told_free(&claims);
    return status;
}

const command cmd_check = {
    .name = "check",
    .summary = "prove again, offline, what release said about a file or a folder",
    .synopsis = "FILE|DIR [--key PUBLIC.pem] [--sig FILE] [--fixture FIX]",
    .about = "Recomputes every digest in the artifact and compares it with the verification record that release wrote.\n"
             "With --key it must be what the key's owner signed (release --sign, or the OpenSSF's model_signing): every file of a\n"
             "folder and no other, or one file alone. Without it the digests agree with each other, and who made them is not known.\n"
             "With --fixture it runs the comparison again, too. The last lines say what was proved, and what was not.\n"
             "Exit status 1 names the first claim that does not hold.\n",
    .examples = "  hallmark check out/gemma-4-E2B-it-GGUF\n"
                "  hallmark check out/gemma-4-E2B-it-GGUF --key maker.pem\n"
                "  hallmark check gemma-4-E2B-it-Q4_K_M.gguf --key maker.pem --sig model.sig\n"
                "  hallmark check gemma-4-E2B-it-BF16.gguf --fixture gemma.bfloat16.json.gz\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(check_options),
    .min_args = 1, .max_args = 1, .run = run,
};
