// played_server: a server that knows a fixture by heart and answers in the way of one kind of server, for tests. What
// llama.cpp's answers look like was recorded (tests/golden/remote); those of vLLM, SGLang and Ollama are made after
// their documentation, and were not held against real servers.
#ifndef HALLMARK_TESTS_PLAYED_SERVER_H
#define HALLMARK_TESTS_PLAYED_SERVER_H

#include "formats/fixture.h"
#include "formats/json.h"
#include "http_server.h"
#include "runtime/tokenizer.h"
#include <math.h>

typedef struct {
    const fixture   *f;
    const char      *kind;              // "llama", "openai", "sglang", "ollama"
    const tokenizer *words;             // of ollama
    // What it does otherwise, at one step of one case and beyond.
    int64_t          bad_case, bad_step;        // -1: nowhere
    int32_t          bad_id;
    int              bad_rank;          // where among the best ids of that step it stands; 0: it is chosen
    double           shift;             // of the second-best log-probability, everywhere
    int              most_probs;        // ids a step, however many were asked for; 0: as many as that
    bool             no_probs;          // of llama: ids alone
    bool             strays;            // at every other step, to the second-best id
    bool             speculates, stops_at_two;  // ends each answer after two ids, as at an end of text
    void           (*instead)(void *played, const http_request *q, http_reply_bytes *a);    // from `after` questions on
    int              after;
    _Atomic int      questions;
    const char      *want_key;
    char             failed[1024];       // what a request did not ask as it should
} played;

static inline void played_must(played *p, bool holds, const char *what)
{
    if (!holds && !p->failed[0]) snprintf(p->failed, sizeof p->failed, "%s", what);
}

