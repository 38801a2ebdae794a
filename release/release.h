// release: convert, prove each, record and publish a folder; check: prove again later, offline, what release said.
//
// Each artifact is made by a recipe (release_recipe.h), read back, and must be, tensor by tensor, what the checkpoint
// gives (derivation.h); one that is not is not even run. Then the fixtures.
//
// A release is <name>-<TYPE>.gguf for each type, report.json, report.md, report.html and junit.xml, the fixtures that
// artifacts answered to, the importance matrices and recipe files that they were made with, and what the Hub wants
// beside them: README.md, the source's licenses, .gitattributes, Modelfile, SHA256SUMS (hub_publish.h); where caches
// are measured (release_lab.h) also <name>-<TYPE>-lab.json, .md and .html. It is published whole, and only if every
// artifact passes:
//   pass        the folder is DIR
//   fail          a gate did not hold: everything is in DIR.failed
//   inconclusive  none failed, but a fixture cannot decide (verify.h): everything is in DIR.unverified
//   unverified    none of these, but a fixture is missing: everything is in DIR.unverified, and `missing` holds the
//   commands that make it
// Interrupted by a signal (Ctrl-C too) the program leaves nothing (cli/interrupt.h); killed, DIR.partial-<number>,
// never DIR; the next release to DIR removes what no living process holds. Once DIR is published, DIR.failed and
// DIR.unverified of the same name are removed where DIR has every artifact that is in them, with the same weights.
// A release of the same checkpoint that is in DIR is added to: its other artifacts stay, are copied and take a record
// that names all (release_add.c). Files of the user's own stay as they are, and are never written to.
// Only files of a published folder carry a verification record. An F32 or BF16 file answers to a fixture made from the
// source in its own arithmetic; any other type to two, one made from its own weights and one from the source (see
// match.h).
// Proved by tests/release_test.c and tests/release_add_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_H
#define HALLMARK_RELEASE_RELEASE_H

#include "check_proof.h"
#include "release_recipe.h"
#include "../verify/record.h"
#include "../verify/verify.h"
#include "../quant/policy.h"

typedef struct {
    // stem of published names; NULL: the model's name in a Hub cache path, else the folder's name
    const char       *name;
    const recipe     *recipes;      // how each artifact is made; NULL: by `types`
    int               n_recipes;
    const file_type  *types;        // NULL: bf16, f32, q4_k_m
    int               n_types;
    bool              replace;      // a release that is there is replaced, not added to
    bool              no_fixtures;  // name fixtures by digest, where they would be published
    const char *const *fixtures;    // beside those found: every *.json.gz in HF_DIR/fixtures and in HF_DIR
    int               n_fixtures;
    int               n_threads;    // 0: all cores
    int64_t           tokens;       // free-run length; 0: VERIFY_TOKENS
    const char       *device;       // NULL: auto
    const char       *gate_path;    // NULL: the built-in gate
    // ERR_USAGE, before any work, where a type's blocks do not fit some rows (quant/choice.h)
    bool              strict_types;
    bool              no_mtp;       // see convert/convert.h
    // hf_fixture.py, as the commands in `missing` shall name it; NULL: it is not known where that is
    const char       *fixture_script;
    // the source's id on the Hub; NULL: as its folder's path in a Hub cache says, if any
    const char       *base_model;
    const char       *quantized_by; // as the model card says it, or NULL
    const char       *sign_key;     // NULL, or the PEM file of the private key that signs what is published
    const char *const *command;     // [n_command] the command line for the provenance, without folders
    int               n_command;
    const char *const *lab;         // "category=path" or "path": texts that each artifact's caches are measured on,
    int               n_lab;        // where there are any, once all have passed
    const char *const *lab_kv;      // caches in words; none: those of release_lab.c that suit the model
    int               n_lab_kv;
    int64_t           lab_chunk;    // tokens of a chunk; 0: LAB_CHUNK
    const char       *state;        // where searches for mixes keep what they measure (measure/mix_state.h), or NULL
    progress         *progress;
} release_opts;

