// remote_text: a fixture's case for a server that takes and gives text only.
//
// The ids of a case become text by the tokenizer of a GGUF file. A step can be asked about where the text before it
// encodes to the ids before it, for only then does the server's model see what Transformers saw, and where its own id
// is a text of whole characters; the others are counted. Ids of control tokens have no text: what follows the first is
// not asked about. Proved by tests/remote_test.c.
#ifndef HALLMARK_VERIFY_REMOTE_TEXT_H
#define HALLMARK_VERIFY_REMOTE_TEXT_H

#include "../formats/fixture.h"
#include "../runtime/tokenizer.h"

typedef struct {
    char    *text;          // prompt and continuation
    int64_t *begin;         // [n_steps + 1] where the text of each generated id begins, and the end
    bool    *asked;         // [n_steps]
    bool     whole_prompt;  // the prompt can be sent as text
    bool     same_prompt;   // the tokenizer makes the fixture's ids of it. Both hold where a free run can be asked for
    int64_t  n_steps;       // generated ids before the first that has no text
} remote_text;

// false with e: no memory, or a text that cannot be encoded. Freed by remote_text_free in any case.
bool remote_text_new(remote_text *x, const tokenizer *t, const fixture *f, const fixture_case *c, err *e);
void remote_text_free(remote_text *x);

// A copy of the text before a step, as a C string; NULL when out of memory.
char *remote_text_before(const remote_text *x, int64_t step);

// Of the first n_free steps, those whose text ends with a whole character.
int64_t remote_text_length(const remote_text *x, int64_t n_free);

// Does the answer begin with the step's text? *answer then moves behind it.
bool remote_text_follows(const remote_text *x, int64_t step, const char **answer);

// Among the ids that the fixture keeps of a step the one whose text the answer begins with, the longest; -1: none.
int32_t remote_text_id(const tokenizer *t, const fixture_step *s, int top_k, const char *answer);

#endif
