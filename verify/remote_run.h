// remote_run: a fixture asked of a server, as the files of remote.h share it.
#ifndef HALLMARK_VERIFY_REMOTE_RUN_H
#define HALLMARK_VERIFY_REMOTE_RUN_H

#include "compare.h"
#include "remote.h"
#include "remote_ask.h"
#include "../runtime/tokenizer.h"

typedef struct {                // where answers leave the fixture, and by how much
    const fixture_case *c;      // NULL: nowhere
    int64_t             step;
    int32_t             got;    // -1: no id was seen
    double              logprob_diff;       // NAN: not seen
} departure;

typedef struct {
    const remote_opts *o;
    verify_report     *r;
    remote_peer        peer;
    gate               base, limits;    // of the gate, and what they are for the fixture at hand
    check_kind         kind;
    fixture          **fixtures;
    int                n_fixtures;
    int64_t            n_free, n_ctx;
    gguf              *g;               // of the tokenizer
    tokenizer         *words;           // NULL: the server takes ids
    remote_speculation speculation;     // as answers say
    int32_t           *ids;             // [n_ctx] a prompt and what follows
    // of the fixture at hand
    comparison         k;
    remote_answer      answer;
    departure          left, far;       // the first step of another id, and that beyond the limit of log-probabilities
    int32_t            end_id;          // an end of text of the fixture's model; -1: its config names none
    int                least_probs;     // ids given at a step, the fewest
    int64_t            unseen;          // steps without log-probabilities
    bool               beyond;          // an id that the fixture's model does not have was found, and is a failure
    int64_t            text_steps, text_asked, text_no_free, recounted;
} asker;

// remote.c: one question about a case, whose ids are in v->ids or whose text is in q; the answer is v->answer.
bool remote_question_ask(asker *v, const remote_question *q, const fixture_case *c, int64_t step, err *e);
// A question about what follows n_generated of the case's own ids; `ids` is v->ids.
remote_question remote_question_of(const asker *v, const fixture_case *c, int64_t n_generated, int64_t n_new);
void remote_look_for_departure(asker *v, const fixture_case *c, int64_t step, int32_t got, double logprob_diff);

// remote_ids.c, remote_words.c: a case, by ids or by text.
bool remote_case_ids(asker *v, const fixture_case *c, err *e);
bool remote_case_text(asker *v, const fixture_case *c, err *e);

// remote_gate.c: the limits for a fixture; what an answer must hold to be measured; the notes of a fixture, and of all.
void remote_gate_for(asker *v, const fixture *f);
void remote_check_given(asker *v);
bool remote_note_fixture(asker *v, const fixture *f, err *e);
bool remote_note_server(asker *v, err *e);

#endif