typedef struct {
    char *text;                     // its recipe as the command line takes it (recipe_text); NULL where it is kept
    bool  finished;                 // it was a finished file
    bool  kept;                     // it was in the release that was added to
} release_made;

typedef struct {
    verify_report *reports;         // [n], in the order of recipes; those of a release that was added to in its order
    int64_t       *file_bytes;      // [n]
    release_made  *made;            // [n]
    int            n;
    char           where[4096];     // the folder that holds everything now
    bool           published;
    char           signed_by[96];   // "P-256, <hint>" where it was signed, else ""
    // another release was in `where`; with opts.replace perhaps one that was published meanwhile
    bool           replaced;
    char          *left;            // NULL, or the folder that holds what could not be removed of it
    int            n_missing;
    char         **missing;         // [n_missing] shell commands, each making a fixture that an artifact lacks
    int            n_notes;
    char         **notes;           // [n_notes] sentences: fixtures that were found and not used
    int            n_told;
    char         **told;            // [n_told] sentences that no report holds: what became of the folders here
    int            n_files;
    record_file   *files;           // [n_files] beside artifacts and reports
} release_result;

// true: it ran; r->published says the verdict, r->where the folder (DIR, DIR.failed, DIR.unverified). false: nothing
// was left behind but what was there before. Before any work: ERR_USAGE, a folder is in the way, or more fixtures than
// a record has room for; ERR_INPUT, a fixture that was named belongs to another source; ERR_SYSTEM, no room for all
// artifacts together. ERR_INPUT, ERR_SYSTEM as convert and verify;
// of texts to measure caches on, as lab_plan_open, before any conversion.
bool release_checkpoint(release_result *r, const char *hf_dir, const char *out_dir, const release_opts *o, err *e);
void release_result_free(release_result *r);

typedef struct {                    // a gate that records name, other than the built-in one; "" where all name that
    char sha256[SHA256_HEX + 1];    // of the first artifact that was held to one
    char name[256];                 // the gate file's name, as the release tells it; "" where it does not
} check_gate;

typedef struct { char *artifact, *claim; } check_claim;

typedef struct {                    // what artifacts say of their caches (verify/measured.h), and nothing here proves
    check_claim *v;                 // [n]; freed by check_told_free
    int          n;
} check_told;

void check_told_free(check_told *c);

typedef struct {
    const char *const *fixtures;
    int         n_fixtures;
    int         n_threads;
    const char *device;             // NULL: auto
    const char *gate_path;          // NULL: the built-in gate
    progress   *progress;
    check_gate *gate;               // NULL, or filled in: what the records were held to
    const char *key_path;           // NULL, or the PEM file of the public key that must have signed it
    const char *sig_path;           // NULL: model.sig in the folder, or in the file's folder
    const char *from;               // NULL, or the folder of the checkpoint that each artifact must be what it gives of
    const char *const *imatrix;     // [n_imatrix] matrices that artifacts were made with, beside those that lie there
    int         n_imatrix;
    const char *const *calibrate;   // [n_calibrate] texts that they were calibrated with, likewise
    int         n_calibrate;
    check_proof *proof;             // NULL, or filled in: what was looked at; to be freed in any case
    check_told *claims;             // NULL, or filled in, to be freed in any case
} check_opts;

// Proves a file, or every .gguf in a folder: tensor digests, metadata digest, record; the four reports must be
// what the records give when they are written again, key by key and line by line. With fixtures a new run of those that
// each artifact answers to; with a key only what it signed; with a checkpoint only what that gives, tensors and keys
// (check_source.h, whose errors come with it). A folder that changes meanwhile is ERR_VERDICT, and so is a
// signature that does not hold; one that cannot be read is ERR_INPUT. ERR_VERDICT names the first claim that does not
// hold; a file without a record is ERR_VERDICT too, saying so, and what was measured of other tensors. A fixture that
// no artifact answers to is ERR_INPUT, with both digests; one that was run again and cannot decide is ERR_VERDICT once
// all else holds, and proof->undecided says why.
bool check_artifact(const char *path, const check_opts *o, err *e);

#endif
