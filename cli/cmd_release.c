// hallmark release: convert, verify each, record, publish the folder.
#define _GNU_SOURCE
#include "answer.h"
#include "command_words.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/place.h"
#include "../formats/sha256.h"
#include "../quant/effort.h"
#include "../release/release.h"
#include "outline_table.h"
#include "progress_bar.h"
#include "recipe_args.h"
#include "release_words.h"
#include "report_table.h"
#include "script.h"
#include "text_out.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    text_list   fixtures, lab, lab_kv, recipe_files, artifacts, calibrate;
    const char *out, *types, *imatrix, *name, *gate, *device, *revision, *sign, *base_model, *quantized_by,
               *state;
    int64_t     threads, tokens, lab_chunk;
    given_int   effort;
    bool        json, quiet, strict_types, no_mtp, no_fixtures, replace, dry_run;
} release_options;

static const opt options[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(release_options, out), "DIR",
      "the folder to publish; it appears whole or not at all", true, 0, 0, NULL },
    { "--types", NULL, OPT_TEXT, offsetof(release_options, types), "T,T,...",
      "types to publish, or recipes, as below (default: bf16,f32,q4_k_m)", false, 0, 0, NULL },
    { "--recipe", NULL, OPT_PATHS, offsetof(release_options, recipe_files), "FILE.json",
      "recipes in a file, which is published too", false, 0, 0, NULL },
    { "--artifact", NULL, OPT_PATHS, offsetof(release_options, artifacts), "FILE.gguf",
      "a finished file of this checkpoint, to be proved and published like the others", false, 0, 0, NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(release_options, imatrix), "FILE",
      "importance matrix of every quantized type that has none of its own", false, 0, 0, NULL },
    { "--effort", NULL, OPT_GIVEN_INT, offsetof(release_options, effort), "N",
      "the same of convert's --effort", false, 0, EFFORT_MAX, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(release_options, calibrate), "TEXT",
      "the same of convert's --calibrate", false, 0, 0, NULL },
    { "--replace", NULL, OPT_FLAG, offsetof(release_options, replace), NULL,
      "make a new release in the place of the one in DIR, where it would be added to", false, 0, 0, NULL },
    { "--dry-run", NULL, OPT_FLAG, offsetof(release_options, dry_run), NULL,
      "say what would be made, of what, how large and how long it runs, and write nothing", false, 0, 0, NULL },
    { "--fixture", NULL, OPT_PATHS, offsetof(release_options, fixtures), "FIX",
      "what Transformers said (default: the matching *.json.gz beside or in the folder)", false, 0, 0, NULL },
    { "--no-fixtures", NULL, OPT_FLAG, offsetof(release_options, no_fixtures), NULL,
      "name the fixtures by SHA-256, and do not publish them", false, 0, 0, NULL },
    { "--name", NULL, OPT_PATH, offsetof(release_options, name), "NAME",
      "stem of the published names (default: the folder's name)", false, 0, 0, NULL },
    { "--base-model", NULL, OPT_TEXT, offsetof(release_options, base_model), "ID",
      "the source's id on the Hub, for the model card (default: as its place in a Hub cache says)", false, 0, 0, NULL },
    { "--quantized-by", NULL, OPT_TEXT, offsetof(release_options, quantized_by), "NAME",
      "who publishes it, for the model card (default: it does not say)", false, 0, 0, NULL },
    { "--strict-types", NULL, OPT_FLAG, offsetof(release_options, strict_types), NULL,
      "refuse a type whose blocks some rows do not fit, where those tensors would take another", false, 0, 0, NULL },
    { "--no-mtp", NULL, OPT_FLAG, offsetof(release_options, no_mtp), NULL,
      "leave out the block that guesses the token after the next (Qwen 3.5), which nothing here runs",
      false, 0, 0, NULL },
    { "--tokens", NULL, OPT_INT, offsetof(release_options, tokens), "N",
      "length of the free run (default: 30)", false, 1, 1 << 20, NULL },
    OPT_DEVICE(release_options),
    { "--gate", NULL, OPT_PATH, offsetof(release_options, gate), "FILE",
      "limits other than the built-in ones, as JSON", false, 0, 0, NULL },
    { "--sign", NULL, OPT_PATH, offsetof(release_options, sign), "KEY.pem",
      "sign the published folder with this private key (P-256, P-384 or P-521)", false, 0, 0, NULL },
    { "--lab", NULL, OPT_PATHS, offsetof(release_options, lab), "CATEGORY=FILE",
      "measure on this text what caches cost each file, and write it into them", false, 0, 0, NULL },
    { "--lab-kv", NULL, OPT_PATHS, offsetof(release_options, lab_kv), "SPEC",
      "a cache for --lab (default: f16, and q8_0, q5_1, q4_0, rotated and not where heads allow)", false, 0, 0, NULL },
    { "--lab-chunk", NULL, OPT_INT, offsetof(release_options, lab_chunk), "N",
      "tokens of a chunk of --lab (default: 512)", false, 2, 1 << 26, NULL },
    { "--state", NULL, OPT_OUTPUT, offsetof(release_options, state), "DIR",
      "keep what searches for mixes measure there: one that was killed goes on", false, 0, 0, NULL },
    OPT_REVISION(release_options),
    OPT_THREADS(release_options),
    OPT_ANSWER(release_options),
};

