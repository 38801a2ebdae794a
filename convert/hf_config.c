#include "hf_config.h"

#include "../formats/json.h"
#include "config_keys.h"
#include "family.h"

#include <stdio.h>
#include <string.h>

static const hf_arch archs[] = {
    { "Gemma3ForCausalLM",                     "gemma3_text",         &family_gemma3,    CLASS_GEMMA3,         false },
    { "Gemma3ForConditionalGeneration",        "gemma3",              &family_gemma3,    CLASS_GEMMA3,         true },
    { "Gemma4ForCausalLM",                     "gemma4_text",         &family_gemma4,    CLASS_GEMMA4,         false },
    { "Gemma4ForConditionalGeneration",        "gemma4",              &family_gemma4,    CLASS_GEMMA4,         true },
    { "Gemma4UnifiedForCausalLM",              "gemma4_unified_text", &family_gemma4,    CLASS_GEMMA4_UNIFIED, false },
    { "Gemma4UnifiedForConditionalGeneration", "gemma4_unified",      &family_gemma4,    CLASS_GEMMA4_UNIFIED, true },
    { "LlamaForCausalLM",                      "llama",               &family_llama,     CLASS_LLAMA,          false },
    { "MistralForCausalLM",                    "mistral",             &family_llama,     CLASS_MISTRAL,        false },
    { "Qwen2ForCausalLM",                      "qwen2",               &family_qwen2,     CLASS_QWEN2,          false },
    { "Qwen3ForCausalLM",                      "qwen3",               &family_qwen3,     CLASS_QWEN3,          false },
    { "Qwen3MoeForCausalLM",                   "qwen3_moe",           &family_qwen3moe,  CLASS_QWEN3_MOE,      false },
    { "Qwen3_5ForCausalLM",                    "qwen3_5_text",        &family_qwen35,    CLASS_QWEN35,         false },
    { "Qwen3_5ForConditionalGeneration",       "qwen3_5",             &family_qwen35,    CLASS_QWEN35,         true },
    { "Qwen3_5MoeForCausalLM",                 "qwen3_5_moe_text",    &family_qwen35moe, CLASS_QWEN35_MOE,     false },
    { "Qwen3_5MoeForConditionalGeneration",    "qwen3_5_moe",         &family_qwen35moe, CLASS_QWEN35_MOE,     true },
};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

const hf_arch *hf_arch_table(int *n)
{
    *n = N_ARCHS;
    return archs;
}

const cJSON *hf_text_config(const cJSON *root)
{
    const cJSON *text = json_get(root, "text_config");
    return text ? text : root;
}

// ---- which model ---------------------------------------------------------------------------------------------------

static bool unknown_model(const char *key, const char *found, bool by_type, const char *where, err *e)
{
    char known[1024] = "";
    for (int i = 0; i < N_ARCHS; i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", by_type ? archs[i].model_type : archs[i].name);
    }
    return err_set(e, ERR_INPUT, "%s: %s: found '%.80s', expected one of %s", where, key, found, known);
}

// Transformers never looks at "architectures" here: merged finetunes name a class of text alone over multimodal
// weights, trainers put their own prefix before the name (FSDPGemma4ForCausalLM), and model_type is right in all of
// them.
static bool find_by_type(hf_config *c, const char *type, const char *where, err *e)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (strcmp(type, archs[i].model_type) == 0) c->arch = &archs[i];
    return c->arch || unknown_model("model_type", type, true, where, e);
}

static bool find_by_name(hf_config *c, const cJSON *list, const char *where, err *e)
{
    const char *name = cJSON_GetStringValue(cJSON_IsArray(list) ? list->child : NULL);
    if (!name || list->child->next)
        return err_set(e, ERR_INPUT, "%s: architectures: expected an array with one name, or a model_type", where);
    for (int i = 0; i < N_ARCHS; i++)
        if (strcmp(name, archs[i].name) == 0) c->arch = &archs[i];
    return c->arch || unknown_model("architectures", name, false, where, e);
}

static bool find_arch(hf_config *c, const cJSON *root, const char *where, err *e)
{
    const char  *type;
    const cJSON *text = json_get(root, "text_config");
    if (!json_str_or(root, "model_type", "", &type, where, e)) return false;
    bool found = *type ? find_by_type(c, type, where, e) : find_by_name(c, json_get(root, "architectures"), where, e);
    if (!found) return false;
    if (text && !cJSON_IsObject(text)) return err_set(e, ERR_INPUT, "%s: text_config: expected an object", where);
    // Transformers looks for the text model's keys in one place only: without them there it would build a model of
    // default sizes.
    if (*type && c->arch->has_towers && !text)
        return err_set(e, ERR_INPUT, "%s: text_config is missing: a config of model_type '%s' has the text model's "
                       "keys there", where, type);
    if (*type && !c->arch->has_towers && text)
        return err_set(e, ERR_INPUT, "%s: text_config: found an object, expected the text model's keys at the top, by "
                       "model_type '%s'", where, type);
    return true;
}

bool hf_config_read(hf_config *c, const cJSON *root, const char *where, err *e)
{
    memset(c, 0, sizeof *c);
    if (!cJSON_IsObject(root)) return err_set(e, ERR_INPUT, "%s: expected an object", where);
    if (!find_arch(c, root, where, e)) return false;
    return config_keys_check(c, root, where, e) && c->arch->family->config(c, root, hf_text_config(root), where, e);
}
