// nfc: a text in Unicode's Normalization Form C (Unicode Standard Annex 15) as Hugging Face's tokenizers makes it,
// whose Unicode is 9; by utf8proc, in time proportional to its length whatever it holds.
#ifndef HALLMARK_RUNTIME_TOKENIZER_NFC_H
#define HALLMARK_RUNTIME_TOKENIZER_NFC_H

#include "../../formats/err.h"
#include <stdint.h>

// text: n bytes of well-formed UTF-8. *out (malloc'd, *n_out bytes), or NULL where the text is ASCII and so in NFC
// already.
bool nfc_text(const char *text, int64_t n, char **out, int64_t *n_out, err *e);

#endif
