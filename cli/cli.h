// cli: what main and the commands share: the command table's row, options as a table, messages, exit statuses.
//
// A command is one file cmd_<name>.c with one row, `const command cmd_<name>`. main parses the command line into the
// command's own options struct by the command's option table, then calls run. run returns the exit status:
// 0 done or passed, 1 the verdict is no, 2 usage, 3 an input file is unusable, 4 the system failed.
// Results go to standard output, everything else to standard error; --json and --quiet: answer.h.
#ifndef HALLMARK_CLI_CLI_H
#define HALLMARK_CLI_CLI_H

#include "../formats/err.h"
#include "../formats/progress.h"
#include "../quant/policy.h"
#include "../release/release.h"
#include "../runtime/session.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {            // values of a repeated option, or the arguments that are not options
    const char **v;         // [n], borrowed from argv; the array is freed by options_free
    int          n;
} text_list;

typedef struct {            // a number whose absence means something else than 0
    int64_t v;
    bool    given;
} given_int;

typedef enum {              // kind: type of the field that it fills
    OPT_FLAG,               // bool
    OPT_TEXT,               // const char *, any text
    OPT_PATH,               // const char *, not empty
    OPT_OUTPUT,             // const char *, the name of a file or folder to write: not empty, and not "-"
    OPT_PATHS,              // text_list, may be repeated
    OPT_INT,                // int64_t in lo..hi
    OPT_GIVEN_INT,          // given_int, v in lo..hi
    OPT_CHOICE,             // const char *, one of choices
} opt_kind;

typedef struct {
    const char        *name;        // "--type"
    const char        *letter;      // "-o", or NULL
    opt_kind           kind;
    size_t             offset;      // of the field in the command's options struct
    const char        *arg;         // what the help calls the value
    const char        *help;
    bool               required;
    int64_t            lo, hi;      // OPT_INT, OPT_GIVEN_INT
    const char *const *choices;     // OPT_CHOICE, ended by NULL
} opt;

typedef struct {
    const char *name;
    const char *summary;            // one line for `hallmark --help`
    const char *synopsis;           // what follows "hallmark <name> "
    const char *about;              // paragraphs
    const char *examples;
    const opt  *opts;
    int         n_opts;
    size_t      options_bytes;      // of the options struct; it starts zeroed
    int         min_args, max_args; // arguments that are not options; max_args -1: any number
    const char *const *words;       // what such an argument may be, ended by NULL; NULL: a file, a folder or an id
    int       (*run)(const void *options, const text_list *args);
} command;

extern const command cmd_convert, cmd_quantize, cmd_verify, cmd_run, cmd_bench, cmd_inspect, cmd_release, cmd_check,
cmd_derive, cmd_imatrix, cmd_lab, cmd_completion, cmd_manual;

#define N_ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

// ---- command_table.c ------------------------------------------------------------------------------------------------

extern const command *const command_table[];    // [n_commands], in the order of the help
extern const int  n_commands;
extern const char program_about[];              // one sentence
extern const char exit_statuses[];              // "Exit status: 0 ...; 1 ...; ...", lines
const command *command_find(const char *name);  // NULL: there is none of that name

// ---- options.c ------------------------------------------------------------------------------------------------------

// Parses argv[0..argc) into `options` (c->options_bytes, zeroed) and args. "--" ends the options. ERR_USAGE names the
// option, the value found, what was expected, and the nearest name. *help is set when --help was asked for; nothing is
// checked further then.
// The caller calls options_free in every case.
bool options_parse(const command *c, int argc, char **argv, void *options, text_list *args, bool *help, err *e);
void options_free(const command *c, void *options, text_list *args);

// The name among names[n] that is nearest to `word` by edit distance, or NULL if none is near enough for a slip of the
// finger: --temp is not --help.
const char *nearest_name(const char *word, const char *const *names, int n);

// The same for names of types, in which neither case nor '_' counts: q4km is q4_k_m. At most 64 names are looked at.
const char *nearest_type(const char *word, const char *const *names, int n);

// A type of others that hallmark does not write, however it is spelled; NULL: nobody's.
struct foreign_type;
const struct foreign_type *foreign_type_said(const char *name);

// A file type by its name on the command line; NULL with ERR_USAGE naming the nearest, or saying whose it is.
const file_type_info *file_type_arg(const char *name, err *e);

// Choices that several commands share.
extern const char *const arith_choices[], *const device_choices[];

#define OPT_THREADS(type)  { "--threads", "-t", OPT_INT, offsetof(type, threads), "N",                                \
      "threads (default: all cores); the results are the same for any number", false, 1, 1024, NULL }
