#include "json_found.h"

#include <stdio.h>

const char *json_found(const cJSON *v, char text[JSON_FOUND_BYTES])
{
    const char *word = !v ? "nothing" : cJSON_IsNull(v) ? "null" : cJSON_IsTrue(v) ? "true" : cJSON_IsFalse(v) ? "false"
                     : cJSON_IsArray(v) ? "an array" : cJSON_IsObject(v) ? "an object" : NULL;
    if (word)                  snprintf(text, JSON_FOUND_BYTES, "%s", word);
    else if (cJSON_IsString(v)) snprintf(text, JSON_FOUND_BYTES, "\"%.80s\"", v->valuestring);
    else                        snprintf(text, JSON_FOUND_BYTES, "%.17g", v->valuedouble);
    return text;
}
