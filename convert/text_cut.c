// text_cut: see text_cut.h.
#include "text_cut.h"

#include "../formats/json.h"
#include "vocab_token.h"

#include <string.h>

typedef struct {
    text_cut               *c;
    const tokenizer_source *s;
    const cJSON            *tokenizer;
    const merges           *m;
    const char             *where;
    err                    *e;
} reader;

static bool is_string(const cJSON *v, const char *want)
{
    const char *s = cJSON_GetStringValue(v);
    return s && strcmp(s, want) == 0;
}

static bool type_is(const cJSON *obj, const char *type) { return is_string(json_get(obj, "type"), type); }

static const char *type_of(const cJSON *obj)
{
    const char *type = cJSON_GetStringValue(json_get(obj, "type"));
    return type ? type : obj ? "no type" : "none";
}

// The steps of a Sequence, else the step itself; at most two. Returns how many, -1: more.
enum { MOST_STEPS = 2 };
static int steps_of(const cJSON *v, const char *list, const cJSON *out[MOST_STEPS])
{
    int n = 0;
    if (!v) return 0;
    if (!type_is(v, "Sequence")) {
        out[0] = v;
        return 1;
    }
    const cJSON *steps = json_get(v, list);
    for (const cJSON *it = cJSON_IsArray(steps) ? steps->child : NULL; it; it = it->next) {
        if (n == MOST_STEPS) return -1;
        out[n++] = it;
    }
    return n;
}

// ---- the model -----------------------------------------------------------------------------------------------------

static bool check_bpe(const reader *r)
{
    const cJSON *model = json_get(r->tokenizer, "model");
    if (!cJSON_IsObject(model)) return err_set(r->e, ERR_INPUT, "%s: model: expected an object", r->where);
    if (!type_is(model, "BPE")) {
        const char *type = cJSON_GetStringValue(json_get(model, "type"));
        return err_set(r->e, ERR_INPUT, "%s: model.type: found %.40s, expected BPE", r->where, type ? type : "nothing");
    }
    if (cJSON_GetArraySize(json_get(model, "merges")) == 0) return true;
    return err_set(r->e, ERR_INPUT, "%s: model.merges: expected an array, and its name without escapes", r->where);
}

// A share of merges that is left out by chance, and marks on the pieces of a word: GGUF has no key for them.
static bool check_merging(const reader *r)
{
    static const char *const marks[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    const cJSON *model = json_get(r->tokenizer, "model"), *dropout = json_get(model, "dropout");
    if (dropout && !(cJSON_IsNumber(dropout) && dropout->valuedouble == 0))
        return err_set(r->e, ERR_INPUT, "%s: model.dropout: expected none: a text would be cut by chance", r->where);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *mark = cJSON_GetStringValue(json_get(model, marks[i]));
        if (mark && *mark)
            return err_set(r->e, ERR_INPUT, "%s: model.%s: found '%.40s', expected none: GGUF cannot say so, and ids "
                           "would change", r->where, marks[i], mark);
    }
    return true;
}

// BPE over pieces: what is no token becomes its bytes.
static bool check_piece_model(const reader *r)
{
    const cJSON *model = json_get(r->tokenizer, "model");
    bool on;
    if (!check_merging(r) || !json_bool_or(model, "byte_fallback", false, &on, r->where, r->e)) return false;
    if (!on) return err_set(r->e, ERR_INPUT, "%s: model.byte_fallback: found false, expected true", r->where);
    if (!json_bool_or(model, "ignore_merges", false, &on, r->where, r->e)) return false;
    return !on || err_set(r->e, ERR_INPUT, "%s: model.ignore_merges: found true, expected false", r->where);
}

// ---- byte-level ----------------------------------------------------------------------------------------------------

static bool refuse_steps(const reader *r, const cJSON *const step[MOST_STEPS], int n)
{
    return err_set(r->e, ERR_INPUT,
                   "%s: pre_tokenizer: found %.40s%s%.40s, expected ByteLevel alone, or behind Digits or "
                   "Split", r->where, n > 0 ? type_of(step[0]) : n < 0 ? "more than two steps" : "none",
                   n > 1 ? " and " : "", n > 1 ? type_of(step[1]) : "");
}

static bool read_byte_step(const reader *r, const cJSON *step, bool *use_regex)
{
    bool prefix;
    if (!json_bool_or(step, "use_regex", true, use_regex, r->where, r->e)) return false;
    if (!json_bool_or(step, "add_prefix_space", true, &prefix, r->where, r->e)) return false;
    return !prefix
        || err_set(r->e, ERR_INPUT, "%s: pre_tokenizer: ByteLevel: add_prefix_space: found true, expected false: "
                              "GGUF cannot say it of a byte-level vocabulary", r->where);
}

