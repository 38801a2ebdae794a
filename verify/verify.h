// verify: does an artifact do what Transformers said? See README.md at the root, "What verification asks".
//
// One call runs an artifact against fixtures and gives a report. The parts are of use on their own: gate.h (the
// limits), tie.h (what the reference leaves open), distance.h (KL and log-probabilities), probe.h (which layer
// departs), compare.h (one fixture's counts and verdict, fed step by step). Those know no model: they see logits and
// ids only.
// What was looked at, held or not, is listed by checks.h. Reports are written by report_json.c, report_md.c,
// report_junit.c and report_html.c; a record in a file is a report too (record.h).
#ifndef HALLMARK_VERIFY_VERIFY_H
#define HALLMARK_VERIFY_VERIFY_H

#include "../formats/fixture.h"
#include "../formats/progress.h"
#include "../runtime/session.h"
#include "gate.h"
#include "trace.h"

// exact: every token equal but where the reference itself leaves it open, and a distance like the reference's own.
// drift: an artifact whose weights lost precision (quantized, F16) against the source model's fixture: a budget by
// type.
typedef enum { CHECK_EXACT, CHECK_DRIFT } check_kind;

enum {
    VERIFY_TOKENS       = 30,   // free-run length when none is asked for
    VERIFY_MAX_FAILURES = 100,  // failures kept for each fixture; all are counted
    VERIFY_MAX_WHY      = 12,   // reasons why a fixture cannot decide; more there are not
    LAYER_NONE          = -2,   // no probe departs, or none was looked at
    LAYER_EMBEDDING     = -1,
};

typedef struct {
    char        case_id[64];    // "" where no one case is to blame
    const char *what;           // static: "metadata", "type", "digest", "source", "record", "tokenizer", "kv", "arith",
                                // "finite", "free_run", "teacher_forced", "ties", "distance", "logprob", "drift",
                                // "seen" (of a server: too little to compare), "vocabulary" (of a server: ids of
                                // another model)
    int64_t     step;           // -1 where it does not apply
    int32_t     expected, got;  // -1 likewise
    double      margin;         // of the reference between its top two, NAN where it does not apply
    int         layer;          // first layer whose probe departs; LAYER_EMBEDDING, LAYER_NONE
    char        text[512];      // one sentence
} verify_failure;

typedef struct {                // why a fixture cannot decide, or not what was asked of it
    const char *what;           // static: "part", "minimum", "tokens", "reference", "ties"; of a part of the cases
                                // also "distance", "drift", "seen"
    char        text[400];      // one sentence, with what would do where something would
    int64_t     prompts, steps; // of the fixture's length, that would do, and their steps; 0: no number of them would
} verify_why;

typedef struct {                // what a fixture says of how it was made, and what it asks
    char    model[128], revision[65];       // the model's name or Hub id, and its commit; "" where it names none
    char    transformers[48], torch[48], device[64];
    char    attention[16], experts[16], linear_attention[16];    // implementations; "" where the model has no such part
    char    prompts[SHA256_HEX + 1];        // fixture_prompts_digest; "": a record written before all this was kept
    int64_t tokens;                         // of each case
} verify_reference;

typedef struct {
    char        name[128], file_digest[65], dtype[16];
    check_kind  kind;
    bool        ran;    // false: a failure before any run; the numbers below are then 0, the distances NAN
    int64_t     top_k;    // ids that the fixture holds of each step; 0: a record written before it was kept
    int64_t     cases_held;             // that the fixture holds, where fewer were asked; 0: all were
    int64_t     cases, free_run_equal;  // free_run_equal: cases whose first N greedy ids are all the reference's
    int64_t     free_run_ties;          // cases whose free run ended, without failing, at a tie
    // N x cases; of those, the ids equal before the first difference
    int64_t     free_run_tokens, free_run_tokens_equal;
    int64_t     steps, teacher_forced_equal;
    // steps that the reference leaves open; of those, where our id is another (and near the top)
    int64_t     ties, ties_differing;
    double      kl_mean, kl_max, logprob_diff_max;
    double      probe_worst;    // largest departure of any layer, relative (see probe.h); probe_layer says of which
    int         probe_layer;
    // the reference against itself; 0 where the fixture has no such runs
    double      self_kl_mean, self_logprob_diff_max;
    double      kl_limit, logprob_limit, ties_limit;        // what the gate allowed; NAN where it asks nothing of it
    double      free_run_ties_limit;    // cases whose free run may end at a tie; NAN in a drift check
    // drift: mean KL that rounding its weights once more costs (rounding.h); NAN: not measured
    double      rounding_kl_mean;
    int64_t     rounding_top1_equal;                        // and at how many steps the top id stayed
    double      top1_limit;    // drift: least teacher_forced_equal / steps; NAN in an exact check
    char        budget[16];    // drift: the type whose budget it answers to (held_type.h); "" in an exact check
    verify_reference reference;
    bool        passed;                 // no failure, and nothing in why[]
    int64_t     n_why;                  // the fixture cannot decide: inconclusive where there is no failure beside
    verify_why  why[VERIFY_MAX_WHY];
    int64_t     n_failures;             // kept in failures[]
    int64_t     failures_total;         // counted
    verify_failure *failures;           // [n_failures], freed by verify_report_free
    int64_t     n_traced;
    verify_case *traced;                // [n_traced] each case (trace.h); NULL: not kept, or read from a record alone
} verify_fixture_result;