typedef struct { recipe *v; int n; } recipe_set_of;     // none: the default types

// From all options that name something to make, in this order.
static bool take_recipes(recipe_set_of *to, const release_options *o, err *e)
{
    const recipe_defaults d = { .imatrix = o->imatrix, .calibrate = o->calibrate, .effort = o->effort };
    const bool any = o->types || o->recipe_files.n || o->artifacts.n;
    const bool defaults = o->imatrix || o->calibrate.n || o->effort.given;
    bool ok = !(o->types || (!any && defaults))
        || recipe_args_types(&to->v, &to->n, o->types ? o->types : "bf16,f32,q4_k_m", e);
    for (int i = 0; ok && i < o->recipe_files.n; i++) ok = recipe_file_read(&to->v, &to->n, o->recipe_files.v[i], e);
    for (int i = 0; ok && i < o->artifacts.n; i++) ok = recipe_args_artifact(&to->v, &to->n, o->artifacts.v[i], e);
    return ok && (!defaults || recipe_args_defaults(to->v, to->n, &d, e));
}

static bool check_state(const release_options *o, const recipe_set_of *recipes, err *e)
{
    bool mixes = false;
    for (int i = 0; i < recipes->n; i++) mixes |= recipes->v[i].kind == RECIPE_MIX;
    return !o->state || mixes
        || err_set(e, ERR_USAGE, "option --state does nothing: no artifact of this release is a mix");
}

// Of one artifact its report, which has the file's size; its SHA-256 is added where the release did not take it.
static cJSON *artifact_json(const release_result *r, int i, err *e)
{
    char digest[SHA256_HEX + 1];
    const verify_report *report = &r->reports[i];
    cJSON *j = verify_report_json(report);
    if (!j || report->file_sha256[0]) return j;
    char *path = path_join(r->where, report->artifact);
    const bool ok = path && sha256_file(path, digest, e) && cJSON_AddStringToObject(j, "sha256", digest);
    free(path);
    if (ok) return j;
    cJSON_Delete(j);
    return NULL;
}

static const char *verdict_of(const release_result *r)
{
    const char *worst = r->n > 0 ? "pass" : "unverified";
    for (int i = 0; i < r->n; i++) worst = verify_worse(worst, verify_verdict(&r->reports[i]));
    return worst;
}

