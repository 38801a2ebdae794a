// hallmark inspect: what a file or a folder says about itself.
#include "cli.h"
#include "inspect.h"
#include "../formats/file_kind.h"
#include "../formats/file_map.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *revision, *memory, *kv;
    given_int   ctx;
    bool        json, quiet, program, plan;
} inspect_options;

static const opt options[] = {
    OPT_REVISION(inspect_options),
    { "--program", NULL, OPT_FLAG, offsetof(inspect_options, program), NULL,
      "the forward pass of a GGUF file, as the list of operations that is run",
      false, 0, 0, NULL },
    { "--plan", NULL, OPT_FLAG, offsetof(inspect_options, plan), NULL,
      "what the model costs: parameters, bytes of each type, caches and states; from a config.json alone, too",
      false, 0, 0, NULL },
    { "--memory", NULL, OPT_TEXT, offsetof(inspect_options, memory), "SIZE",
      "with --plan: which types and contexts fit, as 24GiB", false, 0, 0, NULL },
    { "--ctx", NULL, OPT_GIVEN_INT, offsetof(inspect_options, ctx), "N",
      "with --plan: this many positions (default: 4096 to 262144, as far as trained)",
      false, 1, (int64_t)1 << 40, NULL },
    { "--kv", NULL, OPT_TEXT, offsetof(inspect_options, kv), "SPEC",
      "with --plan or --program: the KV cache, as q8_0, q4_0:rot or kivi2:g32:r128+sink4 (default: bf16)", false, 0, 0,
      NULL },
    OPT_ANSWER(inspect_options),
};

// By content: a name proves nothing. GGUF and gzip have a magic; safetensors opens with a header length and '{'.
static bool inspect_file(const char *path, bool json, err *e)
{
    file_map m = { 0 };
    if (!file_map_open(&m, path, e)) return false;
    bool is_gguf = m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    bool is_gzip = m.size >= 2 && m.data[0] == 0x1f && m.data[1] == 0x8b;
    bool is_st = m.size >= 9 && m.data[8] == '{';
    const char *kind = m.size ? file_kind(m.data, m.size) : "an empty file";
    file_map_close(&m);
    if (is_gguf) return inspect_gguf(path, json, e);
    if (is_gzip) return inspect_fixture(path, json, e);
    if (is_st) return inspect_safetensors(path, json, e);
    return err_set(e, ERR_INPUT,
                   "%s: offset 0: found %s, expected a GGUF file, a safetensors file or a fixture (.json.gz)", path,
                   kind ? kind : "none of the known beginnings");
}

static bool check_options(const inspect_options *o, err *e)
{
    if (o->plan && o->program) return err_set(e, ERR_USAGE, "--plan and --program exclude each other");
    if (!o->plan && (o->memory || o->ctx.given))
        return err_set(e, ERR_USAGE, "--memory, --ctx and --kv belong to --plan");
    if (o->plan || o->program || !o->kv) return true;
    return err_set(e, ERR_USAGE, "--kv belongs to --plan or --program");
}

static bool inspect(const char *path, const inspect_options *o, err *e)
{
    const inspect_plan_opts plan = { .memory = o->memory, .kv = o->kv, .n_ctx = o->ctx.v, .json = o->json };
    if (o->plan)    return inspect_plan(path, &plan, e);
    if (o->program) return inspect_program(path, o->kv, o->json, e);
    return dir_exists(path) ? inspect_folder(path, o->json, e) : inspect_file(path, o->json, e);
}

static int run(const void *opts, const text_list *args)
{
    const inspect_options *o = opts;
    err e = { 0 };
    char *path = check_options(o, &e) ? hf_path(&cmd_inspect, args->v[0], o->revision, &e) : NULL;
    const bool ok = path && inspect(path, o, &e);
    free(path);
    return ok ? 0 : cli_fail(&cmd_inspect, &e);
}

const command cmd_inspect = {
    .name = "inspect",
    .summary = "what a file or a folder says: metadata, tensors, KV cache plan, claims",
    .synopsis = "FILE|DIR|HF [--program [--kv SPEC] | --plan [--memory SIZE] [--ctx N] [--kv SPEC]] [--json]",
    .about = "Shows a GGUF file, a Hugging Face folder (config.json alone is enough for the KV cache plan, with\n"
             "what sharing between layers saves), a safetensors file, or a fixture; of a folder of GGUF files, such\n"
             "as a release, a line for each. Nothing is run. A model that could not be run is shown too; then a\n"
             "message says why, and the exit status is 3. JSON keys: kv (object), tensors (array of name, type,\n"
             "shape, offset, bytes; the slowest dimension first), memory, assumed (keys that the file leaves out,\n"
             "with what they are taken for), problem (why it could not be run, or null); of a folder of GGUF files\n"
             "artifacts; with --program buffers (floats of a token) and operations (--kv: with the rotations that\n"
             "such a cache takes). --plan reads no weights: the tensors that convert would write of a config.json\n"
             "(or those of a GGUF file) in each type, by the same choice; JSON keys: architecture, parameters,\n"
             "layers, trained_positions, header_bytes, kv_spec, memory (of each number of positions), types,\n"
             "memory_limit.\n",
    .examples = "  hallmark inspect gemma-Q4_K_M.gguf\n"
                "  hallmark inspect out/gemma-4-E2B-it-GGUF\n"
                "  hallmark inspect ~/models/gemma-4-E2B-it\n"
                "  hallmark inspect gemma-Q4_K_M.gguf --program\n"
                "  hallmark inspect fixtures/configs/gemma-4-26b-a4b/config.json --plan --memory 24GiB\n"
                "  hallmark inspect gemma-BF16.gguf --json > gemma.json\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(inspect_options),
    .min_args = 1, .max_args = 1, .run = run,
};