#define OPT_KV(type)       { "--kv", NULL, OPT_TEXT, offsetof(type, kv), "SPEC",                                      \
      "KV cache: q8_0, k=q8_0,v=q4_0, q4_0:rot, kivi2, q4_0+sink4+recent64, full:bf16;*:q4_0 "                        \
      "(default: what is required)", false, 0, 0, NULL }
#define OPT_ARITH(type)    { "--arith", NULL, OPT_CHOICE, offsetof(type, arith), "A",                                 \
      "arithmetic: f32 or bf16 (default: bf16 for a BF16 file, f32 for all others)", false, 0, 0, arith_choices }
#define OPT_DEVICE(type)   { "--device", NULL, OPT_CHOICE, offsetof(type, device), "D",                               \
      "auto, cpu or cuda (default: auto)", false, 0, 0, device_choices }
#define OPT_REVISION(type) { "--revision", NULL, OPT_PATH, offsetof(type, revision), "REV",                           \
      "branch, tag or commit of an id in the Hub cache (default: main)", false, 0, 0, NULL }
// Every command has both.
#define OPT_ANSWER(type)   OPT_JSON(type), OPT_QUIET(type)
#define OPT_QUIET(type)    { "--quiet", "-q", OPT_FLAG, offsetof(type, quiet), NULL,                                  \
      "on standard error errors alone: no progress, no notes", false, 0, 0, NULL }
#define OPT_JSON(type)     { "--json", NULL, OPT_FLAG, offsetof(type, json), NULL,                                    \
      "print one JSON document and nothing else on standard output, on errors too", false, 0, 0, NULL }

// ---- destination.c --------------------------------------------------------------------------------------------------

typedef struct {
    const char *path;
    bool        replaces;           // something was there when the command began
} destination;

// Before any work: the place can be written to (formats/outfile.h says what ERR_USAGE and ERR_SYSTEM mean there).
bool destination_file(destination *out, const char *path, err *e);
// ERR_USAGE where path is one of the command's own inputs, by whatever link: it would be replaced. path, file and list
// may be NULL.
bool output_is_no_input(const char *path, const char *file, const text_list *list, err *e);
bool destination_folder(destination *out, const char *path, err *e);      // replaces: it holds something

// It is written: "<path>  <label>  <size>" to standard output (NULL label: the path alone), or with --json a document;
// and to standard error that it replaced another.
void destination_done(const command *c, const destination *out, const char *label);
// The members of such a document, for one that has others, too: file, type (the label, where there is one), bytes,
// replaced.
struct json_out;
void destination_members(struct json_out *j, const destination *out, const char *label);
void destination_note_replaced(const command *c, const destination *out);     // the second half alone

// ---- hf_arg.c -------------------------------------------------------------------------------------------------------

// Where an HF argument's files are: arg itself where there is something of that name, else the snapshot of the id in
// the Hub cache (a note says which). malloc'd; NULL with the error of formats/hub_cache.h. revision: of --revision, or
// NULL.
char *hf_path(const command *c, const char *arg, const char *revision, err *e);
// The same, and it is a folder with a checkpoint: the error of formats/checkpoint.h otherwise.
char *hf_folder(const command *c, const char *arg, const char *revision, bool with_weights, err *e);
// A source that an artifact may have been made from: a GGUF file as it is, else as hf_folder.
char *hf_source(const command *c, const char *arg, const char *revision, err *e);

// ---- verdict.c ------------------------------------------------------------------------------------------------------

// What check and derive answer: as JSON (artifact, source where there is one, verdict, reason), or as "<artifact>:
// <text>" and the error. judged: there is a verdict, not a failure to reach one. Returns the exit status.
// gate, gate_sha256: of limits other than the built-in ones, NULL where there are none: a note, and "gate" with name
// and sha256 in JSON.
// proof: what check looked at, NULL elsewhere: the last lines say what that proves, see check_words.h.
// claims: what artifacts say that was not proved, said beside a verdict of yes; NULL: nothing.
typedef struct {
    const char *artifact, *source, *yes, *no;
    bool        judged, json;
    const char *gate, *gate_sha256;
    const check_proof *proof;
    const check_told *claims;
    struct json_out  *list;     // of a document of several answers, which this one is put into; NULL: it has its own
} verdict;
// "pass", "fail", "inconclusive" (every claim holds, and a fixture that was run again cannot decide), or "error".
const char *cli_verdict_word(const verdict *v, const err *e);
int cli_verdict(const command *c, const verdict *v, const err *e);

// ---- main.c ---------------------------------------------------------------------------------------------------------

// Prints "hallmark <command>: <message>" to standard error, with --json the error's document unless another has begun,
// and returns the exit status of e.
int cli_fail(const command *c, const err *e);
// The same without a document: for an error that stands in one with others.
int cli_tell(const command *c, const err *e);

// One line to standard error: "hallmark <command>: note: ..."; with --quiet nothing.
void cli_note(const command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
