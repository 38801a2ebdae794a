// json_tool FILE [PATH...]: parses FILE as exactly one JSON document, by the project's own strict parser, and prints
// the value at each PATH ("cases.0.prompt"; "kv/general.name" where a key holds dots: '/' then separates; ".#" at the
// end counts an array's or object's members). Exit 1 if the file is not JSON or a path leads nowhere. For the
// end-to-end scripts.
#include "formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *step(const cJSON *at, const char *name)
{
    if (!cJSON_IsArray(at)) return cJSON_GetObjectItemCaseSensitive(at, name);
    char *end;
    long i = strtol(name, &end, 10);
    return *end || end == name || i < 0 ? NULL : cJSON_GetArrayItem(at, (int)i);
}

static int print_path(const cJSON *at, const char *path)
{
    char copy[512];
    const char *separator = strchr(path, '/') ? "/" : ".";
    snprintf(copy, sizeof copy, "%s", path);
    for (char *rest = NULL, *name = strtok_r(copy, separator, &rest); name; name = strtok_r(NULL, separator, &rest)) {
        if (strcmp(name, "#") == 0 && at && (cJSON_IsArray(at) || cJSON_IsObject(at))) {
            printf("%d\n", cJSON_GetArraySize(at));
            return 0;
        }
        if (at) at = step(at, name);
    }
    char *text = at ? cJSON_PrintUnformatted(at) : NULL;
    if (!text) { fprintf(stderr, "json_tool: no value at '%s'\n", path); return 1; }
    puts(cJSON_IsString(at) ? at->valuestring : text);
    cJSON_free(text);
    return 0;
}

int main(int argc, char **argv)
{
    err e = { 0 };
    int status = 0;
    cJSON *root = argc >= 2 ? json_parse_file(argv[1], &e) : NULL;
    if (!root) { fprintf(stderr, "json_tool: %s\n", argc >= 2 ? e.msg : "usage: json_tool FILE [PATH...]"); return 1; }
    for (int i = 2; i < argc; i++) status |= print_path(root, argv[i]);
    cJSON_Delete(root);
    return status;
}
