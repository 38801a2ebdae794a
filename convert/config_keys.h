// config_keys: the keys of a config.json by name. Those that would change what the text model computes, and that this
// program cannot do, are refused; those that nobody here and no class of Transformers 5.24 reads are named once in the
// log, because a key that is passed over in silence fails in silence.
#ifndef HALLMARK_CONVERT_CONFIG_KEYS_H
#define HALLMARK_CONVERT_CONFIG_KEYS_H

#include "../formats/progress.h"
#include "hf_config.h"

// Proved by tests/convert_config_test.c and tests/field/keys-*.json.

// ERR_INPUT "where: key: ..." at the first key whose value is beyond this program. c: its arch is known.
bool config_keys_check(const hf_config *c, const cJSON *root, const char *where, err *e);

// One line with the keys that are not read, if there are any, and one where rope_scaling stands in the place of
// rope_parameters. c: read whole.
void config_keys_log(const hf_config *c, const cJSON *root, const char *where, progress *log);

#endif
