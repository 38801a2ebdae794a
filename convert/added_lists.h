// added_lists: the tokens that stand outside a tokenizer's vocabulary, as the files of a folder list them, in the order
// in which Transformers 5.24 takes them in (PreTrainedTokenizerBase._from_pretrained, TokenizersBackend.__init__):
//
//   file     added_tokens of tokenizer.json, in its order. Only where tokenizer.json is taken as it stands;
//            a class that builds its own begins without them.
//   listed   added_tokens_decoder of tokenizer_config.json, by id; where it has none, added_tokens.json and
//            added_tokens of tokenizer.json together, by id, and where both have one id the latter's.
//   named    bos_token and the like, and every other key that ends in "_token", of tokenizer_config.json; where it has
//            no added_tokens_decoder, special_tokens_map.json comes before it. Named ones of extra_special_tokens, if
//            that is an object.
//   extra    extra_special_tokens, if that is a list; without it additional_special_tokens.
//
// The ids that files give are not the ids that Transformers gives: see added_tokens.h.
#ifndef HALLMARK_CONVERT_ADDED_LISTS_H
#define HALLMARK_CONVERT_ADDED_LISTS_H

#include "tokenizer_class.h"

enum {                          // added_entry.flags
    ADDED_SPECIAL     = 1,
    ADDED_NORMALIZED  = 2,
    ADDED_LSTRIP      = 4,
    ADDED_RSTRIP      = 8,
    ADDED_SINGLE_WORD = 16,
};

typedef struct {
    const char *text;           // borrowed from the JSON
    const char *file, *key;     // where it stands: "tokenizer_config.json", "eos_token"; borrowed too
    int64_t     id;             // that the file gives, or -1
    unsigned    flags;
} added_entry;

typedef struct { added_entry *e; int64_t n, cap; } added_list;     // e: owned

// The tokens that have a role in GGUF too, in the order of Transformers.
typedef enum { NAME_BOS, NAME_EOS, NAME_UNK, NAME_SEP, NAME_PAD, NAME_CLS, NAME_MASK, N_NAMES } token_name;

typedef struct {
    added_list  file, listed, named, extra;
    const char *text[N_NAMES];          // of the role's token, or NULL
    const char *text_file[N_NAMES];     // the file that says so; NULL: it is the default of the class
    // special_tokens_map.json has add_bos_token or add_eos_token, which overrule the post_processor
    bool        frame_said, add_bos, add_eos;
} added_lists;

// tokenizer: tokenizer.json. ERR_INPUT names the file, the key, found and expected. Freed by added_lists_free, also
// after a failure.
bool added_lists_read(added_lists *a, tokenizer_build build, const tokenizer_source *s, const cJSON *tokenizer, err *e);
void added_lists_free(added_lists *a);

#endif
