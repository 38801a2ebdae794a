// What a release is made from: a Hugging Face folder, a safetensors file, a fixture.
#include "inspect.h"
#include "../convert/convert.h"
#include "../formats/checkpoint.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/fixture.h"
#include "../formats/json.h"
#include "../formats/safetensors.h"
#include <stdlib.h>
#include <string.h>

static inspect_row row_of(const st_tensor *t)
{
    return (inspect_row){ t->name, t->dtype_text, t->n_dims, t->shape, t->off, t->n_bytes };
}

static void tensors_json(json_out *j, const st *s)
{
    json_key_open(j, "tensors", '[');
    for (int64_t i = 0; s && i < st_n_tensors(s); i++) {
        inspect_row r = row_of(st_at(s, i));
        inspect_tensor_json(j, &r);
    }
    json_close(j, ']');
}

static bool tensors_table(const st *s, err *e)
{
    table t;
    int64_t bytes = 0;
    char size[32];
    table_begin(&t, inspect_tensor_header);
    for (int64_t i = 0; i < st_n_tensors(s); i++) {
        inspect_row r = row_of(st_at(s, i));
        inspect_tensor_cells(&t, &r);
        bytes += r.n_bytes;
    }
    if (!table_print(&t, stdout)) return err_nomem(e, "the table", 0);
    printf("\n%lld tensors in %d file%s, %s\n", (long long)st_n_tensors(s), st_n_files(s),
           st_n_files(s) == 1 ? "" : "s", human_bytes(bytes, size));
    return true;
}

bool inspect_safetensors(const char *path, bool json, err *e)
{
    st *s = st_open_file(path, e);
    if (!s) return false;
    bool ok = true;
    if (json) {
        json_out j;
        inspect_head_json(&j, path, "safetensors");
        json_key_open(&j, "kv", '{');
        json_close(&j, '}');
        tensors_json(&j, s);
        json_close(&j, '}');
    } else {
        ok = tensors_table(s, e);
    }
    st_close(s);
    return ok;
}

// ---- a Hugging Face folder ------------------------------------------------------------------------------------------

// The metadata that config.json alone gives, as a GGUF header in memory. *bytes is borrowed by the result; free it
// after gguf_close.
static gguf *plan_of_config(const char *config_path, uint8_t **bytes, err *e)
{
    gguf *g = NULL;
    cJSON *config = json_parse_file(config_path, e);
    gguf_plan *p = config ? convert_plan_of_config(config, config_path, e) : NULL;
    if (!p) goto out;
    if (!gguf_plan_find(p, "general.file_type") && !gguf_plan_u32(p, "general.file_type", FT_BF16, e)) goto out;
    g = gguf_plan_open(p, bytes, config_path, e);
out:
    gguf_plan_free(p);
    cJSON_Delete(config);
    return g;
}

// NULL without an error when the folder holds no weights.
static st *open_weights(const char *dir, err *e)
{
    char *index = path_join(dir, "model.safetensors.index.json"), *one = path_join(dir, "model.safetensors");
    st *s = NULL;
    if (!index || !one) err_nomem(e, "a path", strlen(dir));
    else if (file_exists(index) || file_exists(one)) s = st_open_dir(dir, e);
    free(index);
    free(one);
    return s;
}

static bool folder_text(const char *dir, const gguf *g, const st *s, err *e)
{
    print_line(stdout, "%s: a Hugging Face folder", dir);
    printf("\nMetadata from config.json\n");
    if (!inspect_kv_table(g, e)) return false;
    putchar('\n');
    if (s && !tensors_table(s, e)) return false;
    if (!s) printf("No weights here (no model.safetensors, no index): planned from config.json alone.\n");
    return inspect_memory(NULL, g, e);
}

static bool folder_json(const char *dir, const gguf *g, const st *s, err *e)
{
    json_out j;
    inspect_head_json(&j, dir, "huggingface");
    inspect_kv_json(&j, g, NULL);
    tensors_json(&j, s);
    bool ok = inspect_memory(&j, g, e);
    json_close(&j, '}');
    return ok;
}

bool inspect_folder(const char *dir, bool json, err *e)
{
    bool ok = false;
    uint8_t *bytes = NULL;
    gguf *g = NULL;
    st *s = NULL;
    char *config = path_join(dir, "config.json");
    if (!config) return err_nomem(e, "a path", strlen(dir));
    if (!file_exists(config)) {
        ok = inspect_artifacts(dir, json, e);
        goto out;
    }
    if (!checkpoint_keeps_to_itself(dir, e)) goto out;
    g = plan_of_config(config, &bytes, e);
    if (!g) goto out;
    s = open_weights(dir, e);
    if (e->kind) goto out;
    ok = json ? folder_json(dir, g, s, e) : folder_text(dir, g, s, e);
out:
    st_close(s);
    gguf_close(g);
    free(bytes);
    free(config);
    return ok;
}

// ---- a fixture ------------------------------------------------------------------------------------------------------

static void fixture_json(const fixture *f)
{
    const struct { const char *key, *value; } head[] = {
        { "model", f->model_name },
        { "revision", f->revision },
        { "source_digest", f->source_digest },
        { "dtype", f->dtype },
        { "device", f->device },
        { "transformers", f->transformers },
        { "torch", f->torch },
        { "weights_file", f->weights_file },
        { "weights_type", f->weights_type },
        { "weights_digest", f->weights_digest[0] ? f->weights_digest : NULL },
        { "digest", f->file_digest },
    };
    json_out j;
    inspect_head_json(&j, f->path, "fixture");
    json_key_open(&j, "kv", '{');
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) {
        json_key_cstr(&j, head[i].key, head[i].value);
    }
    json_key_int(&j, "tokens", f->tokens);
    json_key_int(&j, "top_k", f->top_k);
    json_close(&j, '}');
    tensors_json(&j, NULL);
    json_key_open(&j, "cases", '[');
    for (int64_t i = 0; i < f->n_cases; i++) {
        json_open(&j, '{');
        json_key_cstr(&j, "id", f->cases[i].id);
        json_key_cstr(&j, "category", f->cases[i].category);
        json_key_int(&j, "prompt_tokens", f->cases[i].n_prompt);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
}

static bool fixture_text(const fixture *f)
{
    static const char *const header[] = { "case", "category", ">prompt tokens", "prompt", NULL };
    print_line(stdout, "%s: a fixture: what Transformers %s (torch %s, %s, %s) said of %s", f->path, f->transformers,
               f->torch, f->device, f->dtype, f->model_name);
    print_line(stdout, "  source digest  %s", f->source_digest);
    if (f->weights_digest[0])
        print_line(stdout, "  weights of     %s (%s), digest %s", f->weights_file, f->weights_type, f->weights_digest);
    printf("  %lld cases, %d new tokens each, the top %d ids of each step\n\n", (long long)f->n_cases, f->tokens,
           f->top_k);
    table t;
    table_begin(&t, header);
    for (int64_t i = 0; i < f->n_cases; i++) {
        const fixture_case *c = &f->cases[i];
        table_cell(&t, "%s", c->id);
        table_cell(&t, "%s", c->category);
        table_cell(&t, "%lld", (long long)c->n_prompt);
        table_text(&t, c->prompt, (int64_t)strlen(c->prompt), 50);
    }
    return table_print(&t, stdout);
}

bool inspect_fixture(const char *path, bool json, err *e)
{
    fixture *f = fixture_open(path, e);
    if (!f) return false;
    bool ok = true;
    if (json) fixture_json(f);
    else      ok = fixture_text(f) || err_nomem(e, "the table", 0);
    fixture_close(f);
    return ok;
}
