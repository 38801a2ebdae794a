// Any bytes as a config.json: refused in one line, or read into numbers within their limits, from which the metadata is
// planned; that is a well-formed file, and the config agrees with what was made of it.
#include "convert/convert.h"
#include "convert/hf_config.h"
#include "formats/json.h"
#include "fuzz.h"

static void check_config(const hf_config *c)
{
    MUST(c->arch && c->arch->family);
    MUST(c->n_layer >= 1 && c->n_layer <= LIMIT_LAYERS && c->n_shared >= 0 && c->n_shared <= c->n_layer);
    MUST(c->n_vocab >= 1 && c->n_embd >= 1 && c->n_head >= 1 && c->n_ctx >= 1 && c->window >= 0 && c->ple >= 0);
    for (int64_t i = 0; i < c->n_layer; i++) {
        MUST(c->sliding[i] == 0 || c->sliding[i] == 1);
        MUST(c->layer_ff[i] >= 1 && c->layer_kv[i] >= 1);
    }
}

// The metadata as a file without tensors.
static void read_plan(gguf_plan *p, const cJSON *json)
{
    err      e = { 0 };
    int64_t  header_bytes, file_bytes, n;
    uint8_t *header = NULL;
    MUST(gguf_plan_layout(p, &header_bytes, &file_bytes, &e) && gguf_plan_header(p, &header, &n, &e));
    gguf *g = gguf_open_mem(header, n, "config.gguf", &e);
    MUST(g != NULL);
    MUST_DO(convert_config_agrees(g, json, &e), &e);
    gguf_close(g);
    free(header);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static hf_config c;         // large: arrays by layer
    err    e = { 0 };
    cJSON *json = json_parse((const char *)data, (int64_t)size, "config.json", &e);
    if (!json) { must_be_refusal(&e); return 0; }
    if (!hf_config_read(&c, json, "config.json", &e)) {
        must_be_refusal(&e);
        err again = { 0 };
        MUST(!convert_plan_of_config(json, "config.json", &again));
    } else {
        check_config(&c);
        gguf_plan *p = convert_plan_of_config(json, "config.json", &e);
        if (p) read_plan(p, json);
        else   must_be_refusal(&e);
        gguf_plan_free(p);
    }
    cJSON_Delete(json);
    return 0;
}
