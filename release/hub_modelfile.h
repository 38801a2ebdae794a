// hub_modelfile: the Modelfile of a release, from which `ollama create NAME -f Modelfile` makes a model in its folder.
//   FROM        one artifact: Q4_K_M where there is one, else the smallest
//   TEMPLATE    where the chat template is one that can be said exactly in Go's terms (hub_template.h); where it is
//               not, a comment says what Ollama does then
//   PARAMETER   stop for each token that ends a text; temperature, top_k, top_p, min_p, repeat_penalty as
//               generation_config.json recommends them; temperature 0 where that says do_sample false; num_ctx where it
//               has a max_length that the model's context holds
// It follows from the artifact alone but for those last two, which are read from the text that is there when it is
// written again to be compared.
// The format has no escapes: a text stands bare, in quotes, or in three of them; what fits none of these is left out,
// and a comment says so. Source: Ollama's docs/modelfile and what its parser takes (parser/parser.go, 2026-11).
// Proved by tests/hub_test.c.
#ifndef HALLMARK_RELEASE_HUB_MODELFILE_H
#define HALLMARK_RELEASE_HUB_MODELFILE_H

#include "../formats/gguf.h"
#include "../formats/text.h"
#include "../verify/verify.h"

#define HUB_MODELFILE "Modelfile"
enum { HUB_MODELFILE_BYTES = 1 << 20 };

typedef struct {
    int64_t num_ctx;        // 0: not said
    bool    greedy;         // do_sample is false
} hub_generation;

// Of generation_config.json, where there is one. ERR_INPUT: it cannot be read.
bool hub_generation_of_source(hub_generation *g, const char *hf_dir, err *e);
// Of a Modelfile that was written.
void hub_generation_of_text(hub_generation *g, const char *modelfile);

// Which of the n reports' artifacts it is of. n > 0.
int hub_modelfile_choice(const verify_report *reports, int n);

// The text, for the artifact that is open as g and called name; usual: it is the Q4_K_M. malloc'd; NULL on failure:
// ERR_INPUT, ERR_SYSTEM.
char *hub_modelfile(const gguf *g, const char *name, bool usual, const hub_generation *gen, err *e);

// Of the one chosen of n artifacts in dir.
char *hub_modelfile_of(const char *dir, const verify_report *reports, int n, const hub_generation *gen, err *e);

// Puts a value in the format's own quotes. false: it has none for this one, and nothing was put.
bool hub_modelfile_put(text_buf *t, const char *value);

#endif
