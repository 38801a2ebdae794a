// Proves verify/http.h and remote_api.h against servers of the test's own on this machine that misbehave: what is no
// answer to what was asked is no verdict, and is said by name.
#include "remote_asked.h"

static char instead_raw[1 << 12];

static void reply_raw(void *ctx, const http_request *q, http_reply_bytes *a) { text_words(&a->bytes, instead_raw); }
static void reply_hang(void *ctx, const http_request *q, http_reply_bytes *a)
{
    text_words(&a->bytes, instead_raw);
    a->hang = true;
}
static void reply_reset(void *ctx, const http_request *q, http_reply_bytes *a)
{
    text_words(&a->bytes, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tok");
    a->reset = true;
}
static void reply_late(void *ctx, const http_request *q, http_reply_bytes *a)
{
    http_reply(a, 200, "application/json", "{}");
    a->hold_ms = 5000;
}
static void reply_much(void *ctx, const http_request *q, http_reply_bytes *a)
{
    static char block[1 << 16];
    memset(block, ' ', sizeof block);
    text_words(&a->bytes, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    text_raw(&a->bytes, block, sizeof block);
    a->unit   = sizeof block;
    a->repeat = 4096;           // 256 MB, were they taken
}

// Misbehaves from the 5th question on: nothing of the first ones may come to a verdict.
static outcome ask_misbehaving(const char *kind, void (*instead)(void *, const http_request *, http_reply_bytes *),
                               int after)
{
    played p = played_as(kind);
    p.instead = instead;
    p.after   = after;
    return ask_with(&p, (remote_opts){ .http = { .timeout_s = instead == reply_much ? 60 : 1 } }, fixture_file);
}

START_TEST(what_is_no_answer_is_no_verdict)
{
    static const struct {
        void      (*instead)(void *, const http_request *, http_reply_bytes *);
        const char *raw;
        err_kind    kind;
        const char *said;
    } cases[] = {
        { reply_late, "", ERR_SYSTEM, "no whole answer within 1 s" },
        { reply_hang, "", ERR_SYSTEM, "no whole answer within 1 s" },
        { reply_hang, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tokens\":[", ERR_SYSTEM,
          "no whole answer within 1 s" },
        { reply_reset, "", ERR_SYSTEM, "stopped in the middle" },
        { reply_raw, "", ERR_SYSTEM, "no answer" },
        { reply_raw, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tokens\":[1", ERR_SYSTEM,
          "stopped in the middle" },
        { reply_raw, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"tok\r\n", ERR_SYSTEM,
          "stopped in the middle" },
        { reply_raw, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"tok\r\n", ERR_SYSTEM, "" },
        { reply_raw, "SSH-2.0-OpenSSH_9.2\r\n", ERR_INPUT, "does not speak HTTP" },
        { reply_much, "", ERR_INPUT, "more than 64 MB" },
        { reply_raw, "HTTP/1.1 302 Found\r\nLocation: http://other.example/steal\r\nContent-Length: 0\r\n\r\n",
          ERR_INPUT, "a redirect to http://other.example/steal, which is not followed" },
        { reply_raw, "HTTP/1.1 503 Busy\r\nContent-Length: 13\r\n\r\nloading model", ERR_SYSTEM,
          "HTTP status 503: loading model" },
        { reply_raw, "HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n", ERR_SYSTEM, "HTTP status 429" },
        { reply_raw, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", ERR_SYSTEM, "it wants a key: HALLMARK_API_KEY" },
        { reply_raw, "HTTP/1.1 400 Bad\r\nContent-Length: 12\r\n\r\ncontext full", ERR_INPUT,
          "found HTTP status 400, expected an answer: context full" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strcpy(instead_raw, cases[i].raw);
        outcome x = ask_misbehaving("llama", cases[i].instead, 5);
        must_refuse(&x, cases[i].kind, cases[i].said);
    }
}
END_TEST

// Nobody listens there; and a server that is none of those that are known.
START_TEST(no_server_is_no_verdict)
{
    http_server s;
    played      p = played_as("llama");
    char        url[64];
    http_server_start(&s, play, &p, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", s.port);
    http_server_stop(&s);
    outcome x = ask_at((remote_opts){ .url = url }, fixture_file);
    must_refuse(&x, ERR_SYSTEM, "no answer");

    answer_instead(200, "text/html", "<html><body>It works!</body></html>");
    x = ask_misbehaving("llama", reply_body, -1);
    must_refuse(&x, ERR_INPUT, "found no server of a kind that is known");
    p = played_as("sglang");
    x = ask_with(&p, (remote_opts){ .api = "llama" }, fixture_file);
    must_refuse(&x, ERR_INPUT, "/props: found nothing that llama.cpp's server says of itself");
}
END_TEST

// Of the documents about a server some may be forbidden: that is an error where no other says what it is.
static void forbid_others(void *ctx, const http_request *q, http_reply_bytes *a)
{
    played     *p = ctx;
    const char *body = about_of(p->kind, q->path);
    const bool  optional = strcmp(q->path, "/version") == 0 || strcmp(q->path, "/get_server_info") == 0;
    if (strcmp(q->method, "POST") == 0) {
        p->instead = NULL;              // questions are answered as ever
        play(p, q, a);
        p->instead = forbid_others;
    }
    else http_reply(a, body && !optional ? 200 : 403, "application/json", body ? body : "{}");
}
static void forbid_all(void *ctx, const http_request *q, http_reply_bytes *a)
{
    http_reply(a, 403, "application/json", "{}");
}
static void forbid_tags(void *ctx, const http_request *q, http_reply_bytes *a)
{
    const char *body = strcmp(q->path, "/api/version") == 0 ? about_of("ollama", q->path) : NULL;
    http_reply(a, body ? 200 : 403, "application/json", body ? body : "{}");
}

START_TEST(what_needs_a_key_beside_the_answers_is_let_be)
{
    for (int i = 0; i < N_IDS; i++)
        for (int named = 0; named < 2; named++) {
            played p = played_as(KINDS[i]);
            p.instead = forbid_others;
            p.after   = -1;
            outcome x = ask_with(&p, (remote_opts){ .api = named ? KINDS[i] : NULL }, fixture_file);
            ck_assert_msg(x.ran && x.r.passed, "%s: %s", KINDS[i], x.e.msg);
            ck_assert_str_eq(x.r.remote.api, KINDS[i]);
            done(&x);
        }
    outcome x = ask_misbehaving("llama", forbid_all, -1);
    must_refuse(&x, ERR_SYSTEM, "/props: HTTP status 403: it wants a key: HALLMARK_API_KEY");
    x = ask_misbehaving("ollama", forbid_tags, -1);         // its models cannot be seen
    must_refuse(&x, ERR_SYSTEM, "/api/tags: HTTP status 403: it wants a key");
}
END_TEST

START_TEST(ids_of_another_model_are_said)
{
    static const struct { const char *body; bool ids; } rows[] = {
        { "{\"error\":{\"code\":400,\"message\":\"Prompt contains invalid tokens\"}}", true },
        { "{\"message\":\"Token id 1300 is out of vocabulary\"}", true },
        { "{\"message\":\"the context is full\"}", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        answer_instead(400, "application/json", rows[i].body);
        outcome x = ask_misbehaving("llama", reply_body, 0);
        must_refuse(&x, ERR_INPUT, "HTTP status 400");
        const char *said = strstr(x.e.msg, "the fixture's ids may not be those of the model");
        ck_assert_msg((said != NULL) == rows[i].ids, "%s", x.e.msg);
    }
}
END_TEST

static int busy_left;
static void reply_busy(void *ctx, const http_request *q, http_reply_bytes *a)
{
    played *p = ctx;
    if (busy_left-- > 0) {
        http_reply(a, instead_status, "application/json", "{\"error\":{\"message\":\"Loading model\"}}");
        return;
    }
    p->instead = NULL;
    play(p, q, a);
}

START_TEST(a_busy_server_is_asked_again)
{
    static const int statuses[] = { 503, 429 };
    for (int i = 0; i < 4; i++) {           // at its first document, and at a question
        played p = played_as("openai");
        p.instead = reply_busy;
        p.after   = i < 2 ? -1 : 2;
        busy_left = 3;
        instead_status = statuses[i % 2];
        outcome x = ask_with(&p, (remote_opts){ .http = { .timeout_s = 20 } }, fixture_file);
        ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
        ck_assert_int_lt(busy_left, 0);
        done(&x);
    }
    busy_left = 1 << 20;                    // for ever
    instead_status = 503;
    outcome x = ask_misbehaving("llama", reply_busy, -1);
    must_refuse(&x, ERR_SYSTEM, "no answer, but HTTP status 503");
    ck_assert_ptr_nonnull(strstr(x.e.msg, "Loading model"));
    strcpy(instead_raw, "HTTP/1.1 429 Slow down\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n");
    x = ask_with(&(played){ .f = fix, .kind = "llama", .bad_case = -1, .bad_step = -1, .instead = reply_raw },
                 (remote_opts){ .http = { .timeout_s = 60 } }, fixture_file);       // longer than it may take: at once
    must_refuse(&x, ERR_SYSTEM, "HTTP status 429");
}
END_TEST

// Answers that are JSON, and none to what was asked.
START_TEST(nonsense_is_refused_by_name)
{
#define LLAMA(ids, id, logprob) \
    "{\"tokens\":[" ids "],\"completion_probabilities\":[{\"id\":" id "," \
    "\"top_logprobs\":[{\"id\":7,\"logprob\":" logprob "}]}]}"
    static const struct { const char *kind, *body, *said; } cases[] = {
        { "llama", "<html>It works!</html>", "found an HTML page" },
        { "llama", "{\"tokens\":[1,2", "" },
        { "llama", "", "" },
        { "llama", "{}", "key 'tokens': found nothing, expected an array" },
        { "llama", "[]", "key 'tokens'" },
        { "llama", LLAMA("16777216", "16777216", "-1"),
          "key 'tokens': found id 16777216, expected one of a vocabulary, 0 to 16777215 at most" },
        { "llama", LLAMA("-1", "-1", "-1"), "found id -1" },
        { "llama", LLAMA("1.5", "1.5", "-1"), "found id 1.5" },
        { "llama", LLAMA("\"7\"", "7", "-1"), "key 'tokens': found a string, expected an id" },
        { "llama", LLAMA("7", "8", "-1"), "found id 8 where 'tokens' has 7" },
        { "llama", LLAMA("7", "7", "NaN"), "" },
        { "llama", LLAMA("7", "7", "null"), "found nothing as the log-probability of id 7" },
        { "llama", LLAMA("7", "7", "0.5"), "found one above 0" },
        { "llama", LLAMA("7", "7", "-1e999"), "" },
        { "llama", LLAMA("7", "7", "-1},{\"id\":7,\"logprob\":-2"), "found id 7 twice in one step" },
        { "llama", "{\"tokens\":[7,7],\"completion_probabilities\":[]}",
          "key 'tokens': found 2 values, expected at most 1" },
        { "llama", "{\"tokens\":[],\"completion_probabilities\":[]}", "found 0 ids in the answer, expected 1" },
        { "llama", "{\"tokens\":[7],\"completion_probabilities\":7}",
          "key 'completion_probabilities': found a number, expected an array" },
        { "llama", "{\"tokens\":[7],\"completion_probabilities\":[{},{}]}",
          "key 'completion_probabilities': found 2 values, expected at most 1" },
        { "llama", "{\"tokens_evaluated\":2,\"tokens\":[7],"
                   "\"completion_probabilities\":[{\"id\":7,\"top_logprobs\":[]}]}",
          "it counts 2 ids of a prompt of" },
        { "llama", "{\"error\":{\"message\":\"x\"}}", "key 'tokens'" },
        { "openai", "{\"choices\":[]}", "key 'choices': found 0 values, expected 1" },
        { "openai", "{\"choices\":[{\"prompt_logprobs\":null}]}", "key 'prompt_logprobs': found" },
        { "openai", "{\"choices\":[{\"prompt_logprobs\":[null]}]}", "key 'prompt_logprobs': found 1 values, expected" },
        { "openai", "{\"choices\":[{\"prompt_token_ids\":[1,2]}]}",
          "key 'prompt_token_ids': found 2 values, expected" },
        { "sglang", "{\"output_ids\":[]}", "key 'meta_info': found nothing, expected an object" },
        { "sglang", "{\"meta_info\":{\"input_token_logprobs\":[]}}", "key 'input_token_logprobs': found 0 values" },
        { "ollama", "{\"done\":true}", "key 'response': found nothing, expected a text" },
        { "ollama", "{\"response\":\"x\",\"done\":false}", "key 'done'" },
        { "ollama", "{\"response\":7,\"done\":true}", "key 'response': found a number" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        answer_instead(200, "application/json", cases[i].body);
        outcome x = ask_misbehaving(cases[i].kind, reply_body, 1);
        must_refuse(&x, ERR_INPUT, cases[i].said);
        ck_assert_ptr_nonnull(strstr(x.e.msg, "http://127.0.0.1:"));
    }
    // What is no id at all, in the first answer of those who are then asked for scores.
    static const struct { const char *kind, *body, *said; } no_ids[] = {
        { "openai", "{\"choices\":[{\"token_ids\":[-1]}]}", "key 'token_ids': found id -1" },
        { "openai", "{\"choices\":[{\"token_ids\":[1.5]}]}", "key 'token_ids': found id 1.5" },
        { "openai", "{\"choices\":[{\"token_ids\":[\"7\"]}]}", "key 'token_ids': found a string" },
        { "openai", "{\"choices\":[{\"token_ids\":[7],\"logprobs\":{\"top_logprobs\":[{\"token_id:-7\":-1}]}}]}",
          "key 'top_logprobs': found 'token_id:-7'" },
        { "openai", "{\"choices\":[{\"token_ids\":[7],\"logprobs\":{\"top_logprobs\":[{\"token_id:16777216\":-1}]}}]}",
          "key 'top_logprobs': found 'token_id:16777216'" },
        { "sglang", "{\"output_ids\":[-1],\"meta_info\":{\"output_top_logprobs\":[[]]}}",
          "key 'output_ids': found id -1" },
        { "sglang", "{\"output_ids\":[7],\"meta_info\":{\"output_top_logprobs\":[[[-1,1.5,null]]]}}",
          "key 'output_top_logprobs': found id 1.5" },
    };
    for (size_t i = 0; i < sizeof no_ids / sizeof *no_ids; i++) {
        answer_instead(200, "application/json", no_ids[i].body);
        outcome x = ask_misbehaving(no_ids[i].kind, reply_body, 0);
        must_refuse(&x, ERR_INPUT, no_ids[i].said);
    }
    // As deep as no answer is, and as many values as none has.
    text_buf t = { 0 };
    for (int i = 0; i < 200000; i++) text_words(&t, "[");
    char *deep = text_take(&t);
    answer_instead(200, "application/json", deep);
    outcome x = ask_misbehaving("llama", reply_body, 1);
    must_refuse(&x, ERR_INPUT, "");
    free(deep);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("remote_hostile");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_test(t, what_is_no_answer_is_no_verdict);
    tcase_add_test(t, no_server_is_no_verdict);
    tcase_add_test(t, what_needs_a_key_beside_the_answers_is_let_be);
    tcase_add_test(t, ids_of_another_model_are_said);
    tcase_add_test(t, a_busy_server_is_asked_again);
    tcase_add_test(t, nonsense_is_refused_by_name);
    suite_add_tcase(s, t);
    return run_suite(s);
}
