// release_job: one release at work, and its steps, which are in files of their own. For release*.c alone.
#ifndef HALLMARK_RELEASE_RELEASE_JOB_H
#define HALLMARK_RELEASE_RELEASE_JOB_H

#include "hub_publish.h"
#include "release.h"
#include "release_dir.h"
#include "release_old.h"
#include "release_outline.h"
#include "release_report.h"
#include "../formats/dir_list.h"
#include "../formats/signing_key.h"
#include "../measure/calibrate.h"
#include "../verify/gate.h"
#include "../verify/match.h"

typedef enum { TO_PUBLISH, TO_FAILED, TO_UNVERIFIED } outcome;

typedef struct {                // one artifact that is made
    const recipe *r;
    char         *label, *name; // "Q4_K_M", "tiny-Q4_K_M.gguf"
    verify_recipe said;         // what its report says of the recipe
} release_item;

typedef struct {                // a file that is published beside the artifacts
    char *from, *name;          // its path; its name in the folder
    char  sha256[SHA256_HEX + 1];
    bool  fixture;              // published only where an artifact answered to it
} release_beside;

typedef struct {
    const release_opts *o;
    release_result     *r;
    const char         *hf_dir;
    recipe             *plain;      // [n_items] of the types, where no recipes are given
    release_item       *items;      // [n_items]
    int                 n_items;
    release_beside     *beside;     // [n_beside]
    int                 n_beside;
    // [n_planned] what may be written beside artifacts and reports; digests of as many digits
    record_file        *planned;
    int                 n_planned;
    char               *dest[3];    // by outcome
    char               *name, *base;        // base: the path of the exact file that mixes are made from, or NULL
    source_id           source;
    char                revision[41];
    fixture_refs        fixtures;
    old_release         old;        // the release that is added to
    hub_source          hub;
    gate                limits;     // of o->gate_path
    dir_list            own;        // names in DIR that are the user's own
    release_dir         dir;
    signing_key        *key;        // NULL: nothing is signed
    calibration        *cal;        // the last one, of the texts of cal_of
    const recipe       *cal_of;
    bool                not_run;    // an artifact was refused before its fixtures were looked for
} release_job;

const char *release_gate_name(const release_opts *o);

