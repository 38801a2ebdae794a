// chat_template: a checkpoint's chat templates, wherever they stand, as the keys tokenizer.chat_template and
// tokenizer.chat_template.<name>.
//
// They are those that Transformers' tokenizer has after loading the folder:
//   chat_template.jinja                     the default one
//   additional_chat_templates/NAME.jinja    named ones (default.jinja replaces the one above)
//   tokenizer_config.json, chat_template    where none of those files is: a text, a list of {name, template}, or an
//                                           object of names and templates
//   chat_template.json, chat_template       where nothing else is: Transformers' processors and llama.cpp read it, its
//                                           tokenizer does not
// The log says what was passed over, a template in processor_config.json too. Line ends of the files become \n, as
// Python reads text.
// Proved by tests/chat_template_test.c and tests/field/template-*.json.
#ifndef HALLMARK_CONVERT_CHAT_TEMPLATE_H
#define HALLMARK_CONVERT_CHAT_TEMPLATE_H

#include "../formats/gguf.h"
#include "../formats/progress.h"
#include <cjson/cJSON.h>

// Plans the keys: the default one as tokenizer.chat_template, the others under their name, in which any character but
// ASCII letters and digits becomes '_' as in gguf-py, and their names in tokenizer.chat_templates. A name that is a key
// as it stands keeps it; others that would be the same key get _2, _3 and so on. An empty template is left out, as
// gguf-py does. tokenizer_config may be NULL. log may be NULL. ERR_INPUT for a text that is not UTF-8 or holds a NUL
// (GGUF readers would cut it there), and where Transformers cannot read the list.
bool chat_template_plan(gguf_plan *p, const char *dir, const cJSON *tokenizer_config, progress *log, err *e);

#endif
