// added_tokens: the tokens that Transformers adds to a vocabulary, each with the id that it gives it.
//
// A token that the vocabulary has keeps its id there. Any other gets the next free one behind the vocabulary, in the
// order in which the files list them (added_lists.h): the id that a file gives is not looked at (tokenizers'
// AddedVocabulary.add_tokens, 0.23). Where a token comes more than once, its last flags hold, and special is special
// for ever.
#ifndef HALLMARK_CONVERT_ADDED_TOKENS_H
#define HALLMARK_CONVERT_ADDED_TOKENS_H

#include "added_lists.h"
#include "strmap.h"

typedef struct {
    const char *text;           // borrowed from the JSON; never empty
    int32_t     n;              // bytes of it
    int64_t     id;             // that Transformers gives; beyond the embedding also where a file says so
    int64_t     said;           // that the last file that gives one gives, or -1
    const char *file;           // where it came first
    unsigned    flags;          // ADDED_*
    bool        in_vocab;       // the vocabulary has it too
} added_token;

typedef struct {
    added_token *t;             // owned, in the order in which they came
    int64_t      n;
    strmap       by_text;       // -> place in t
} added_tokens;

// What a text can be a token of.
typedef struct {
    const tokenizer_source *s;
    const added_lists      *lists;
    const strmap           *vocab;      // ids of the tokens of the vocabulary
    int64_t                 n_vocab;    // how many they are
    added_tokens            added;
} known_tokens;

// Gives every token of the lists its id; all other members are set. A token that only files outside the vocabulary
// know, and to which one of them gives an id beyond the rows of the embedding, keeps that id. ERR_INPUT where eos_token
// is named and is no token of any file. Freed by known_tokens_free, also after a failure.
bool known_tokens_number(known_tokens *k, err *e);
void known_tokens_free(known_tokens *k);

// The id of a text: of an added token, else of the vocabulary; -1 if it is neither, or NULL.
int64_t known_tokens_id(const known_tokens *k, const char *text);
// Is it the id of an added token?
bool known_tokens_adds(const known_tokens *k, int64_t id);

#endif