static const pretok_row *find_row(const char *pattern, bool digits)
{
    for (const pretok_row *p = pretok_table(); p->name; p++) {
        if (p->is_split != (pattern != NULL) || p->digits != digits) continue;
        if (!pattern || strcmp(pattern, p->pattern) == 0) return p;
    }
    return NULL;
}

static bool read_split(const reader *r, const cJSON *split)
{
    const char *pattern = cJSON_GetStringValue(json_get(json_get(split, "pattern"), "Regex"));
    bool invert;
    if (!json_bool_or(split, "invert", false, &invert, r->where, r->e)) return false;
    if (!pattern || invert || !is_string(json_get(split, "behavior"), "Isolated"))
        return err_set(r->e, ERR_INPUT,
                       "%s: pre_tokenizer: Split: expected a pattern that is a Regex, behavior 'Isolated' and "
                       "invert false", r->where);
    r->c->pre = find_row(pattern, false);
    return r->c->pre || err_set(r->e, ERR_INPUT, "%s: pre_tokenizer: Split: found a pattern that has no name in GGUF: "
                                "'%.700s'", r->where, pattern);
}

// [Digits or Split,] ByteLevel
static bool read_pre_tokenizer(const reader *r)
{
    const cJSON *step[MOST_STEPS] = { NULL, NULL };
    const int    n = steps_of(json_get(r->tokenizer, "pre_tokenizer"), "pretokenizers", step);
    bool         use_regex, single_digits = false;
    if (n < 1 || !type_is(step[n - 1], "ByteLevel")) return refuse_steps(r, step, n);
    if (!read_byte_step(r, step[n - 1], &use_regex)) return false;
    if (n == 2 && type_is(step[0], "Split") && !use_regex) return read_split(r, step[0]);
    if (n == 2 && !json_bool_or(step[0], "individual_digits", false, &single_digits, r->where, r->e)) return false;
    if (!use_regex || (n == 2 && !(type_is(step[0], "Digits") && single_digits))) return refuse_steps(r, step, n);
    r->c->pre = find_row(NULL, n == 2);
    return true;
}

static bool read_normalizer(const reader *r)
{
    const cJSON *step[MOST_STEPS] = { NULL, NULL }, *v = json_get(r->tokenizer, "normalizer");
    const int    n = steps_of(v, "normalizers", step);
    r->c->nfc = n == 1;
    if (n == 0 || (n == 1 && type_is(step[0], "NFC"))) return true;
    return err_set(r->e, ERR_INPUT, "%s: normalizer: found %.40s, expected none, or NFC", r->where,
                   n < 0 ? "more than two steps" : type_of(step[0]));
}

// What a model says of itself; a class that makes a model of its own does not look at it.
static bool read_byte_model(const reader *r)
{
    const cJSON *model = json_get(r->tokenizer, "model");
    return check_merging(r)
        && json_bool_or(model, "ignore_merges", false, &r->c->ignore_merges, r->where, r->e);
}

static bool has_digit(const char *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (s[i] >= '0' && s[i] <= '9') return true;
    return false;
}

// Where nothing ever merges with a digit, it does not matter whether digits are words of their own.
static bool digits_never_merge(const merges *m)
{
    for (int64_t i = 0; i < m->n; i++)
        if (has_digit(m->joined + m->m[i].off, (int64_t)m->m[i].n_left + 1 + m->m[i].n_right)) return false;
    return true;
}

// Qwen2Tokenizer, Qwen3_5Tokenizer and GPT2Tokenizer have words of their own and do not look at tokenizer.json for
// them.
static bool read_class(const reader *r, const char *pre)
{
    text_cut   file = { .kind = TOK_BYTES };
    err        ignored = { 0 };
    reader     of_file = *r;
    of_file.c = &file;
    of_file.e = &ignored;
    const bool known = read_pre_tokenizer(&of_file) && read_normalizer(&of_file);
    bool       prefix;
    if (!json_bool_or(r->s->tokenizer_config, "add_prefix_space", false, &prefix, r->where, r->e)) return false;
    if (prefix)
        return err_set(r->e, ERR_INPUT,
                       "%s/tokenizer_config.json: add_prefix_space: found true, expected false: GGUF cannot "
                       "say it of a byte-level vocabulary", r->s->dir);
    r->c->pre = pretok_find(pre);
    r->c->nfc = r->c->pre->nfc;
    r->c->ignore_merges = false;
    if (known && file.pre->digits && !r->c->pre->is_split && file.nfc == r->c->nfc && digits_never_merge(r->m)) {
        r->c->pre = file.pre;       // the same words in the end
        return true;
    }
    if (!known || file.pre != r->c->pre || file.nfc != r->c->nfc)
        progress_logf(r->s->log, "tokenizer.json cuts a text otherwise than the class that tokenizer_config.json "
                      "names: the class's own words ('%s') are taken, as in Transformers", r->c->pre->name);
    return true;
}