typedef struct {                // are the tensors what the source gives, byte for byte (derivation.h)?
    bool    made;               // the question was asked
    bool    passed;
    int64_t tensors, encoded;   // compared; those of them that are blocks
    double  error_max;          // of those, the largest error (quant/derive.h); NAN where none is, or it did not pass
    char    error_tensor[128];  // whose it is; ""
    char    reason[512];        // why not; "" where it passed
} verify_derivation;

typedef struct {                // a file that an artifact was made with
    char kind[16];              // "imatrix", "calibration", "text", "artifact", "recipe"
    char name[128];             // its own name, without its folder
    char sha256[SHA256_HEX + 1];
} verify_input;

typedef struct {                // how an artifact was made, where that is not by its type alone (recipe.h)
    char    words[512];         // "q4_k_m, importance matrix imatrix.gguf, effort 1"; "": by its type alone
    int64_t n;
    verify_input *v;            // [n]; freed by verify_report_free
} verify_recipe;

typedef struct derivation_opts derivation_opts;

typedef struct {                // whose answers the report is about, where that is a server (remote.h)
    char    api[16];            // "" in the report of a file
    char    server[128], model[256];    // version and model as the server says them; "" where it does not
    bool    ids_seen;           // false: text was compared
    int64_t questions;          // that were answered
} verify_remote_info;

typedef struct {                // limits by content: what `gate` names
    char name[128];             // "built-in", or the file's name; "": a record written before it was kept
    char sha256[SHA256_HEX + 1];        // of the file, or of the built-in gate's text (gate_text)
    gate limits;
} verify_gate;

// each "" where nobody says
typedef struct { char repository[256], revision[65], digest[SHA256_HEX + 1]; } verify_source;

typedef struct { char version[32], commit[64]; } verify_program;       // formats/version.h; "": an older record

typedef struct {
    char     artifact[256], type[16], arith[8], kv_required[8], device[16];
    // the CPU's instructions that were used ("avx2"), or the GPU's name; "": an older record
    char     processor[128];
    char     kv[KV_TEXT];   // a cache in words, see runtime/kv_spec.h
    char     gate[SHA256_HEX + 1];      // "built-in", or the SHA-256 of the file that replaced the built-in limits
    // of the whole file, record and all, where a release or a check took it; never in a record
    char     file_sha256[SHA256_HEX + 1];
    verify_gate    judged_by;
    verify_source  source;      // of the weights, as the file says
    verify_program program;     // that made this report
    int64_t  file_bytes;
    float    attention_scale;
    bool     passed;
    // release: a fixture that this type answers to is missing, so it is not verified, whatever the others say
    bool     incomplete;
    int64_t  n_fixtures;
    verify_fixture_result *fixtures;
    verify_derivation derivation;
    verify_remote_info remote;
    verify_recipe recipe;       // of a release's artifact
    int64_t  n_notes;    // what was asked for and is unusual (another KV dtype, another arithmetic), what is not bound
    char   (*notes)[256];
} verify_report;

