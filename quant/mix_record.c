// What a file's own record of its mix says of the tensors: see mix_record.h.
#include "mix_record.h"
#include "../formats/claims.h"
#include "../formats/json.h"
#include <stdio.h>
#include <string.h>

static bool says_types(const gguf *g, const cJSON *tensors, const char *where, err *e)
{
    const cJSON *said;
    if (!cJSON_IsObject(tensors))
        return err_set(e, ERR_VERDICT, "%s: key 'tensors': found no object, expected the type of each tensor", where);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {           // in the file's order, so that the first is named
        const gguf_tensor *t = gguf_tensor_at(g, i);
        said = cJSON_GetObjectItemCaseSensitive(tensors, t->name);
        if (!said && dtype_find(t->type)->block_weights == 1) continue;
        const char *type = cJSON_IsString(said) ? said->valuestring : "nothing";
        if (strcmp(type, dtype_name(t->type)) != 0)
            return err_set(e, ERR_VERDICT, "%s: tensor '%s': the record of the mix says %.32s, the tensor is %s", where,
                           t->name, type, dtype_name(t->type));
    }
    cJSON_ArrayForEach(said, tensors)
        if (!gguf_find_tensor(g, said->string))
            return err_set(e, ERR_VERDICT, "%s: tensor '%.200s': the record of the mix names it, the file has none",
                           where, said->string);
    return true;
}

bool mix_record_check(const gguf *g, err *e)
{
    char     where[512];
    gguf_str s;
    err      bad = { 0 };
    if (!gguf_find_kv(g, KEY_HM_QUANTIZE_MIX)) return true;
    snprintf(where, sizeof where, "%s: key '%s'", gguf_path(g), KEY_HM_QUANTIZE_MIX);
    if (!gguf_get_str(g, KEY_HM_QUANTIZE_MIX, &s, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    cJSON *j = json_parse(s.s, s.n, where, &bad);
    if (!j) return err_as_verdict(e, &bad);
    bool ok = says_types(g, json_get(j, "tensors"), where, e);
    cJSON_Delete(j);
    return ok;
}
