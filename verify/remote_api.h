// remote_api: how servers are asked, one row for each kind. A row builds the document of a question and reads the
// answer; it makes no connection, so that tests and the fuzzer give it answers of their own.
//
//   llama    llama.cpp's server, POST /completion: ids in and out, the best ids of what it generates
//   openai   vLLM's POST /v1/completions: ids in and out, the best ids of the prompt's positions too
//   sglang   SGLang's POST /generate: the same
//   ollama   Ollama's POST /api/generate: text in and out, no ids
//
// Answers are hostile until read: ids are those of some vocabulary, 0 to LIMIT_VOCAB - 1, log-probabilities are numbers
// of at most 0, arrays have the lengths that were asked for. ERR_INPUT names `where` and the key. An id that the
// fixture's model does not have is no nonsense: it is what another model answers, and for remote_ids.c to judge.
// Proved by tests/remote_test.c, tests/fuzz/remote_fuzz.c.
#ifndef HALLMARK_VERIFY_REMOTE_API_H
#define HALLMARK_VERIFY_REMOTE_API_H

#include "../formats/err.h"
#include <cjson/cJSON.h>
#include <stdint.h>

typedef struct {
    const int32_t *ids;         // [n_ids] what stands before
    int64_t        n_ids;
    const char    *text;        // the same for a server that takes text
    const char    *model;       // whom of a server's models; NULL where it has one
    int64_t        from;        // scores: the first position of ids that is asked about; 1 to n_ids - 1
    int64_t        n_new;       // ids to generate
    int64_t        n_ctx;       // ids that the longest of all questions needs, with its answer
    int            n_probs;     // best ids asked for at each step
    int32_t        forced_id;   // to be generated whatever the logits are, which are asked about; -1: the best one
    bool           scores;      // log-probabilities of ids[from..n_ids) given what stands before each, not new ids
} remote_question;

typedef struct { int32_t id; double logprob; } remote_prob;

typedef struct {
    int32_t      top;           // the id that the server chooses
    int          n;             // ids with log-probabilities; 0: it gave none
    remote_prob *probs;         // [n], different ids
} remote_step;

typedef enum { SPECULATES_UNSEEN, SPECULATES_NOT, SPECULATES } remote_speculation;

typedef struct {
    int64_t      n, room;       // steps: generated, or scored
    int          n_probs;       // room of each
    remote_step *steps;         // [room]
    remote_prob *probs;         // [room][n_probs]
    char        *text;          // of a server that gives text; malloc'd
    int64_t      n_prompt;      // tokens of the prompt as the server counts them; -1 where it does not say
    remote_speculation speculation;
} remote_answer;

typedef struct {                // what a server says of itself; not yet fit to be shown
    char version[128], model[256];
    int  n_models;              // model: the first of them
    remote_speculation speculation;
} remote_server;

typedef struct {
    const char *name, *title;   // "llama", "llama.cpp's server"
    const char *about, *more;   // documents that tell about the server; more may be NULL, and may be missing there
    const char *path;           // of questions
    bool        text;           // no ids
    bool        scores;         // gives log-probabilities of ids that it is given: one question a case
    bool        needs_model;
    bool        takes_forced;   // knows forced_id
    int         most_probs;     // ids a step that it gives without being told so at its start; 0: any number
    bool      (*is)(const cJSON *about);                    // is `about` of such a server?
    void      (*describe)(remote_server *s, const cJSON *about,
               const cJSON *more);     // more: NULL where it is missing
    bool      (*ask)(cJSON *o, const remote_question *q);   // into an empty object; false when out of memory
    bool      (*read)(remote_answer *a, const remote_question *q, const cJSON *answer, const char *where,
               err *e);                 // a: cleared
} remote_api;

extern const remote_api remote_llama, remote_openai, remote_sglang, remote_ollama;
extern const remote_api *const REMOTE_APIS[];       // in the order in which a server is tried; ended by NULL

// Room for n steps of n_probs ids and as many again that a server may add. Freed by remote_answer_free.
bool remote_answer_new(remote_answer *a, int64_t n, int n_probs, err *e);
void remote_answer_free(remote_answer *a);
void remote_answer_clear(remote_answer *a);         // before each reading

// What remote_api.c has for the rows. n: expected length of an array, -1: any up to `most`. An array or object that is
// missing or another is ERR_INPUT.
bool remote_list(const cJSON *obj, const char *key, int64_t n, int64_t most, const cJSON **list, const char *where,
                 err *e);
bool remote_id(const cJSON *v, int32_t *id, const char *key, const char *where, err *e);
// The next step; its probs are then put by remote_put.
remote_step *remote_next(remote_answer *a, int32_t top, const char *where, err *e);
bool remote_put(remote_answer *a, remote_step *s, int32_t id, const cJSON *logprob, const char *key, const char *where,
                err *e);
// The id with the largest log-probability, the lowest where equal; -1 of none.
int32_t remote_best(const remote_step *s);

// An id that the server says was sent at position i: is it the question's?
bool remote_id_sent(const remote_question *q, int64_t i, int32_t id, const char *key, const char *where, err *e);
// How many ids the prompt has, where it says so: a number of at least `least`.
void remote_take_count(remote_answer *a, const cJSON *obj, const char *key, int64_t least);

bool remote_add_ids(cJSON *o, const char *key, const remote_question *q);   // the question's; false when out of memory
void remote_take_text(char *dst, size_t size, const cJSON *obj, const char *key);       // "" where there is none

#endif