typedef struct {
    int64_t       tokens;       // free-run length; 0: VERIFY_TOKENS; never more than a fixture holds
    int64_t       samples;      // cases of each fixture that are run, evenly spread; fewer than it holds pass nothing.
                                // 0: all
    session_opts  run;          // n_ctx is chosen here
    const char   *gate_path;    // NULL: the built-in gate
    // the source, for a proof of every tensor before the fixtures are run; NULL: none is asked for
    const derivation_opts   *derive;
    const verify_derivation *derived;   // or that proof, made already; NULL: it was not
    progress     *progress;
} verify_opts;

// Runs every fixture; the artifact is only read. true: it ran, and r->passed is the verdict. false: it could not
// (ERR_INPUT, ERR_USAGE, ERR_SYSTEM); r then holds nothing. Freed by verify_report_free.
//
// Order: what the file says of itself (a contradiction is the verdict); whether each fixture is one of this artifact's;
// metadata against the fixture's config (a difference is the verdict, and no case is run); the tokenizer; then for each
// case a free run and a teacher-forced run.
//
// Whose fault it is: a fixture that says nothing of the artifact is an input that cannot be used, ERR_INPUT with both
// digests, before any work, and no verdict: it is of another source or of other weights (by digest; of a file that says
// no source by the architecture), or it was made in another arithmetic than the artifact's own and no --arith asks for
// that. A fixture that is this artifact's, and metadata, tokenizer or tokens that are not what it says, are the
// artifact's fault: a verdict. So is a KV dtype other than the required one, or an arithmetic other than the fixture's,
// where it was asked for. A fixture below the gate's minimum is run; alone that is inconclusive.
bool verify_artifact(verify_report *r, const char *path, const char *const *fixtures, int n_fixtures,
                     const verify_opts *o, err *e);
void verify_report_free(verify_report *r);

// The limits of a gate file, or the built-in ones (NULL), and into r what they are called: by the digest of their
// file's bytes, or of the built-in ones' text.
bool report_limits(verify_report *r, gate *limits, const char *path, err *e);

// Adds a note, once; it is cut where it is too long. false only when memory fails.
bool report_note(verify_report *r, err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// What it comes to, the first of these that applies:
//   "fail"          the tensors are not what the source gives, or a comparison with a fixture does not hold
//   "inconclusive"  none does not hold, but a fixture cannot decide: it is too short, its reference is too far from
//                   itself, or only a part of it was asked (why[]). What is so for any artifact makes it so, and of a
//                   part what all its cases together decide
//   "unverified"    a fixture that the artifact answers to is missing, or there is none
//   "pass"          all hold
const char *verify_verdict(const verify_report *r);
const char *verify_fixture_verdict(const verify_fixture_result *f);     // "pass", "inconclusive", "fail"
// What is said behind that of a part of a fixture's cases: ", 2 of 14 cases"; "" where all were asked.
enum { VERIFY_PART = 64 };
const char *verify_part_words(const verify_fixture_result *f, char to[VERIFY_PART]);
// Of a part of the cases each step was left out, because a rounding chooses its experts: there is no distance.
bool verify_distance_was_left_out(const verify_fixture_result *f);
// The worse of two verdicts, in that order.
const char *verify_worse(const char *a, const char *b);

// Reports by suffix: .json, .md, .html, .xml (JUnit). Texts are malloc'd; NULL when out of memory.
#define VERIFY_REPORT_SUFFIXES ".json, .md, .html or .xml"
cJSON *verify_report_json(const verify_report *r);                              // cJSON_Delete; NULL when out of memory
// The same without failures: what a record keeps of a report that has none; and read back from there. ERR_VERDICT names
// the first key that is not what a report holds. Freed by verify_report_free.
cJSON *verify_report_brief(const verify_report *r);
bool   verify_report_read(verify_report *r, const cJSON *brief, const char *where, err *e);
// Makes its numbers those that a record of it gives back: their text may differ from them in the last bit, and a page
// that rounds to three digits then in one of those.
bool   verify_report_settle(verify_report *r, err *e);
char  *verify_report_json_text(const verify_report *const *r, int n);    // one report as it is, several as a list
char  *verify_report_md(const verify_report *const *r, int n);
char  *verify_report_html(const verify_report *const *r, int n);                // report_html.h
char  *verify_report_junit(const verify_report *const *r, int n);
bool   verify_report_suffix_ok(const char *path);
// What no record holds is forgotten: the cases and steps of each fixture. Reports are then those that the file's record
// alone gives.
void   verify_report_forget_cases(verify_report *r);
bool   verify_report_write(const verify_report *const *r, int n, const char *path, err *e);

#endif
