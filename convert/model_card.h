// model_card: what README.md's front matter (YAML between two lines "---") says of the model, under the keys of
// llama.cpp's gguf-py:
//   license, license_name, license_link   general.license, .name, .link (a list of licenses is joined by commas)
//   base_model, datasets                  general.base_model.count, .0.name, .0.organization, .0.version, .0.repo_url;
//                                         general.dataset likewise
//   tags, pipeline_tag                    general.tags
//   languages, language                   general.languages
// A card describes; it decides nothing. So whatever is wrong with it is said in the log, and the conversion goes on
// without what it was to say: no YAML, no end within 1 MiB, more than 200,000 values, a git-lfs pointer. Bytes that are
// no UTF-8 become U+FFFD. Scalars are taken as they are written ("no" is Norwegian). A byte order mark, any line ends
// and quotes are understood; values of another shape (maps in place of texts) are passed over, as there. Proved by
// tests/model_card_test.c, beside gguf-py's own answers, and tests/field/card-*.json.
#ifndef HALLMARK_CONVERT_MODEL_CARD_H
#define HALLMARK_CONVERT_MODEL_CARD_H

#include "../formats/gguf.h"
#include "../formats/progress.h"

#define MODEL_CARD "README.md"

// Is it a key that a card gives?
bool model_card_gives(const char *key);

// n_params: elements of all tensors. log may be NULL. False only when the system fails.
bool model_card_plan(gguf_plan *p, const char *hf_dir, int64_t n_params, progress *log, err *e);
// The same of a card's first n bytes.
bool model_card_plan_text(gguf_plan *p, const char *readme, int64_t n, int64_t n_params, progress *log, err *e);

#endif
