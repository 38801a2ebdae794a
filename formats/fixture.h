// fixture: what Transformers said (made by fixtures/hf_fixture.py), read from gzip JSON lines.
//
// Line 1, the header:
//   {"hallmark_fixture":2, "model":{"name":s,"revision":s|null,"source_digest":hex64,"source_digest_v1":hex64|null,
//    "config":{...config.json as it stands}},
//    "dtype":"float32"|"bfloat16", "device":s, "attention":"eager", "experts":"eager", "linear_attention":"torch",
//    "transformers":s, "torch":s,
//    "tokens":n, "top_k":k, "cases":n, "weights":null|{"file":s,"type":"Q4_K_M","digest":hex64}}
//   source_digest: of the list of files that goes with the format, 1 or 2 (source.h); source_digest_v1: by the list of
//   1, where it is another experts, linear_attention: what computed them; there if the config has experts, or layers of
//   linear attention weights.digest: SHA-256 over the lines "<tensor digest>\n" of the artifact's
//   hallmark.tensor.sha256, in file order.
// Then one line a case:
//   {"id":s,"category":s,"prompt":s,"prompt_ids":[..],"generated_ids":[tokens],
//    "steps":[{"ids":[k],"logprobs":[k],"logits":[k]} x tokens],            ids sorted by logit, highest first, lowest
//    id where equal "probes":[{"layer":-1..n-1,"index":[p],"value":[p],"norm":f}],         hidden state of the prompt's
//    last token after each layer; -1: embeddings "self":{"a":{...},"b":{...}},                            the reference
//    against itself (may be absent for float32) "router_ties":[[position,layer],..]}                     with experts:
//    their choices that a rounding decides
//   where a (the prefix scored all at once) and b (products in float32, then rounded) each hold
//   {"top":[tokens],"second":[tokens],"margin":[tokens],"margin_of_base":[tokens],"kl":[tokens],"logprob_diff_max":f}
//   top/second: that run's best two ids; margin: logit of top minus second; margin_of_base: in that run, logit of the
//   base run's top id minus that of the base run's second id; kl: KL(base || run) over the full vocabulary, per step.
//   router_ties: sorted; position: of the token, from 0 on, prompt and continuation; at such a place the scores of the
//   last expert chosen and of the next one are equal or one unit in the last place of the dtype apart.
// Beyond the shape, the reader asks for sorted and different ids, generated_ids equal to each step's first id,
// log-probabilities of at most 0, and different case ids. A prompt may hold an escaped NUL, and no U+FFFF. Proved by
// tests/fixture_test.c, tests/fuzz/fixture_fuzz.c.
#ifndef HALLMARK_FORMATS_FIXTURE_H
#define HALLMARK_FORMATS_FIXTURE_H

#include "err.h"
#include "sha256.h"
#include "source.h"
#include <cjson/cJSON.h>
#include <stdint.h>

typedef struct {
    int32_t *ids;           // [top_k]
    float   *logprobs;      // [top_k]
    float   *logits;        // [top_k]
} fixture_step;

typedef struct {
    int    layer;           // -1: the embeddings
    int    n;
    int32_t *index;         // [n] positions within the hidden state
    float  *value;          // [n]
    double norm;            // L2 norm of the whole hidden state
} fixture_probe;

typedef struct {            // one run of the reference against itself
    int32_t *top, *second;              // [tokens]
    float   *margin, *margin_of_base;   // [tokens]
    double  *kl;                        // [tokens]
    double   logprob_diff_max;
} fixture_self;

typedef struct {
    int32_t position;       // 0 .. n_prompt + tokens - 2: its pass gives the logits of step position - (n_prompt - 1)
    int     layer;
} fixture_router_tie;

typedef struct {
    char         *id, *category, *prompt;
    int64_t       prompt_bytes;         // a prompt may hold NUL
    int64_t       n_prompt;
    int32_t      *prompt_ids;
    int32_t      *generated_ids;        // [tokens]
    fixture_step *steps;                // [tokens]
    int           n_probes;
    fixture_probe *probes;
    int           n_self;               // 0 or 2
    fixture_self  self[2];
    int64_t       n_router_ties;
    fixture_router_tie *router_ties;    // NULL for a model without experts
} fixture_case;

typedef struct {
    char  *path;
    char   file_digest[SHA256_HEX + 1];     // of the .gz file's bytes
    char  *model_name, *revision;           // revision may be NULL
    char   source_digest[SHA256_HEX + 1];   // as the header has it
    source_id source;                       // what it says
    cJSON *config;                          // config.json of the source
    bool   experts;                         // the config has them
    char  *dtype;                           // "float32" or "bfloat16"
    char  *transformers, *torch, *device;
    const char *attention, *experts_by, *linear_attention;      // the header's words, static; NULL where it has none
    int    tokens, top_k;
    char  *weights_file, *weights_type;     // NULL when made from the source's own weights
    char   weights_digest[SHA256_HEX + 1];  // "" likewise
    int64_t n_cases;
    fixture_case *cases;
    int64_t n_held;                         // how many the file holds, where fixture_sample left some out; else 0
    char    held_prompts[SHA256_HEX + 1];   // fixture_prompts_digest of them all, likewise; else ""
} fixture;

// How many cases the file holds: of a sample those behind the n_cases, too, in no order.
static inline int64_t fixture_held(const fixture *f) { return f->n_held > 0 ? f->n_held : f->n_cases; }

// Reads and checks a fixture wholly. ERR_INPUT names file, line and key. Ids are checked to be >= 0 only (the
// vocabulary is the artifact's to know); numbers are finite; arrays have the lengths the header says. Freed by
// fixture_close.
fixture *fixture_open(const char *path, err *e);
fixture *fixture_open_mem(const uint8_t *gz, int64_t n, const char *name, err *e);      // for tests and fuzzing
void     fixture_close(fixture *f);

// Leaves n of its cases, evenly spread over all of them; all where there are no more, or n is 0. false: the digest of
// their prompts cannot be taken, and all are left.
bool     fixture_sample(fixture *f, int64_t n, err *e);

// What the fixture asks, whatever was answered: SHA-256 over a line for each case, in their order,
// "<hex SHA-256 of the prompt's bytes>  <its ids, with commas between them>\n". Of a sample it is that of the file.
bool fixture_prompts_digest(const fixture *f, char hex[SHA256_HEX + 1], err *e);

#endif
