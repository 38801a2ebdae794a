// family: what the converter knows about one model family, as tables: its tensors and its metadata.
// Adding a family is adding a file with these tables and a row in hf_config.c.
#ifndef HALLMARK_CONVERT_FAMILY_H
#define HALLMARK_CONVERT_FAMILY_H

#include "hf_config.h"
#include "hparams.h"
#include "tokenizer_meta.h"

// What is done to a tensor's values and places: a closed list. See tensor_change.h, and quant/transform.h.
enum {
    KEEP        = 0,
    ADD_ONE     = 1 << 0,       // to every element
    ZERO_NORM   = 1 << 1,       // ADD_ONE, of a norm that is trained from 0: where 1 was added already, it is refused
    NEG_EXP     = 1 << 2,       // -e^x of every element
    SQUEEZE     = 1 << 3,       // the source has a dimension of 1 before its last one
    CUT_ROWS    = 1 << 4,       // the source has more rows: those beyond the vocabulary belong to no token
    FIRST_HALF  = 1 << 5,       // of the rows of each matrix of the source
    SECOND_HALF = 1 << 6,
    PERMUTE     = 1 << 7,       // rows of a head: halves that rotate together become neighbours
    V_ROWS      = 1 << 8,       // value heads in tiled order: rows of whole heads,
    V_CHANNELS  = 1 << 9,       // the same behind the rows of Q and K,
    V_HEADS     = 1 << 10,      // one row or element a head,
    V_COLUMNS   = 1 << 11,      // columns of whole heads
};

// One tensor of the checkpoint becomes a tensor of the file, or a part of one. Several rules may lead to one tensor of
// the file (other layouts of the same weights), and several from one tensor of the checkpoint (which is then cut).
typedef struct {
    const char *hf;         // name after the prefix of the text model (and after "layers.N."); '*': the number of an
                            // expert; their matrices are stacked
    const char *gguf;       // name in the file (after "blk.N."): its row in arch/tensors.h has the shape
    int         change;     // of the list above, one or several
} tensor_rule;

struct family {
    const char        *arch;            // general.architecture
    tok_kind           tokenizer;
    const tensor_rule *model, *layer;   // each ends with a row whose hf is NULL
    const tensor_rule *mtp;             // "mtp.*": what the block that guesses has beside a layer's tensors; NULL: none
    bool               rope_freqs;      // write rope_freqs.weight for the full-attention layers
    // Everything of the config but its class, which is known. root: the whole file's object, t: the text model's
    // (hf_text_config). ERR_INPUT.
    bool             (*config)(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e);
    void             (*hparams)(const hf_config *c, hparam_list *l);
};

// The keys that open the metadata of every family whose layers all have one shape.
void family_plan_dense(const hf_config *c, hparam_list *l);

// expert_count, expert_used_count and expert_feed_forward_length; without experts only that there are none.
void family_plan_experts(const hf_config *c, hparam_list *l);

extern const family family_gemma3, family_gemma4, family_llama, family_qwen2, family_qwen3, family_qwen3moe,
                    family_qwen35, family_qwen35moe;

#endif
