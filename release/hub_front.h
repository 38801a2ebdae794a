// hub_front: the front matter of a release's model card, as the Hub reads it.
//
// From the source's card: license (a text or a list), license_name, license_link, language, tags, pipeline_tag. Said by
// whoever publishes: base_model (the source's id on the Hub) and quantized_by. Constant: base_model_relation
// ("quantized", with a base_model), library_name ("gguf"), and the tag "gguf" behind the source's.
//
// Written in one way only, so that a card that was written can be read and written again, and is the same bytes. Texts
// that YAML could take for anything else stand in double quotes, on one line, with everything escaped that is not seen.
// Proved by tests/hub_test.c, and against huggingface_hub's own reader by tests/peers/hub_card.py.
#ifndef HALLMARK_RELEASE_HUB_FRONT_H
#define HALLMARK_RELEASE_HUB_FRONT_H

#include "../formats/progress.h"
#include "../formats/text.h"
#include "../formats/err.h"

enum { HUB_MOST_TEXTS = 200, HUB_MOST_TEXT = 300 };     // of a list; bytes of a text, longer ones are left out

typedef struct {
    char **v;                       // [n]
    int    n;
    bool   list;                    // the card has a list, be it of one
} hub_texts;

typedef struct {
    char     *base_model, *license_name, *license_link, *pipeline_tag, *quantized_by;     // NULL: not known
    hub_texts license, language, tags;
} hub_front;                        // owned; hub_front_free

// What the card in a checkpoint's folder says, without base_model and quantized_by. What is wrong with it is logged.
// False only when the system fails; f is to be freed in any case.
bool hub_front_of_source(hub_front *f, const char *hf_dir, progress *log, err *e);
// The same of a card that hub_front_put wrote, with those two.
bool hub_front_of_card(hub_front *f, const char *card, int64_t n, err *e);
void hub_front_free(hub_front *f);

// The source's id where its folder is one of a Hub cache: nothing else is sure. *id NULL: it is not. malloc'd.
bool hub_front_base_of(char **id, const char *hf_dir, err *e);

// With the two lines "---".
void hub_front_put(text_buf *t, const hub_front *f);
// One scalar of YAML.
void hub_front_put_text(text_buf *t, const char *s);

// ERR_USAGE: an id that the Hub has for no model; a name that is empty, long, or not plain.
bool hub_front_check_base(const char *id, err *e);
bool hub_front_check_name(const char *name, err *e);

#endif
