// hub_template: chat templates of formats that can be said exactly in the terms of Go's text/template, which Ollama
// takes, recognised by the control tokens of the source's own (Jinja) template.
//
// A template that does more than put messages one after the other (tools, thinking, dates) is not recognised: it would
// be another one in Go's terms. A system prompt that stands in the source's template for conversations without one is
// kept. What is not the same is said (note).
// Sources: the formats' own descriptions (Gemma's, Llama 3's and Mistral's prompt formats, ChatML); docs/template of
// Ollama for the names System, Messages, Role, Content. BOS is the tokenizer's to put there.
// Proved by tests/hub_test.c, and beside Transformers by tests/peers/hub_template.py.
#ifndef HALLMARK_RELEASE_HUB_TEMPLATE_H
#define HALLMARK_RELEASE_HUB_TEMPLATE_H

#include <stdbool.h>

typedef struct {
    const char *name;       // of the format, NULL: it is none of those
    char       *go;         // the template; hub_template_free
    const char *note;       // what it does not do as the source's, or NULL
} hub_template;

// jinja: the source's. eos: the text of the token that ends a text, or NULL. False when out of memory.
bool hub_template_of(hub_template *t, const char *jinja, const char *eos);
void hub_template_free(hub_template *t);

#endif
