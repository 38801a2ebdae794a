// gate: the limits of verification, as data. The built-in table holds what verify/gate.json says (a test proves them
// equal);
// --gate FILE replaces it. Proved by tests/gate_test.c.
//
//   {"hallmark_gate":2,
//    "exact":{"float32":{"kl_factor":3,"kl_floor":x,"logprob_factor":3,"logprob_floor":x,"probe_tolerance":x,
//                        "self_kl_max":x,"self_logprob_max":x,"self_margin_max":x},"bfloat16":{the same}},
//    "ties":{"rate":0.005,"self_factor":2,"self_rate_max":x},
//    "minimum":{"cases":x,"steps":x,"top_k":x},
//    "rounding":{"kl_factor":3,"kl_floor":x,"top1_factor":3,"top1_floor":x},
//    "drift":[{"type":"Q4_K_M","top1_min":x,"kl_max":x}, ...]}
// A drift row is the most that may bear the type's name; what a model may drift within it is told by `rounding`. Gates
// of version 1 have no such key.
// Every key is required and no other is allowed, so that a misspelt limit is not a missing one. A drift row of type
// "*", the last one, stands for every type that has none of its own; the built-in table has no such row: a type without
// a budget is not verifiable.
#ifndef HALLMARK_VERIFY_GATE_H
#define HALLMARK_VERIFY_GATE_H

#include "../formats/err.h"
#include "../formats/sha256.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {                // for fixtures of one dtype
    double kl_factor;           // mean KL at most this many times the reference's distance from itself ...
    double kl_floor;            // ... but a mean under this is never held against a run: the noise of clean runs
    double logprob_factor, logprob_floor;   // the same for the largest log-probability difference
    // A reference further than this from itself is no measure of anything: mean KL, largest log-probability difference,
    // largest movement of a margin between its own runs.
    double self_kl_max, self_logprob_max, self_margin_max;
    double probe_tolerance;     // when a layer's hidden state departs; see probe.h. Names the layer, decides no verdict
} gate_exact;

// drift by this model's own measure: what one more rounding of the artifact's blocks costs (rounding.h)
typedef struct {
    double kl_factor, kl_floor;         // mean KL from the source at most this many times the rounding's, or the floor
    double top1_factor, top1_floor;     // the same for the share of steps whose top id is another
} gate_rounding;

typedef struct {
    char   type[16];            // "Q4_K_M"; "*" for any type without a row, last if it is there at all
    double top1_min;            // least share of steps whose top id is the source model's
    double kl_max;              // greatest mean KL from the source model
} gate_drift;

enum { GATE_MAX_DRIFT = 64 };
typedef struct {
    gate_exact float32, bfloat16;
    double     tie_rate;        // ties where we differ: at most this share of all steps ...
    // ... or this many times the reference's own rate of disagreement with itself, whichever is more
    double     tie_self_factor;
    double     tie_self_rate_max;   // a reference that disagrees with itself more often measures nothing
    // a fixture of less is too short to pass anything: cases, steps of all cases, ids a step
    double     min_cases, min_steps, min_top_k;
    bool          has_rounding;     // false: a gate of version 1, whose budgets of drift stand alone
    gate_rounding rounding;
    int        n_drift;
    gate_drift drift[GATE_MAX_DRIFT];
} gate;

const gate *gate_builtin(void);
// SHA-256 (gate_digest) of the limits that were ever built in, the newest last: records that name the built-in gate
// hold one of these.
extern const char *const GATE_SHIPPED[];
extern const int         GATE_N_SHIPPED;

// Reads a gate. ERR_INPUT names file and key: a key that is missing, unknown, not a finite number or negative; a type
// twice; a row after "*".
bool gate_read(gate *g, const char *path, err *e);
bool gate_parse(gate *g, const char *text, int64_t n, const char *where, err *e);

// A gate's limits as one canonical text: the JSON of above without comments or white space, every number in as many
// digits as give it back. Freed by the caller; NULL when out of memory. gate_json: as a tree, cJSON_Delete.
char  *gate_text(const gate *g);
cJSON *gate_json(const gate *g);
// SHA-256 of that text.
bool gate_digest(const gate *g, char hex[SHA256_HEX + 1], err *e);
// Reads such a tree.
bool gate_of_json(gate *g, const cJSON *j, const char *where, err *e);

// The limits for fixtures of a dtype ("float32", "bfloat16"), and the drift budget of a type ("Q4_K_M"): NULL when
// there is none.
const gate_exact *gate_exact_for(const gate *g, const char *fixture_dtype);
const gate_drift *gate_drift_for(const gate *g, const char *type);

// What drift may be: d's budget, and within it what follows from the rounding of `steps` steps (its mean KL, the steps
// whose top id stayed). A rounding that is not a number (not measured) leaves no room at all where the gate asks for
// it.
typedef struct { double kl_max, top1_min; } gate_limits;
gate_limits gate_drift_limits(const gate *g, const gate_drift *d, double rounding_kl, int64_t rounding_equal,
                              int64_t steps);

#endif
