// card_yaml: the front matter of a model card, YAML between two lines "---", as a tree of values.
//
// A card describes; it decides nothing. So whatever is wrong with it is said in the log, and there is then no tree: no
// end within CARD_MOST_BYTES, no YAML, more than 200,000 values, more brackets or anchors than a card has that means
// well. Bytes that are no UTF-8 become U+FFFD. A byte order mark, any line ends and tabs are understood.
// Proved by tests/model_card_test.c, tests/hub_test.c and tests/fuzz/model_card_fuzz.c.
#ifndef HALLMARK_CONVERT_CARD_YAML_H
#define HALLMARK_CONVERT_CARD_YAML_H

#include "../formats/err.h"
#include "../formats/progress.h"
#include <yaml.h>

#define CARD_NAME    "README.md"
#define CARD_NOTHING "; nothing is taken from the card"
enum { CARD_MOST_BYTES = 1 << 20, CARD_MOST_LIST = 1000 };

typedef struct {
    bool            there;          // false: no front matter, or none that is a mapping of names to values
    yaml_document_t doc;
    yaml_node_t    *root;
    progress       *log;            // may be NULL; borrowed
} card_yaml;                        // card_yaml_close in every case

// Of a card's first n bytes. False only when the system fails.
bool card_yaml_open(card_yaml *c, const char *readme, int64_t n, progress *log, err *e);
// The card in a checkpoint's folder; where there is none, so is no tree.
bool card_yaml_of(card_yaml *c, const char *hf_dir, progress *log, err *e);
void card_yaml_close(card_yaml *c);

// All nodes are borrowed until card_yaml_close, and may be NULL where they are passed.
// A scalar as it is written ("no" is Norwegian); NULL for another node, and for YAML's null.
const char *card_yaml_text(const yaml_node_t *v);
// A member of a mapping, the last one of that name; NULL if absent. *there (may be NULL): it is, even if its value is
// null.
yaml_node_t *card_yaml_member(const card_yaml *c, const yaml_node_t *map, const char *name, bool *there);
// Elements of a list, CARD_MOST_LIST at most, the rest being logged; 0 for another node.
int          card_yaml_length(const card_yaml *c, const yaml_node_t *v, const char *name);
yaml_node_t *card_yaml_element(const card_yaml *c, const yaml_node_t *v, int i);

#endif
