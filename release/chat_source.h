// chat_source: are an artifact's chat templates the source's, byte for byte? The source's are read again from its files
// (convert/chat_template.h), not from what a conversion left.
// Proved by tests/hub_test.c.
#ifndef HALLMARK_RELEASE_CHAT_SOURCE_H
#define HALLMARK_RELEASE_CHAT_SOURCE_H

#include "../verify/record.h"

// What the default template of an artifact is; same_as_source stays as it is. ERR_INPUT: the key holds no text.
bool chat_of_artifact(record_template *t, const gguf *g, err *e);

// Of n artifacts of dir, made from hf_dir: *t is that of the first, and whether all are the source's; differs [n] says
// which are not. ERR_INPUT: a file cannot be read, or the source's templates not.
bool chat_compare(record_template *t, bool *differs, const char *dir, const char *const *artifacts, int n,
                  const char *hf_dir, err *e);

#endif