// Adds a line to a list of lines, once.
bool release_say(char ***list, int *n, err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

// ---- release_plan.c: names, sizes -----------------------------------------------------------------------------------

// The places, then what the release is called. ERR_USAGE: what searches keep would lie in one of them.
bool release_place(release_job *x, const char *out_dir, err *e);
bool release_name(release_job *x, err *e);
// Every artifact's name and what its report says of its recipe. ERR_USAGE: two would have one name.
bool release_plan_items(release_job *x, err *e);
// Is it the name of an artifact that is made; of a file that is published beside (release_beside)? Capitals or not.
bool release_makes(const release_job *x, const char *name);
bool release_has_beside(const release_job *x, const char *name);
// What the folder may hold beside artifacts and reports: names, and as many digits as a digest has.
bool release_plan_files(release_job *x, err *e);
// The folder to work in, with room for all that is to come. ERR_USAGE: more than a record holds.
bool release_begin(release_job *x, err *e);

// ---- release_make.c -------------------------------------------------------------------------------------------------

// Makes item i at path, and compares it with the source tensor by tensor. ERR_INPUT, ERR_USAGE, ERR_SYSTEM.
bool release_make(release_job *x, int i, const char *path, verify_derivation *d, err *e);
// What its file will take, as far as that is known before; 0: it is not.
bool release_make_bytes(const release_job *x, int i, int64_t *bytes, err *e);
// How many weights the source has.
bool release_make_weights(const release_job *x, int64_t *n, err *e);
// Removes what was only needed to make them.
void release_make_end(release_job *x);
bool release_has_mix(const release_job *x);
#define RELEASE_BASE "mix-base.gguf"

// ---- release_fixtures.c ---------------------------------------------------------------------------------------------

// Those that were named, and those that are found. ERR_INPUT: one that was named is of another source, or fits nothing.
bool release_find_fixtures(release_job *x, err *e);
// Runs the fixtures that the artifact at path answers to.
bool release_verify(release_job *x, verify_report *v, const char *path, int i, const verify_derivation *derived,
                    err *e);
bool release_note_unused(release_job *x, err *e);
// Adds to the result the commands that make what artifact `name` lacks, which computes `in` ("f32"): a fixture from the
// source, from its own weights.
bool release_list_missing(release_job *x, const char *in, const char *name, const char *label, bool source,
                          bool weights, err *e);

// ---- release_fit.c --------------------------------------------------------------------------------------------------

// What there is to know of a recipe's file before it is made: of a finished one all; else no source, no weights, and
// arith "" where only the file that is made tells.
bool release_foresee(artifact_ref *a, const recipe *r, err *e);
// Will the file that was foreseen as a answer to f: no, perhaps (once its weights or its types are known), yes?
typedef enum { FIXTURE_UNUSED, FIXTURE_PERHAPS, FIXTURE_USED } fixture_use;
fixture_use release_use_of(const fixture_ref *f, const artifact_ref *a, const recipe *r, const source_id *source);
// Each fixture that was named may be answered to by an artifact that is made or stays. ERR_INPUT: what one holds, and
// what would fit.
bool release_fixtures_fit(const release_job *x, err *e);

// ---- release_beside.c -----------------------------------------------------------------------------------------------

// Lists the files of recipes and the fixtures, with their digests. ERR_INPUT: one cannot be read.
bool release_plan_beside(release_job *x, err *e);
// Copies what is published beside the artifacts, and lists it in the result. ERR_INPUT: a file changed meanwhile.
bool release_bring_beside(release_job *x, err *e);
// Where fixtures are not published: notes that name each that was used, with the command that makes it.
bool release_name_fixtures(release_job *x, err *e);
// Copies a file into dir, whole. digest: "" or the digest that it must have, is then the copy's.
bool release_copy(const char *from, const char *dir, const char *name, char digest[SHA256_HEX + 1], err *e);

// ---- release_add.c --------------------------------------------------------------------------------------------------

// Looks at the release in DIR that this one adds to. ERR_USAGE: it is another's name, gate, source, or signed.
bool release_add_begin(release_job *x, err *e);
// Which of its artifacts stay, now that the names of the new ones are known, and that they are what they were.
bool release_add_prove(release_job *x, err *e);
// Brings them into the folder that is published, in their old order, the new ones behind.
bool release_add_bring(release_job *x, err *e);
#define OR_REPLACE "; --replace makes a new release in its place"

// ---- release_kept.c -------------------------------------------------------------------------------------------------

// Where the release that is added to is signed: it holds under the key that signs again, and names every file there.
// ERR_VERDICT: another key, or a file that is changed or was never signed; ERR_INPUT: the signature cannot be read.
bool release_kept_signed(const release_job *x, err *e);
// ERR_USAGE where this release signs, and what stays of the one that is added to was never signed.
bool release_kept_vouched(const release_job *x, err *e);
// The same of the signature alone: it is there, and this key's. No file that it names is read.
bool release_kept_key(const release_job *x, err *e);
// The artifacts that stay are what the source gives, tensor by tensor and key by key; their digests go into their
// reports. ERR_VERDICT names what is not; ERR_USAGE: what one was made with is not there.
bool release_kept_derive(release_job *x, err *e);

// ---- release_carry.c ------------------------------------------------------------------------------------------------

// What the Hub wants of the source; base_model and quantized_by that are not given now are those of the release that is
// added to.
bool release_read_hub(release_job *x, err *e);
// Which of its other files stay, and that they are there, the same: before any work. ERR_VERDICT names one that is not.
bool release_carry_check(release_job *x, err *e);
// Brings those, once its artifacts are there; and its notes that still hold.
bool release_carry_files(release_job *x, err *e);
bool release_carry_notes(release_job *x, err *e);

// ---- release_steps.c ------------------------------------------------------------------------------------------------

// Writes what each step gave (verify/steps.h) and lists it in the result, whose reports then hold what that file does,
// so that check can write them again. Where there is too much of it, or nothing, they hold none.
bool release_steps_publish(release_job *x, err *e);

// ---- release_outline.c ----------------------------------------------------------------------------------------------

// Once all is planned: what would be made (release_outline.h).
bool release_outline_fill(release_outline *to, release_job *x, err *e);

// ---- release_own.c --------------------------------------------------------------------------------------------------

// What is in DIR that no release wrote: it stays as it is. ERR_USAGE: a file of this release has such a name, or the
// folder is to be signed and cannot be with that in it.
bool release_own_check(release_job *x, err *e);
// Brings those that are regular files into the folder that is published, before what the Hub wants is written and all
// is signed, and lists them in the result; all else is moved when it is published (release_dir.h).
bool release_own_bring(release_job *x, err *e);
// Removes DIR.failed and DIR.unverified of the same name once all that is in them is published in DIR; says what stays.
void release_drop_stale(release_job *x);

#endif
