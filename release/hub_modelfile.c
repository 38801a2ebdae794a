#include "hub_modelfile.h"
#include "hub_template.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/utf8.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY_CHAT "tokenizer.chat_template"

// ---- what the source says ------------------------------------------------------------------------------------------

bool hub_generation_of_source(hub_generation *g, const char *hf_dir, err *e)
{
    char  *path = path_join(hf_dir, "generation_config.json");
    cJSON *root = NULL;
    *g = (hub_generation){ 0 };
    bool ok = path || err_nomem(e, "a path", strlen(hf_dir));
    if (ok && file_exists(path)) ok = (root = json_parse_file(path, e)) != NULL;
    g->greedy = cJSON_IsFalse(json_get(root, "do_sample"));
    err no_number = { 0 };
    if (!json_i64_or(root, "max_length", 0, INT32_MAX, 0, &g->num_ctx, "", &no_number)) g->num_ctx = 0;
    cJSON_Delete(root);
    free(path);
    return ok;
}

void hub_generation_of_text(hub_generation *g, const char *modelfile)
{
    static const char CTX[] = "\nPARAMETER num_ctx ";
    const char *at = strstr(modelfile, CTX);
    *g = (hub_generation){ .greedy = strstr(modelfile, "\nPARAMETER temperature 0\n") != NULL };
    if (at) g->num_ctx = strtoll(at + sizeof CTX - 1, NULL, 10);
}

int hub_modelfile_choice(const verify_report *reports, int n)
{
    int smallest = 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(reports[i].type, "Q4_K_M") == 0) return i;
        if (reports[i].file_bytes < reports[smallest].file_bytes) smallest = i;
    }
    return smallest;
}

// ---- values --------------------------------------------------------------------------------------------------------

// Go's spaces and private characters: seen or not, none of them is printable there.
static bool is_odd(uint32_t c)
{
    return c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f || c == 0x205f || c == 0x3000
        || (c >= 0xe000 && c <= 0xf8ff) || c >= 0xe0000;
}

