// hallmark check: prove again later, offline, what release said.
#include "cli.h"
#include "../verify/release.h"
#include "progress_bar.h"
#include "text_out.h"
#include <string.h>

typedef struct {
    text_list   fixtures;
    const char *device, *gate;
    int64_t     threads;
    bool        json;
} check_options;

static const opt options[] = {
    { "--fixture", NULL, OPT_PATHS, offsetof(check_options, fixtures), "FIX", "run the comparison again, too", false, 0, 0, NULL },
    OPT_DEVICE(check_options),
    { "--gate", NULL, OPT_PATH, offsetof(check_options, gate), "FILE", "limits other than the built-in ones, as JSON", false, 0, 0, NULL },
    OPT_THREADS(check_options),
    OPT_JSON(check_options),
};

static int run(const void *opts, const text_list *args)
{
    const check_options *o = opts;
    err e = { 0 };
    progress_bar bar;
    check_opts c = {
        .fixtures = o->fixtures.n ? o->fixtures.v : NULL, .n_fixtures = o->fixtures.n,
        .n_threads = (int)o->threads, .device = o->device, .gate_path = o->gate, .progress = progress_bar_begin(&bar),
    };
    bool ok = check_artifact(args->v[0], &c, &e);
    progress_bar_end(&bar);
    bool verdict = ok || e.kind == ERR_VERDICT || e.kind == ERR_INPUT;      // a file that cannot be read proves nothing, and the status says which
    if (verdict && o->json) {
        json_out j;
        json_begin(&j, stdout);
        json_open(&j, '{');
        json_key(&j, "artifact");
        json_cstr(&j, args->v[0]);
        json_key(&j, "verdict");
        json_cstr(&j, ok ? "pass" : "fail");
        json_key(&j, "reason");
        json_cstr(&j, ok ? NULL : e.msg);
        json_close(&j, '}');
    } else if (verdict) {
        print_escaped(stdout, args->v[0], (int64_t)strlen(args->v[0]));
        printf(": %s\n", ok ? "every claim holds" : "NOT proved");
    }
    return ok ? 0 : cli_fail(&cmd_check, &e);
}

const command cmd_check = {
    .name = "check",
    .summary = "prove again, offline, what release said about a file or a folder",
    .synopsis = "FILE|DIR [--fixture FIX]",
    .about = "Recomputes every digest in the artifact and compares it with the verification record that release wrote.\n"
             "With --fixture it runs the comparison again, too. Exit status 1 names the first claim that does not hold.\n",
    .examples = "  hallmark check out/gemma-4-E2B-it-GGUF\n"
                "  hallmark check gemma-4-E2B-it-BF16.gguf --fixture gemma.bfloat16.json.gz\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(check_options),
    .min_args = 1, .max_args = 1, .run = run,
};