// ---- SentencePiece -------------------------------------------------------------------------------------------------

static bool is_replace(const cJSON *step)
{
    return type_is(step, "Replace") && is_string(json_get(json_get(step, "pattern"), "String"), " ")
        && is_string(json_get(step, "content"), TOKEN_SPACE);
}

static bool is_prepend(const cJSON *step)
{
    return type_is(step, "Prepend") && is_string(json_get(step, "prepend"), TOKEN_SPACE);
}

static bool read_metaspace(const reader *r, const cJSON *step)
{
    const cJSON *scheme = json_get(step, "prepend_scheme"), *mark = json_get(step, "replacement");
    bool split, older;
    if (!json_bool_or(step, "split", true, &split, r->where, r->e)) return false;
    if (!json_bool_or(step, "add_prefix_space", true, &older, r->where, r->e)) return false;
    if (split || !is_string(mark, TOKEN_SPACE))
        return err_set(r->e, ERR_INPUT, "%s: pre_tokenizer: Metaspace: expected replacement U+2581 and split false",
                       r->where);
    r->c->prefix = older ? SPACE_MISSING : SPACE_NONE;
    if (!scheme) return true;
    if (is_string(scheme, "always"))     r->c->prefix = SPACE_MISSING;
    else if (is_string(scheme, "first")) r->c->prefix = SPACE_FIRST;
    else if (is_string(scheme, "never")) r->c->prefix = SPACE_NONE;
    else return err_set(r->e, ERR_INPUT, "%s: pre_tokenizer: Metaspace: prepend_scheme: expected 'always', 'first' or "
                        "'never'", r->where);
    return true;
}

// A normalizer that puts a mark before the text and makes spaces marks, or a pre-tokenizer that does both.
static bool read_spaces(const reader *r)
{
    const cJSON *step[MOST_STEPS] = { NULL, NULL }, *pre = json_get(r->tokenizer, "pre_tokenizer");
    const int    n = steps_of(json_get(r->tokenizer, "normalizer"), "normalizers", step);
    if (n == 0 && type_is(pre, "Metaspace")) return read_metaspace(r, pre);
    if (pre)
        return err_set(r->e, ERR_INPUT,
                       "%s: pre_tokenizer: found %.40s, expected none, or Metaspace without a normalizer",
                       r->where, type_of(pre));
    if (n == 1 && is_replace(step[0])) return true;
    r->c->prefix = SPACE_EACH;
    if (n == 2 && is_prepend(step[0]) && is_replace(step[1])) return true;
    return err_set(r->e, ERR_INPUT,
                   "%s: normalizer: found %.40s%s%.40s, expected Prepend of U+2581 and Replace of ' ' by it",
                   r->where, n < 0 ? "more than two steps" : type_of(step[0]), n > 1 ? " and " : "",
                   n > 1 ? type_of(step[1]) : "");
}

// Gemma: spaces become U+2581 and nothing else happens to a text. GemmaTokenizer would not look at these steps, but
// other readers of the folder do. A split at spaces finds none after the normalizer, so it cuts nothing.
static bool check_gemma(const reader *r)
{
    const cJSON *step[MOST_STEPS] = { NULL, NULL }, *pre = json_get(r->tokenizer, "pre_tokenizer");
    const cJSON *normalizer = json_get(r->tokenizer, "normalizer");
    const int    n = steps_of(normalizer, "normalizers", step);
    const char  *type = cJSON_GetStringValue(json_get(normalizer, "type"));
    if (n != 1 || !is_replace(step[0]))
        return err_set(r->e, ERR_INPUT,
                       "%s: normalizer: found %.40s, expected Replace of ' ' by U+2581 and nothing more", r->where,
                       type ? type : "none");
    if (!pre || (type_is(pre, "Split") && is_string(json_get(json_get(pre, "pattern"), "String"), " "))) return true;
    return err_set(r->e, ERR_INPUT, "%s: pre_tokenizer: found %.40s, expected none, or a Split at ' '", r->where,
                   type_of(pre));
}