// Ollama drops what is not printable from a value.
static bool is_printed(const char *s)
{
    for (const char *end = s + strlen(s); s < end;) {
        const int n = utf8_len((const uint8_t *)s, end - s);
        if (n == 0) return false;
        const uint32_t c = utf8_number((const uint8_t *)s, n);
        if (is_odd(c) || (c != '\n' && c != '\t' && !text_is_plain(s, (size_t)n))) return false;
        s += n;
    }
    return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

bool hub_modelfile_put(text_buf *t, const char *s)
{
    const size_t n = strlen(s);
    if (n == 0 || !is_printed(s)) return false;
    const bool bare = !strchr(s, '\n') && s[0] != '"' && !is_blank(s[0]) && !is_blank(s[n - 1]);
    const char *quotes = bare ? "" : !strchr(s, '"') ? "\"" : !strstr(s, "\"\"\"") ? "\"\"\"" : NULL;
    if (!quotes) return false;
    text_words(t, quotes);
    text_raw(t, s, n);
    text_words(t, quotes);
    return true;
}

static void put_stop(text_buf *t, const char *token)
{
    text_buf value = { 0 };
    const bool fits = hub_modelfile_put(&value, token);
    char *text = text_take(&value);
    t->failed |= !text;
    if (text && fits) text_printf(t, "PARAMETER stop %s\n", text);
    if (text && !fits) {
        text_words(t, "# Left out, as this format has no way to say it: PARAMETER stop ");
        text_puts(t, TEXT_PLAIN, token);
        text_words(t, "\n");
    }
    free(text);
}

// In as few digits as give it back.
static void put_float(text_buf *t, const char *name, float v)
{
    char digits[32];
    int  n = 0;
    do snprintf(digits, sizeof digits, "%.*g", ++n, (double)v);
    while (n < 9 && strtof(digits, NULL) != v);
    text_printf(t, "PARAMETER %s %s\n", name, digits);
}

// ---- tokens --------------------------------------------------------------------------------------------------------

enum { MOST_ENDS = 64 };
typedef struct { int64_t id[MOST_ENDS]; char *text[MOST_ENDS]; int n; } ends;

static void add_end(ends *x, int64_t id)
{
    for (int i = 0; i < x->n; i++)
        if (x->id[i] == id) return;
    if (x->n < MOST_ENDS) x->id[x->n++] = id;
}

// Every id that ends a text: by the list where the file has one, else GGUF's own keys.
static void find_ends(ends *x, const gguf *g)
{
    static const char *const KEYS[] = { "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id" };
    const gguf_kv *list = gguf_find_kv(g, KEY_HM_EOS_IDS);
    int64_t id;
    for (int64_t i = 0; list && i < list->n && gguf_arr_i64(list, i, &id); i++) add_end(x, id);
    for (int i = 0; !list && i < 2; i++) {
        const gguf_kv *kv = gguf_find_kv(g, KEYS[i]);
        if (kv && gguf_arr_i64(kv, 0, &id)) add_end(x, id);
    }
}

static bool find_texts(ends *x, const gguf *g, err *e)
{
    const gguf_kv *tokens = gguf_find_kv(g, "tokenizer.ggml.tokens");
    gguf_str_iter  it;
    gguf_str       s;
    if (!tokens) return true;
    it = gguf_strs(tokens);
    for (int64_t id = 0; gguf_next_str(&it, &s); id++)
        for (int i = 0; i < x->n; i++) {
            if (x->id[i] != id || x->text[i]) continue;
            if (!(x->text[i] = strndup(s.s, (size_t)s.n))) return err_nomem(e, "a token", (size_t)s.n);
        }
    return true;
}

static void ends_free(ends *x)
{
    for (int i = 0; i < x->n; i++) free(x->text[i]);
}

// ---- the parts -----------------------------------------------------------------------------------------------------

static void put_no_template(text_buf *t, const char *jinja)
{
    if (!jinja) {
        text_words(t, "# No TEMPLATE: the source has no chat template. Ollama then gives the model the bare prompt.\n");
        return;
    }
    text_words(t, "# No TEMPLATE: the source's chat template is in the GGUF file, byte for byte, but is none that can\n"
                  "# be said exactly in Ollama's terms. Without one Ollama looks among templates of its own for one\n"
                  "# that resembles it, and otherwise gives the model the bare prompt; llama.cpp uses it as it is.\n");
}

static bool put_template(text_buf *t, const char *jinja, const char *eos, err *e)
{
    hub_template x;
    bool ok = hub_template_of(&x, jinja, eos) || err_nomem(e, HUB_MODELFILE, 0);
    if (ok && x.name) {
        text_printf(t, "# The source's chat template is of the %s format, which this says in Ollama's terms%s%s.\n"
                       "TEMPLATE ", x.name, x.note ? "; " : "", x.note ? x.note : "");
        ok = hub_modelfile_put(t, x.go) || err_set(e, ERR_SYSTEM, "%s: a template that has no quotes", HUB_MODELFILE);
        text_words(t, "\n");
    } else if (ok) {
        put_no_template(t, jinja);
    }
    hub_template_free(&x);
    return ok;
}

static bool put_sampling(text_buf *t, const gguf *g, const hub_generation *gen, err *e)
{
    static const struct { const char *key, *name; } ROWS[] = {
        { "general.sampling.temp", "temperature" }, { "general.sampling.top_p", "top_p" },
        { "general.sampling.min_p", "min_p" }, { "general.sampling.penalty_repeat", "repeat_penalty" },
    };
    int64_t top_k = 0;
    if (gen->greedy) text_words(t, "PARAMETER temperature 0\n");
    for (size_t i = gen->greedy; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        float v;
        if (!gguf_get_f32_or(g, ROWS[i].key, NAN, &v, e)) return false;
        if (isfinite(v)) put_float(t, ROWS[i].name, v);
    }
    if (!gguf_get_i64_or(g, "general.sampling.top_k", 0, &top_k, e)) return false;
    if (top_k > 0) text_printf(t, "PARAMETER top_k %lld\n", (long long)top_k);
    return true;
}

static bool put_context(text_buf *t, const gguf *g, const hub_generation *gen, err *e)
{
    enum { LEAST = 128 };       // Transformers' old default, 20, says nothing of the model
    char     key[96];
    gguf_str arch;
    int64_t  most = 0;
    if (gen->num_ctx < LEAST) return true;
    if (!gguf_get_str(g, "general.architecture", &arch, e)) return false;
    snprintf(key, sizeof key, "%.*s.context_length", arch.n < 64 ? (int)arch.n : 64, arch.s);
    if (!gguf_get_i64_or(g, key, 0, &most, e)) return false;
    if (gen->num_ctx <= most) text_printf(t, "PARAMETER num_ctx %lld\n", (long long)gen->num_ctx);
    return true;
}

static bool put_all(text_buf *t, const gguf *g, const char *name, bool usual, const hub_generation *gen, const ends *x,
                    err *e)
{
    gguf_str s;
    err      absent = { 0 };
    char    *jinja = NULL;
    if (gguf_get_str(g, KEY_CHAT, &s, &absent) && !(jinja = strndup(s.s, (size_t)s.n)))
        return err_nomem(e, "a chat template", (size_t)s.n);
    text_words(t, "# To run in Ollama, in this folder: ollama create NAME -f Modelfile\n#\n# ");
    text_words(t, usual ? "Of the files here Q4_K_M is the usual choice" : "This is the smallest file here");
    text_words(t, "; another one may stand in its place.\n");
    if (!is_printed(name))
        text_words(t, "# Ollama does not read every character of this name: give the file another.\n");
    text_printf(t, "FROM ./%s\n\n", name);
    bool ok = put_template(t, jinja, x->n > 0 ? x->text[0] : NULL, e);
    text_words(t, "\n");
    for (int i = 0; i < x->n; i++)
        if (x->text[i]) put_stop(t, x->text[i]);
    ok = ok && put_sampling(t, g, gen, e) && put_context(t, g, gen, e);
    free(jinja);
    return ok;
}

char *hub_modelfile(const gguf *g, const char *name, bool usual, const hub_generation *gen, err *e)
{
    text_buf t = { 0 };
    ends     x = { .n = 0 };
    char    *text = NULL;
    find_ends(&x, g);
    const bool ok = find_texts(&x, g, e) && put_all(&t, g, name, usual, gen, &x, e);
    if (ok && !(text = text_take(&t))) err_nomem(e, HUB_MODELFILE, 0);
    text_drop(&t);
    ends_free(&x);
    return text;
}

char *hub_modelfile_of(const char *dir, const verify_report *reports, int n, const hub_generation *gen, err *e)
{
    const verify_report *v = &reports[hub_modelfile_choice(reports, n)];
    gguf *g = gguf_open_in(dir, v->artifact, e);
    char *text = g ? hub_modelfile(g, v->artifact, strcmp(v->type, "Q4_K_M") == 0, gen, e) : NULL;
    gguf_close(g);
    return text;
}