static inline double number_of(const cJSON *o, const char *key)
{
    const cJSON *v = json_get(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

// Which case these ids begin, and how many of its generated ids they hold. -1: none.
static inline int64_t find_case(const fixture *f, const int32_t *ids, int64_t n, int64_t *step)
{
    for (int64_t i = 0; i < f->n_cases; i++) {
        const fixture_case *c = &f->cases[i];
        if (n < c->n_prompt || n - c->n_prompt > f->tokens) continue;
        if (memcmp(ids, c->prompt_ids, (size_t)c->n_prompt * sizeof *ids) != 0) continue;
        if (memcmp(ids + c->n_prompt, c->generated_ids, (size_t)(n - c->n_prompt) * sizeof *ids) != 0) continue;
        *step = n - c->n_prompt;
        return i;
    }
    return -1;
}

static inline int64_t ids_of(const cJSON *list, int32_t *ids, int64_t room)
{
    int64_t n = 0;
    for (const cJSON *v = list ? list->child : NULL; v && n < room; v = v->next) ids[n++] = (int32_t)v->valuedouble;
    return n;
}

static inline double logprob_of(const played *p, const fixture_step *s, int k)
{
    const double lse = (double)s->logits[0] - (double)s->logprobs[0];
    return (double)s->logits[k] - lse + (k == 1 ? p->shift : 0);
}

static inline bool is_bad(const played *p, int64_t i, int64_t step) { return i == p->bad_case && step == p->bad_step; }

static inline int32_t played_id(const played *p, int64_t i, int64_t step)
{
    return is_bad(p, i, step) && p->bad_rank == 0 ? p->bad_id : p->f->cases[i].steps[step].ids[p->strays];
}

// The k-th id of a step as this server has it: where it goes astray, its id takes another one's place.
static inline int32_t kept_id(const played *p, int64_t i, int64_t step, int k)
{
    const fixture_step *s = &p->f->cases[i].steps[step];
    if (!is_bad(p, i, step)) return s->ids[p->strays && k < 2 ? 1 - k : k];
    return k == p->bad_rank ? p->bad_id : s->ids[k] == p->bad_id ? s->ids[p->bad_rank] : s->ids[k];
}

static inline void put_pieces(text_buf *t, const char *before, const char *form, int n_probs, const played *p,
                              int64_t i, int64_t step)
{
    if (p->most_probs > 0 && n_probs > p->most_probs) n_probs = p->most_probs;
    for (int k = 0; k < n_probs && k < p->f->top_k; k++) {
        const double lp = logprob_of(p, &p->f->cases[i].steps[step], k);
        const int    id = kept_id(p, i, step, k);
        text_words(t, k ? "," : before);
        if (form[0] == '{') text_printf(t, "{\"id\":%d,\"token\":\"x\",\"bytes\":[120],\"logprob\":%.17g}", id, lp);
        if (form[0] == '[') text_printf(t, "[%.17g,%d,null]", lp, id);
        if (form[0] == 't') text_printf(t, "\"token_id:%d\":%.17g", id, lp);
        if (form[0] == 'p') text_printf(t, "\"%d\":{\"logprob\":%.17g,\"rank\":%d,\"decoded_token\":\"x\"}", id, lp,
            k + 1);
    }
}

static inline int64_t answered(const played *p, int64_t step, int64_t n_new)
{
    int64_t n = p->f->tokens - step < n_new ? p->f->tokens - step : n_new;
    return p->stops_at_two && n > 2 ? 2 : n;
}

static inline void put_ids(text_buf *t, const played *p, int64_t i, int64_t step, int64_t n)
{
    for (int64_t k = 0; k < n; k++) text_printf(t, "%s%d", k ? "," : "", played_id(p, i, step + k));
}

static inline void play_llama(played *p, const cJSON *q, int64_t i, int64_t step, int64_t n_ids, text_buf *t)
{
    const int     n_probs = (int)number_of(q, "n_probs");
    const int64_t n = answered(p, step, (int64_t)number_of(q, "n_predict"));
    played_must(p, cJSON_IsFalse(json_get(q, "cache_prompt")), "cache_prompt is not asked to be off");
    played_must(p, cJSON_IsTrue(json_get(q, "return_tokens")), "return_tokens");
    played_must(p, number_of(q, "temperature") == 0 && number_of(q, "speculative.n_max") == 0, "temperature, "
                                        "speculative.n_max");
    text_words(t, "{\"content\":\"x\",\"tokens\":[");
    put_ids(t, p, i, step, n);
    text_printf(t, "],\"stop\":true,\"tokens_evaluated\":%lld,\"generation_settings\":{\"speculative.types\":\"%s\"}",
                (long long)n_ids, p->speculates ? "draft-mtp" : "none");
    text_words(t, p->no_probs ? "}" : ",\"completion_probabilities\":[");
    if (p->no_probs) return;
    for (int64_t k = 0; k < n; k++) {
        text_printf(t, "%s{\"id\":%d,\"token\":\"x\",\"logprob\":-0.5,\"top_logprobs\":[", k ? "," : "", played_id(p,
                    i, step + k));
        put_pieces(t, "", "{", n_probs, p, i, step + k);
        text_words(t, "]}");
    }
    text_words(t, "]}");
}

static inline void play_openai(played *p, const cJSON *q, int64_t i, int64_t step, int64_t n_ids, text_buf *t)
{
    const fixture_case *c = &p->f->cases[i];
    const bool scores = json_get(q, "prompt_logprobs") != NULL;
    const int  n_probs = (int)number_of(q, scores ? "prompt_logprobs" : "logprobs");
    played_must(p, n_probs == 20, "more log-probabilities than vLLM gives unless it is told so at its start");
    played_must(p, cJSON_IsTrue(json_get(q, "return_token_ids")) && cJSON_IsTrue(json_get(q, "ignore_eos")),
                "return_token_ids, ignore_eos");
    played_must(p, cJSON_IsString(json_get(q, "model")) && strcmp(json_get(q, "model")->valuestring, "tiny") == 0,
                "model");
    text_printf(t,
                "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"model\":\"tiny\",\"usage\":{\"prompt_tokens\":%"
                "lld},\"choices\":[{\"index\":0,\"text\":\"x\"",
                (long long)n_ids);
    if (scores) {
        text_words(t, ",\"token_ids\":[0],\"logprobs\":null,\"prompt_logprobs\":[null");
        for (int64_t at = 1; at < n_ids; at++) {
            text_words(t, at < c->n_prompt ? ",{\"1\":{\"logprob\":-1.5,\"rank\":1,\"decoded_token\":\"x\"}" : ",{");
            if (at >= c->n_prompt) put_pieces(t, "", "p", n_probs, p, i, at - c->n_prompt);
            text_words(t, "}");
        }
        text_words(t, "]}]}");
        return;
    }
    const int64_t n = answered(p, step, (int64_t)number_of(q, "max_tokens"));
    text_words(t, ",\"token_ids\":[");
    put_ids(t, p, i, step, n);
    text_words(t, "],\"prompt_logprobs\":null,\"logprobs\":{\"tokens\":[],\"top_logprobs\":[");
    for (int64_t k = 0; k < n; k++) {
        text_words(t, k ? ",{" : "{");
        put_pieces(t, "", "t", n_probs, p, i, step + k);
        text_words(t, "}");
    }
    text_words(t, "]}}]}");
}

static inline void play_sglang(played *p, const cJSON *q, int64_t i, int64_t step, int64_t n_ids, text_buf *t)
{
    const fixture_case *c = &p->f->cases[i];
    const cJSON *sampling = json_get(q, "sampling_params");
    const bool scores = number_of(q, "logprob_start_len") == 0;
    const int  n_probs = (int)number_of(q, "top_logprobs_num");
    const int64_t n = scores ? 0 : answered(p, step, (int64_t)number_of(sampling, "max_new_tokens"));
    played_must(p, cJSON_IsTrue(json_get(q, "return_logprob")) && cJSON_IsTrue(json_get(sampling, "ignore_eos")),
                "return_logprob, ignore_eos");
    text_words(t, "{\"text\":\"x\",\"output_ids\":[");
    put_ids(t, p, i, step, n);
    text_printf(t, "],\"meta_info\":{\"id\":\"1\",\"prompt_tokens\":%lld,\"input_token_logprobs\":[", (long long)n_ids);
    const cJSON *ids = json_get(q, "input_ids");
    for (const cJSON *v = scores ? ids->child : NULL; v; v = v->next)
        text_printf(t, "%s[%s,%d,null]", v == ids->child ? "" : ",", v == ids->child ? "null" : "-1.5",
                    (int)v->valuedouble);
    text_words(t, "],\"input_top_logprobs\":[");
    for (int64_t at = 0; scores && at < n_ids; at++) {
        text_words(t, at == 0 ? "null" : at < c->n_prompt ? ",[[-1.5,1,null]" : ",[");
        if (at >= c->n_prompt) put_pieces(t, "", "[", n_probs, p, i, at - c->n_prompt);
        text_words(t, at ? "]" : "");
    }
    text_words(t, "],\"output_top_logprobs\":[");
    for (int64_t k = 0; k < n; k++) {
        text_words(t, k ? ",[" : "[");
        put_pieces(t, "", "[", n_probs, p, i, step + k);
        text_words(t, "]");
    }
    text_words(t, "]}}");
}

static inline void play_ollama(played *p, const cJSON *q, int64_t i, int64_t step, int64_t n_ids, text_buf *t)
{
    const int64_t n = answered(p, step, (int64_t)number_of(json_get(q, "options"), "num_predict"));
    char         *text = NULL;
    int32_t       ids[256];
    int64_t       bytes;
    err           e = { 0 };
    played_must(p, cJSON_IsTrue(json_get(q, "raw")) && number_of(json_get(q, "options"), "temperature") == 0,
                "raw, temperature");
    for (int64_t k = 0; k < n && k < 256; k++) ids[k] = played_id(p, i, step + k);
    played_must(p, tokenizer_decode(p->words, ids, n, true, &text, &bytes, &e), "decoding");
    text_words(t, "{\"model\":\"tiny\",\"created_at\":\"2026\",\"response\":\"");
    text_puts(t, TEXT_JSON, text ? text : "");
    text_printf(t, "\",\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":%lld,\"eval_count\":%lld}",
                (long long)n_ids, (long long)n);
    free(text);
}

static inline void play_question(played *p, const cJSON *q, http_reply_bytes *a)
{
    static const struct { const char *kind, *ids; void (*play)(played *, const cJSON *, int64_t, int64_t, int64_t,
                                                        text_buf *); } ways[] = {
        { "llama", "prompt", play_llama }, { "openai", "prompt", play_openai }, { "sglang", "input_ids",
            play_sglang }, { "ollama", NULL, play_ollama },
    };
    enum { ROOM = 1 << 14 };
    int32_t *ids = malloc(ROOM * sizeof *ids);
    int64_t  n = 0, step = 0, i;
    text_buf t = { 0 };
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        if (strcmp(ways[w].kind, p->kind) != 0) continue;
        if (ways[w].ids) n = ids_of(json_get(q, ways[w].ids), ids, ROOM);
        else {
            const char *text = cJSON_GetStringValue(json_get(q, "prompt"));
            int32_t    *cut = NULL;
            err         e = { 0 };
            if (tokenizer_encode(p->words, text, (int64_t)strlen(text), true, true, &cut, &n, &e)
                && n <= ROOM) memcpy(ids, cut, (size_t)n * sizeof *ids);
            free(cut);
        }
        i = find_case(p->f, ids, n, &step);
        played_must(p, i >= 0, "a question that is no case's");
        if (i >= 0) ways[w].play(p, q, i, step, n, &t);
    }
    char *body = text_take(&t);
    http_reply(a, body[0] ? 200 : 400, "application/json", body);
    free(body);
    free(ids);
}

static inline const char *about_of(const char *kind, const char *path)
{
    static const struct { const char *kind, *path, *body; } all[] = {
        { "llama", "/props",
          "{\"default_generation_settings\":{\"n_ctx\":4096},\"total_slots\":1,\"model_path\":\"/models/"
          "tiny-F32.gguf\",\"build_info\":\"b7000-abc\"}" },
        { "llama", "/v1/models", "{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"owned_by\":\"llamacpp\"}]}" },
        { "openai", "/v1/models",
          "{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"object\":\"model\",\"owned_by\":\"vllm\",\"root\":\"/"
          "models/tiny\"}]}" },
        { "openai", "/version", "{\"version\":\"0.15.0\"}" },
        { "sglang", "/get_model_info",
          "{\"model_path\":\"/models/tiny\",\"tokenizer_path\":\"/models/tiny\",\"is_generation\":true}" },
        { "sglang", "/get_server_info", "{\"version\":\"0.5.6\",\"speculative_algorithm\":null}" },
        { "sglang", "/v1/models", "{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"owned_by\":\"sglang\"}]}" },
        { "ollama", "/api/version", "{\"version\":\"0.13.1\"}" },
        { "ollama", "/api/tags", "{\"models\":[{\"name\":\"tiny:latest\",\"model\":\"tiny:latest\",\"size\":1}]}" },
        { "ollama", "/v1/models",
          "{\"object\":\"list\",\"data\":[{\"id\":\"tiny:latest\",\"owned_by\":\"library\"}]}" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].kind, kind) == 0 && strcmp(all[i].path, path) == 0) return all[i].body;
    return NULL;
}

static inline void play(void *ctx, const http_request *q, http_reply_bytes *a)
{
    played *p = ctx;
    if (p->want_key) {
        char line[256];
        snprintf(line, sizeof line, "\r\nAuthorization: Bearer %s\r\n", p->want_key);
        played_must(p, strstr(q->head, line) != NULL, "the key is not sent");
    }
    const bool question = strcmp(q->method, "POST") == 0;
    if (p->instead && (question ? p->questions >= p->after : p->after < 0)) {
        p->instead(p, q, a);
        return;
    }
    if (!question) {
        const char *body = about_of(p->kind, q->path);
        http_reply(a, body ? 200 : 404, "application/json", body ? body : "{\"error\":\"not found\"}");
        return;
    }
    err    e = { 0 };
    cJSON *doc = json_parse(q->body, (int64_t)strlen(q->body), "question", &e);
    played_must(p, doc != NULL, e.msg);
    p->questions++;
    if (doc) play_question(p, doc, a);
    cJSON_Delete(doc);
}

#endif
