// check_proof: what a check has looked at, for whoever says what that proves and what it does not.
#ifndef HALLMARK_RELEASE_CHECK_PROOF_H
#define HALLMARK_RELEASE_CHECK_PROOF_H

#include "../formats/folder_digest.h"

typedef struct {
    bool folder;                    // a folder with its reports; false: one file
    int  n_artifacts;               // GGUF files whose bytes fit their records
    int  n_fixtures;                // that were run again
    char undecided[768];            // "", or the first fixture that was run again and cannot decide, and why
    bool signature_there;           // there is a signature; it was looked at only where held_key is not ""
    char held_key[SHA256_HEX + 1];  // the hint of the key that it holds for; ""
    char curve[8];
    int  n_signed;                  // files that it names
    char signed_as[256];            // one file: its name there
    bool provenance;                // provenance.intoto.json was compared with the files, under the same key
    bool ignored[FOLDER_N_IGNORED]; // of FOLDER_IGNORED, what is there and is not signed
} check_proof;

#endif