static bool print_json(const release_result *r, const char *again, err *e)
{
    cJSON *j = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(j, "artifacts");
    cJSON_AddStringToObject(j, "verdict", verdict_of(r));
    cJSON_AddBoolToObject(j, "published", r->published);
    cJSON_AddStringToObject(j, "where", r->where);
    for (int i = 0; i < r->n; i++) {
        cJSON *one = artifact_json(r, i, e);
        if (one) cJSON_AddItemToArray(list, one);
    }
    bool ok = json_add_strings(j, "missing", (const char *const *)r->missing, r->n_missing)
        && json_add_strings(j, "notes", (const char *const *)r->notes, r->n_notes)
        && json_add_strings(j, "folders", (const char *const *)r->told, r->n_told);
    if (again[0]) cJSON_AddStringToObject(j, "publish_what_passed", again);
    if (r->signed_by[0]) cJSON_AddStringToObject(j, "signed_by", r->signed_by);
    ok = ok && record_files_add(j, r->files, r->n_files);
    char *text = ok ? json_print(j) : NULL;
    ok = text && cJSON_GetArraySize(list) == r->n;
    if (ok) fprintf(answer_document(), "%s\n", text);
    free(text);
    cJSON_Delete(j);
    return ok || err_nomem(e, "the report", 0);
}

static bool print_result(const release_result *r, const char *again, bool json, bool script_found, err *e)
{
    if (!again) return err_nomem(e, "a command", 0);
    if (json) return print_json(r, again, e);
    if (!report_table_print(r->reports, r->file_bytes, r->n)) return err_nomem(e, "the table", 0);
    for (int i = 0; i < r->n_notes; i++) print_line(stdout, "note: %s", r->notes[i]);
    for (int i = 0; i < r->n_files; i++) print_line(stdout, "file: %s", r->files[i].name);
    if (r->n_missing)
        printf("\nMissing: what Transformers says of this checkpoint. These commands make it, once for each model:\n");
    for (int i = 0; i < r->n_missing; i++) print_line(stdout, "    %s", r->missing[i]);
    if (r->n_missing && !script_found)
        printf("hf_fixture.py was not found where this program is installed: it is in the folder fixtures of "
               "hallmark's sources; say there where those are.\n");
    release_print_folders(r, again);
    putchar('\n');
    print_line(stdout, r->published ? "Published: %s" : "Not published. The artifacts and the report are in %s",
               r->where);
    if (r->signed_by[0])
        print_line(stdout, "Signed: model.sig and provenance.intoto.json, with the key %s", r->signed_by);
    return true;
}

// ---- where it goes --------------------------------------------------------------------------------------------------

static const char *const SUFFIXES[] = { "", ".failed", ".unverified" };
typedef struct { char *path[3]; } places;       // DIR and what stands beside it

static bool find_places(places *p, const char *out, err *e)
{
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/') n--;
    for (int i = 0; i < 3; i++) {
        destination d;
        if (asprintf(&p->path[i], "%.*s%s", (int)n, out, SUFFIXES[i]) < 0) {
            p->path[i] = NULL;
            return err_nomem(e, "a path", n);
        }
        if (!destination_folder(&d, p->path[i], e)) return false;
    }
    return true;
}

// Some of what was there is in the new folder.
static bool is_added_to(const release_result *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->made[i].kept) return true;
    return false;
}

static void note_replaced(const places *p, const release_result *r)
{
    destination d;
    err ignored = { 0 };
    const destination there = { .path = r->where, .replaces = true };
    if (r->replaced && !is_added_to(r)) destination_note_replaced(&cmd_release, &there);
    if (r->left)
        cli_note(&cmd_release, "%s holds what the release before this one left: there is a file that it did not write",
                 r->left);
    if (!r->published && destination_folder(&d, p->path[0], &ignored) && d.replaces)
        cli_note(&cmd_release, "%s still holds the release before this one", p->path[0]);
}

