// qwen_experts: rules (family.h) for the experts of Qwen 3 and Qwen 3.5: a matrix for each expert, as Qwen 3's
// checkpoints have them on disk, or all experts in one tensor with gate and up behind each other, as Qwen 3.5's do.
#ifndef HALLMARK_CONVERT_QWEN_EXPERTS_H
#define HALLMARK_CONVERT_QWEN_EXPERTS_H

#define QWEN_EXPERT_RULES \
    { "mlp.gate.weight",                "ffn_gate_inp.weight",  KEEP }, \
    { "mlp.experts.gate_up_proj",       "ffn_gate_exps.weight", FIRST_HALF }, \
    { "mlp.experts.gate_up_proj",       "ffn_up_exps.weight",   SECOND_HALF }, \
    { "mlp.experts.down_proj",          "ffn_down_exps.weight", KEEP }, \
    { "mlp.experts.*.gate_proj.weight", "ffn_gate_exps.weight", KEEP }, \
    { "mlp.experts.*.up_proj.weight",   "ffn_up_exps.weight",   KEEP }, \
    { "mlp.experts.*.down_proj.weight", "ffn_down_exps.weight", KEEP }

#endif
