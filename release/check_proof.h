// check_proof: what a check has looked at, for whoever says what that proves and what it does not.
#ifndef HALLMARK_RELEASE_CHECK_PROOF_H
#define HALLMARK_RELEASE_CHECK_PROOF_H

#include "../formats/dir_list.h"
#include "../formats/folder_digest.h"

typedef struct {                    // a GGUF file whose bytes fit its record
    char name[256];                 // without its folder
    bool lossy;                     // weights that lost precision answer to fixtures of both kinds, others to equality
    int  n_exact, n_drift;          // fixtures that were run again and hold, by kind
    char gate[SHA256_HEX + 1];      // the gate that its record was held to; "" the built-in one
    bool older_gate;                // its limits are built-in ones of an earlier program
    const char *lacks;              // what its record, being old, does not say (record_lacks); NULL
    bool measured, mixed;           // it says what caches cost it; and how its mix was found
    bool matrix, calibrated;        // it says that it was made with an importance matrix; with texts
    char revision[41], title[128];  // with a source: what it could not tell (source_keys_found)
    char open_keys[128];            // likewise, names of keys with ", " between them
    char own_type[256];             // likewise the first tensor whose type the maker chose; n_own_types of them
    long n_own_types;
} check_file_proof;

// Its lists are in the order of what was found, not sorted.
typedef struct {
    bool folder;                    // a folder with its reports; false: one file
    bool unusable;                  // something could not be read or used, so that nothing was found out
    check_file_proof *v;            // [n_artifacts]
    int  n_artifacts;
    int  n_fixtures;                // that were given, to be run again
    char undecided[768];            // "", or the first fixture that was run again and cannot decide, and why
    char undecided_by[128], undecided_what[16];     // its name; verify_why.what
    int64_t prompts_needed, steps_needed;           // likewise; 0: no number would do
    bool own_gate;                  // they were held to a gate that was given, too
    const char *from;               // the checkpoint that each artifact is what it gives of, tensors and keys; NULL
    dir_list published;             // paths of fixtures that records name and that lie beside the artifacts
    dir_list written;               // of a folder: files that were written again, and are the same
    char card_base[160], card_by[160];      // of a card compared with a source: its base_model, where the source's
                                            // folder does not tell the id; who quantized it; ""
    dir_list kept;                  // of a folder: files of the maker's own, whose digests its records name
    int  n_files;                   // of a folder: other files that its records name, and that are as they were
    dir_list others;                // of a folder: what is in it, and no record or report of it knows
    bool signature_there;           // there is a signature; that it holds was looked at only where held_key is not ""
    int  n_named;                   // of a folder without a key: files that its signature names, and that are here as
                                    // it says, whoever signed it
    dir_list own;                   // of a folder: what is the release's own there, artifacts and reports
    dir_list unnamed;               // likewise without a key: those that its signature, which names others, does not
    char not_ours[64];              // likewise: why none was compared, model_statement.not_ours; ""
    bool provenance_there;          // of a folder: so is provenance.intoto.json
    char held_key[SHA256_HEX + 1];  // the hint of the key that it holds for; ""
    char curve[8];
    int  n_signed;                  // files that it names
    char signed_as[256];            // one file: its name there
    bool bare;                      // likewise: it makes no claims of its own, and that it is signed is all
    bool provenance;                // provenance.intoto.json was compared with the files, under the same key
    bool ignored[FOLDER_N_IGNORED]; // of FOLDER_IGNORED, what is there and is not signed
    dir_list left_out;              // what else is there and is not signed, as the signature itself says
} check_proof;                      // zeroed or owned; check_proof_free

void check_proof_free(check_proof *p);

check_file_proof *check_proof_add(check_proof *p, const char *name);     // copies it; NULL when out of memory

#endif