// Work goes on in a folder beside DIR, which is gone after a failure: a message that speaks of it means DIR.
static void name_the_destination(err *e, const char *dir)
{
    struct stat st;
    err shown = { 0 };
    err_set(&shown, ERR_USAGE, "%s", dir);          // as messages show it
    const size_t n = strlen(shown.msg), m = strlen(PARTIAL_INFIX);
    for (char *at = e->msg; (at = strstr(at, shown.msg)) != NULL; at += n) {
        char *number = at + n + m, *staged = NULL;
        const size_t digits = strncmp(at + n, PARTIAL_INFIX, m) == 0 ? strspn(number, "0123456789") : 0;
        if (digits == 0 || asprintf(&staged, "%s%s%.*s", dir, PARTIAL_INFIX, (int)digits, number) < 0) continue;
        if (lstat(staged, &st) != 0) memmove(at + n, number + digits, strlen(number + digits) + 1);
        free(staged);
    }
}

// 0: it is printed.
static int outline(const char *hf_dir, const char *out, const release_opts *o, err *e)
{
    release_outline to;
    const bool ok = release_outline_make(&to, hf_dir, out, o, e) && outline_print(&to, hf_dir, e);
    release_outline_free(&to);
    return !ok;
}

static int release(const char *hf_dir, const release_options *o, const recipe_set_of *recipes, const places *p,
                   const command_words *typed, const command_words *told)
{
    err e = { 0 };
    release_result r = { 0 };
    progress_bar bar;
    char *script = script_find();
    release_opts ro = {
        .name = o->name, .recipes = recipes->v, .n_recipes = recipes->n, .replace = o->replace,
        .no_fixtures = o->no_fixtures,
        .fixtures = o->fixtures.n ? o->fixtures.v : NULL, .n_fixtures = o->fixtures.n,
        .n_threads = (int)o->threads, .tokens = o->tokens, .device = o->device, .gate_path = o->gate,
        .base_model = o->base_model, .quantized_by = o->quantized_by,
        .sign_key = o->sign, .command = (const char *const *)told->v, .n_command = told->n,
        .strict_types = o->strict_types, .no_mtp = o->no_mtp, .fixture_script = script,
        .lab = o->lab.v, .n_lab = o->lab.n, .lab_kv = o->lab_kv.v, .n_lab_kv = o->lab_kv.n, .lab_chunk = o->lab_chunk,
        .state = o->state,
        .progress = progress_bar_begin(&bar),
    };
    if (o->dry_run) {
        const int status = outline(hf_dir, o->out, &ro, &e);
        progress_bar_end(&bar);
        free(script);
        return status ? cli_fail(&cmd_release, &e) : 0;
    }
    bool ok = release_checkpoint(&r, hf_dir, o->out, &ro, &e);
    progress_bar_end(&bar);
    if (!ok) name_the_destination(&e, p->path[0]);
    char *again = ok ? release_again(&r, typed) : NULL;
    ok = ok && print_result(&r, again, o->json, script != NULL, &e);
    if (ok) note_replaced(p, &r);
    const int status = !ok ? cli_fail(&cmd_release, &e) : r.published ? 0 : ERR_VERDICT;
    free(again);
    free(script);
    release_result_free(&r);
    return status;
}

static int run(const void *opts, const text_list *args)
{
    const release_options *o = opts;
    err e = { 0 };
    recipe_set_of recipes = { .n = 0 };
    places p = { .path = { NULL } };
    char *hf_dir = NULL;
    bool ok = o->lab.n > 0 || !(o->lab_kv.n || o->lab_chunk)
        || err_set(&e, ERR_USAGE, "option %s: found it without --lab, whose run it describes",
                   o->lab_kv.n ? "--lab-kv" : "--lab-chunk");
    ok = ok && take_recipes(&recipes, o, &e) && check_state(o, &recipes, &e);
    command_words typed = { 0 }, told = { 0 };
    ok = ok && command_words_of(&typed, &cmd_release, o, args, WORDS_AS_TYPED, &e)
        && command_words_of(&told, &cmd_release, o, args, WORDS_WITHOUT_FOLDERS, &e);
    ok = ok && find_places(&p, o->out, &e)
        && (hf_dir = hf_folder(&cmd_release, args->v[0], o->revision, true, &e)) != NULL;
    const int status = ok ? release(hf_dir, o, &recipes, &p, &typed, &told) : cli_fail(&cmd_release, &e);
    for (int i = 0; i < 3; i++) free(p.path[i]);
    free(hf_dir);
    recipes_free(recipes.v, recipes.n);
    command_words_free(&typed);
    command_words_free(&told);
    return status;
}