// LlamaTokenizer: a Metaspace of its own, before the first part of a text only unless it is to be as of old.
static bool read_llama_class(const reader *r)
{
    const cJSON *tc = r->s->tokenizer_config;
    bool prefix, legacy;
    if (!json_bool_or(tc, "add_prefix_space", true, &prefix, r->where, r->e)) return false;
    if (!json_bool_or(tc, "legacy", false, &legacy, r->where, r->e)) return false;
    r->c->prefix = !prefix ? SPACE_NONE : legacy ? SPACE_MISSING : SPACE_FIRST;
    return true;
}

// ---- which of them -------------------------------------------------------------------------------------------------

static bool has_byte_level(const cJSON *tokenizer)
{
    const cJSON *step[MOST_STEPS] = { NULL, NULL };
    const int    n = steps_of(json_get(tokenizer, "pre_tokenizer"), "pretokenizers", step);
    for (int i = 0; i < n; i++)
        if (type_is(step[i], "ByteLevel")) return true;
    return n < 0;
}

bool text_cut_read(text_cut *c, tokenizer_build build, const tokenizer_source *s, const cJSON *tokenizer,
                   const merges *m, const char *where, err *e)
{
    const reader r = { .c = c, .s = s, .tokenizer = tokenizer, .m = m, .where = where, .e = e };
    *c = (text_cut){ .kind = s->kind };
    if (!check_bpe(&r)) return false;
    if (s->kind != TOK_BY_FILE) return check_piece_model(&r) && check_gemma(&r);
    static const char *const own[] = { [BUILD_QWEN2] = "qwen2", [BUILD_QWEN35] = "qwen35", [BUILD_GPT2] = "gpt-2" };
    const bool by_class = own[build] != NULL;
    c->kind = by_class || (build != BUILD_LLAMA && has_byte_level(tokenizer)) ? TOK_BYTES : TOK_LLAMA;
    if (build == BUILD_LLAMA) return read_llama_class(&r);
    if (c->kind == TOK_LLAMA) return check_piece_model(&r) && read_spaces(&r);
    if (by_class) return read_class(&r, own[build]);
    return read_byte_model(&r) && read_normalizer(&r) && read_pre_tokenizer(&r);
}

bool text_cut_plan_model(gguf_plan *p, const text_cut *c, err *e)
{
    static const char *const models[] = { [TOK_LLAMA] = "llama", [TOK_GEMMA4] = "gemma4", [TOK_BYTES] = "gpt2" };
    if (!gguf_plan_str(p, "tokenizer.ggml.model", models[c->kind], e)) return false;
    if (c->kind == TOK_GEMMA4) return true;
    return gguf_plan_str(p, "tokenizer.ggml.pre", c->kind == TOK_BYTES ? c->pre->name : "default", e);
}

static bool plan_byte_rules(gguf_plan *p, const text_cut *c, progress *log, err *e)
{
    if (c->nfc) progress_logf(log, "a text is brought to NFC first, as in Transformers; llama.cpp does not do it");
    if (c->nfc != c->pre->nfc && !gguf_plan_bool(p, KEY_HM_NFC, c->nfc, e)) return false;
    if (c->ignore_merges == c->pre->ignore_merges) return true;
    progress_logf(log, "a word that is a token %s, as in Transformers; llama.cpp goes by the name '%s' and does "
                  "otherwise",
                  c->ignore_merges ? "is taken without merging" : "is merged all the same", c->pre->name);
    return gguf_plan_bool(p, KEY_HM_IGNORE_MERGES, c->ignore_merges, e);
}

bool text_cut_plan_rules(gguf_plan *p, const text_cut *c, progress *log, err *e)
{
    if (c->kind == TOK_BYTES) return plan_byte_rules(p, c, log, e);
    if (!gguf_plan_bool(p, "tokenizer.ggml.add_space_prefix", c->prefix != SPACE_NONE, e)) return false;
    if (c->prefix == SPACE_NONE || c->prefix == SPACE_EACH) return true;
    progress_logf(log, "a space is put %s, as in Transformers; llama.cpp puts one before every part of a text",
                  c->prefix == SPACE_FIRST ? "at the beginning of a text that has none"
                                           : "before a part that has none");
    return gguf_plan_str(p, KEY_HM_SPACE_PREFIX, space_prefix_name(c->prefix), e);
}
