// record: the chat template of a release. See record.h.
#include "record.h"
#include "../formats/json.h"
#include <string.h>

bool record_template_add(cJSON *o, const record_template *t)
{
    if (!t) return true;
    if (!t->there) return cJSON_AddNullToObject(o, "chat_template") != NULL;
    cJSON *c = cJSON_AddObjectToObject(o, "chat_template");
    return cJSON_AddStringToObject(c, "sha256", t->sha256) && cJSON_AddNumberToObject(c, "bytes", (double)t->bytes)
        && cJSON_AddBoolToObject(c, "same_as_source", t->same_as_source);
}

static bool read_template(record_template *t, const cJSON *c, const char *where, err *e)
{
    const char  *digest;
    const cJSON *same = json_get(c, "same_as_source");
    if (!cJSON_IsObject(c)) return err_set(e, ERR_VERDICT, "%s: chat_template: found no object", where);
    if (!json_str(c, "sha256", &digest, where, e)) return false;
    if (!json_i64(c, "bytes", 0, INT64_C(1) << 53, &t->bytes, where, e)) return false;
    if (!sha256_is_hex(digest) || !cJSON_IsBool(same))
        return err_set(e, ERR_VERDICT, "%s: chat_template: found '%.80s', expected a SHA-256 in hex, and whether it "
                       "is the source's", where, digest);
    strcpy(t->sha256, digest);
    t->same_as_source = cJSON_IsTrue(same);
    return t->there = true;
}

bool record_template_read(record_template *t, bool *looked, const cJSON *release, const char *where, err *e)
{
    const cJSON *c = cJSON_GetObjectItemCaseSensitive(release, "chat_template");
    err bad = { 0 };
    *t = (record_template){ 0 };
    *looked = c != NULL;
    if (!c || cJSON_IsNull(c) || read_template(t, c, where, &bad)) return true;
    return err_as_verdict(e, &bad);
}