const command cmd_release = {
    .name = "release",
    .summary = "convert, verify each artifact, record the proof, publish the folder",
    .synopsis = "HF -o DIR [--types bf16,f32,q4_k_m] [--imatrix FILE] [--recipe FILE.json] [--artifact FILE.gguf]\n"
                "       [--fixture FIX] [--sign KEY.pem]",
    .about = "Converts the checkpoint to every type, runs each file against Transformers' outputs, writes the\n"
             "result into the file, and puts artifacts and reports in DIR. If one comparison does not hold, nothing\n"
             "is published: everything stays in DIR.failed and the exit status is 1. Without a matching fixture it\n"
             "stays in DIR.unverified, with the command that would make what is missing, and so where a fixture is\n"
             "too short to decide; the exit status is 1. A release of the checkpoint that is in DIR already is\n"
             "added to, in one step: types that are made again are replaced, the others stay; --replace makes a new\n"
             "one.\n"
             "A recipe is a type and what changes its blocks, each after a ':': imatrix=FILE, effort=N,\n"
             "calibrate=TEXT, tensor-type=PATTERN=TYPE, output-type=TYPE, embedding-type=TYPE, pure; name=LABEL\n"
             "names its file. mix:budget=SIZE:text=FILE (max-kl=X, samples=N, chunk=N, exact, imatrix=FILE) is a\n"
             "mix to order. ',' and ':' within a value are written '\\,' and '\\:'. FILE.json of --recipe:\n"
             "{\"hallmark_recipe\":1,\"recipes\":[{\"type\":\"q4_k_m\",\"imatrix\":\"imatrix.gguf\"}]}, with the\n"
             "same keys, \"mix\":true or \"artifact\":FILE for a type, and paths from its own folder.\n"
             "An --artifact takes the same keys (FILE.gguf:imatrix=FILE:calibrate=TEXT:name=LABEL). Its tensors are\n"
             "copied, its metadata are those that the checkpoint gives.\n"
             "With --sign the folder also holds model.sig, a signature over all its files in the format of OpenSSF\n"
             "Model Signing, and provenance.intoto.json, signed too: source, command, fixtures and results. These\n"
             "two differ from run to run.\n"
             "The folder is what the Hugging Face Hub wants (hf upload REPOSITORY DIR): README.md as a model card,\n"
             "the source's licenses, .gitattributes, SHA256SUMS, and a Modelfile for Ollama.\n"
             "With --lab each file that is published says what other caches cost it, measured on those texts; the\n"
             "whole figures are beside it (<name>-<TYPE>-lab.json, .md, .html), and README.md shows them.\n"
             "Of what is in DIR only files are removed that its report lists and that are as it lists them; all\n"
             "others stay. Once DIR is published, DIR.failed and DIR.unverified of the same name are removed if DIR\n"
             "has all that is in them. Interrupted, it leaves nothing; killed, DIR.partial-<number>, which the next\n"
             "release to DIR removes.\n",
    .examples = "  hallmark release ~/models/gemma-4-E2B-it -o out/gemma-4-E2B-it-GGUF\n"
                "  hallmark release fixtures/tiny-gemma4 -o build/release --types bf16,q4_k_m\n"
                "  hallmark release ~/models/gemma-4-E2B-it -o out/gemma-4-E2B-it-GGUF --types "
                "q6_k,q4_k_m:imatrix=imatrix.gguf\n"
                "  hallmark release ~/models/gemma-4-E2B-it -o out/gemma-4-E2B-it-GGUF --sign key.pem\n"
                "  hallmark release ~/models/gemma-4-E2B-it -o out/gemma-4-E2B-it-GGUF --lab coding=code.txt --lab "
                "chat=chat.txt\n",
    .opts = options,
    .n_opts = N_ROWS(options),
    .options_bytes = sizeof(release_options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
