// type_options: the options that choose tensor types, shared by convert and quantize, and the plan that --dry-run
// prints.
#ifndef HALLMARK_CLI_TYPE_OPTIONS_H
#define HALLMARK_CLI_TYPE_OPTIONS_H

#include "cli.h"
#include "../quant/cuda/encode.h"
#include "../quant/quantize.h"

// The options struct of both commands, or the first member of it, so that these rows of an option table fit either.
typedef struct {
    const char *out, *type, *imatrix, *output_type, *embedding_type, *device, *revision;
    text_list   tensor_types, calibrate;
    bool        pure, dry_run, allow_nonfinite, strict_types, no_mtp, json, quiet;
    int64_t     threads;
    given_int   effort;
} type_options;

#define OPT_TENSOR_TYPES \
    { "--tensor-type", NULL, OPT_PATHS, offsetof(type_options, tensor_types), "PATTERN=TYPE", \
      "type of the tensors whose name holds the pattern (POSIX extended); the first match decides", \
      false, 0, 0, NULL }, \
    { "--output-type", NULL, OPT_TEXT, offsetof(type_options, output_type), "TYPE", \
      "type of the output matrix, or of the embedding tied to it, where no other option names that", \
      false, 0, 0, NULL }, \
    { "--embedding-type", NULL, OPT_TEXT, offsetof(type_options, embedding_type), "TYPE", \
      "type of the token embeddings", false, 0, 0, NULL }, \
    { "--pure", NULL, OPT_FLAG, offsetof(type_options, pure), NULL, \
      "no mix: every tensor takes the base type", false, 0, 0, NULL }, \
    { "--dry-run", NULL, OPT_FLAG, offsetof(type_options, dry_run), NULL, \
      "print the plan and the sizes; write nothing", false, 0, 0, NULL }

// What is taken amiss, and what is not.
#define OPT_STRICTNESS \
    { "--strict-types", NULL, OPT_FLAG, offsetof(type_options, strict_types), NULL, \
      "refuse a type whose blocks some rows do not fit, where those tensors would take another", false, 0, 0, NULL }, \
    { "--allow-nonfinite", NULL, OPT_FLAG, offsetof(type_options, allow_nonfinite), NULL, \
      "write NaN and Inf as they are, and what F16 cannot hold as Inf (F32, F16 and BF16 tensors)", false, 0, 0, NULL }

// How hard blocks are searched for.
#define OPT_EFFORT \
    { "--effort", NULL, OPT_GIVEN_INT, offsetof(type_options, effort), "N", \
      "0 (default): the bytes of llama-quantize; 1: the same layouts with less error, searched for longer", \
      false, 0, EFFORT_MAX, NULL }, \
    { "--calibrate", NULL, OPT_PATHS, offsetof(type_options, calibrate), "TEXT", \
      "run the source on this text and round by what its matrices are multiplied with (effort 1)", false, 0, 0, NULL }

// Where blocks are encoded.
#define OPT_ENCODER(text) \
    { "--device", NULL, OPT_CHOICE, offsetof(type_options, device), "D", text, false, 0, 0, device_choices }

// *b: the encoder of a --device, NULL for the CPU's own; closed by encoder_close. auto, where the device does not
// answer: a note on standard error, and the CPU. ERR_SYSTEM: cuda was asked for and is not there.
bool encoder_of_device(const command *c, block_encoder **b, const char *device, err *e);
void encoder_close(block_encoder *b);

typedef struct {
    const file_type_info *type;
    policy_overrides over;      // borrows what follows
    type_rule       *rules;     // [over.n_rules]
    char           **texts;     // [over.n_rules], the rules' patterns
} type_choice;

// type: a name on the command line; o's others are NULL where not asked for. ERR_USAGE names the option and what was
// found. type_choice_free in every case.
bool type_choice_make(type_choice *c, const char *type, const type_options *o, err *e);
void type_choice_free(type_choice *c);

// The table of tensors, and the sum, as text or as JSON; frees v.
bool type_plan_print(quantize_preview *v, err *e);

#endif
