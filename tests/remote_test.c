// Proves verify/remote.h, http.h, remote_api.h, remote_distance.h and remote_text.h against servers of the test's own
// on this machine: servers that know a fixture by heart, and servers that misbehave. What llama.cpp's server answers was
// recorded; the others' answers follow their documentation and were not held against real servers. A real llama.cpp is
// asked by tests/peers/remote_llama.py.
#include "verify_files.h"
#include "played_server.h"
#include "verify/remote.h"
#include "verify/remote_ask.h"
#include "verify/remote_distance.h"
#include "verify/secret.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/wait.h>

static const char *const KINDS[] = { "llama", "openai", "sglang", "ollama" };
enum { N_KINDS = sizeof KINDS / sizeof *KINDS, N_IDS = 3 };     // the first three take ids

static fixture   *fix, *whole;         // four cases, and all of them: of a text fewer steps can be asked about
static gguf      *file;
static tokenizer *words;
static char       gguf_path_[256], fixture_file[512], whole_file[512];

static void setup(void)
{
    err e = { 0 };
    files_begin("remote");
    snprintf(gguf_path_, sizeof gguf_path_, "%s", convert_tiny("tiny-F32.gguf", FT_F32));
    snprintf(fixture_file, sizeof fixture_file, "%s", sampled_path("float32"));
    fix  = fixture_open(fixture_file, &e);
    file = gguf_open(gguf_path_, &e);
    snprintf(whole_file, sizeof whole_file, "%s/fixtures/float32.json.gz", TINY_DIR);
    whole = fixture_open(whole_file, &e);
    ck_assert_msg(fix && whole && file, "%s", e.msg);
    words = tokenizer_new(file, &e);
    ck_assert_msg(words != NULL, "%s", e.msg);
}

static void teardown(void)
{
    tokenizer_free(words);
    gguf_close(file);
    fixture_close(fix);
    fixture_close(whole);
    files_end();
}

static played played_as(const char *kind)
{
    return (played){ .f = strcmp(kind, "ollama") == 0 ? whole : fix, .kind = kind, .words = words, .bad_case = -1,
        .bad_step = -1 };
}

typedef struct { bool ran; verify_report r; err e; } outcome;

static outcome ask_with(played *p, remote_opts o, const char *fixture_to_ask)
{
    http_server s;
    outcome     x = { 0 };
    char        url[64];
    http_server_start(&s, play, p, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    o.url = url;
    if (strcmp(p->kind, "ollama") == 0 && !o.tokenizer) o.tokenizer = gguf_path_;
    if (!o.http.timeout_s) o.http.timeout_s = 30;
    x.ran = verify_remote(&x.r, &fixture_to_ask, 1, &o, &x.e);
    http_server_stop(&s);
    ck_assert_msg(!p->failed[0], "%s: %s", p->kind, p->failed);
    return x;
}

static outcome ask_played(played *p) { return ask_with(p, (remote_opts){ 0 }, p->f == whole ? whole_file
                          : fixture_file); }

static void done(outcome *x) { if (x->ran) verify_report_free(&x->r); }

static const char *note_with(const verify_report *r, const char *part)
{
    for (int64_t i = 0; i < r->n_notes; i++)
        if (strstr(r->notes[i], part)) return r->notes[i];
    return NULL;
}

static void must_note(const verify_report *r, const char *part)
{
    ck_assert_msg(note_with(r, part) != NULL, "no note of '%s'; the first: %s", part, r->n_notes ? r->notes[0]
                  : "none");
}

// ---- answers as they should be -------------------------------------------------------------------------------------

START_TEST(each_kind_of_server_is_found_out_and_passes)
{
    played  p = played_as(KINDS[_i]);
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran, "%s: %s", p.kind, x.e.msg);
    const verify_fixture_result *f = &x.r.fixtures[0];
    ck_assert_msg(x.r.passed && f->passed, "%s: %s", p.kind, f->n_failures ? f->failures[0].text : "?");
    ck_assert_str_eq(x.r.remote.api, p.kind);
    ck_assert_int_eq(x.r.remote.ids_seen, _i < N_IDS);
    ck_assert_int_eq(f->cases, p.f->n_cases);
    // Where the first id that Transformers chose has no text, or half a character, no free run of text can be asked for.
    const char *seen = note_with(&x.r, "ids were not seen");
    const int   left_out = seen ? atoi(strstr(seen, "all free runs but ") + strlen("all free runs but ")) : 0;
    ck_assert_int_eq(left_out, _i < N_IDS ? 0 : 1);
    ck_assert_int_eq(f->free_run_equal, f->cases - left_out);
    ck_assert_int_eq(f->teacher_forced_equal, f->steps);
    ck_assert_int_eq(x.r.remote.questions, p.questions);
    if (_i < N_IDS) ck_assert_int_eq(f->steps, f->cases * fix->tokens);
    if (_i < N_IDS) ck_assert_msg(f->kl_mean < 1e-12 && f->logprob_diff_max < 1e-9, "%g, %g", f->kl_mean,
        f->logprob_diff_max);
    else            ck_assert_msg(isnan(f->kl_mean) && f->steps >= 100, "%lld steps, %g; %s", (long long)f->steps,
                                  f->kl_mean, note_with(&x.r, "ids were not seen"));
    ck_assert_ptr_null(note_with(&x.r, "first step that leaves"));
    done(&x);
}
END_TEST

// One question a case where the server scores what it is given, one for each prefix where it does not.
START_TEST(no_more_is_asked_than_must_be)
{
    for (int i = 0; i < N_IDS; i++) {
        played  p = played_as(KINDS[i]);
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran, "%s", x.e.msg);
        ck_assert_int_eq(p.questions, i == 0 ? fix->n_cases * (1 + fix->tokens) : fix->n_cases * 2);
        done(&x);
    }
}
END_TEST

START_TEST(the_report_says_whom_it_asked_and_what_was_not_seen)
{
    played  p = played_as("llama");
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran, "%s", x.e.msg);
    ck_assert_str_eq(x.r.type, "unknown");
    ck_assert_str_eq(x.r.remote.server, "b7000-abc");
    ck_assert_str_eq(x.r.remote.model, "/models/tiny-F32.gguf");
    ck_assert_ptr_eq(strstr(x.r.artifact, "http://127.0.0.1:"), x.r.artifact);
    must_note(&x.r, "gate for float32: the fixture's own noise, and that of llama.cpp, whose CPU looks GELU up");
    must_note(&x.r, "is not seen: the verdict is about its answers");
    must_note(&x.r, "one bucket for all others");
    ck_assert_ptr_null(note_with(&x.r, "speculative"));         // it says that it does not
    cJSON *j = verify_report_json(&x.r);
    ck_assert_str_eq(json_get(json_get(j, "remote"), "api")->valuestring, "llama");
    ck_assert_ptr_null(json_get(j, "attention_scale"));
    ck_assert_str_eq(json_get(j, "verdict")->valuestring, "pass");
    cJSON_Delete(j);
    char *md = verify_report_md(&(const verify_report *){ &x.r }, 1);
    ck_assert_ptr_nonnull(strstr(md, "unknown"));
    ck_assert_ptr_null(strstr(md, "nan"));
    free(md);
    done(&x);

    p = played_as("llama");
    p.speculates = true;
    x = ask_played(&p);
    must_note(&x.r, "the server guesses tokens ahead");
    done(&x);
    p = played_as("openai");
    x = ask_played(&p);
    must_note(&x.r, "whether the server guesses tokens ahead");
    must_note(&x.r, "gate for float32: the fixture's own noise, and that of float32 in another order of additions: "
                    "mean KL 1e-10");
    ck_assert_str_eq(x.r.remote.server, "vllm 0.15.0");
    done(&x);
    p = played_as("ollama");
    x = ask_played(&p);
    must_note(&x.r, "ids were not seen");
    done(&x);
}
END_TEST

// None of the forms has numbers for what is not seen.
static void must_be_written(outcome *x)
{
    static const char *const names[] = { "r.json", "r.md", "r.html", "r.xml" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char    path[SCRATCH_PATH], *text;
        int64_t n;
        scratch_path(path, names[k]);
        ck_assert_msg(verify_report_write(&(const verify_report *){ &x->r }, 1, path, &x->e), "%s", x->e.msg);
        ck_assert_msg(file_read_text(&text, &n, path, 1 << 24, &x->e), "%s", x->e.msg);
        ck_assert_msg(strstr(text, "127") != NULL, "%s", names[k]);
        const char *nan = strstr(text, ">nan") ? strstr(text, ">nan") : strstr(text, " nan");
        ck_assert_msg(!nan, "%s: %.200s", names[k], nan - 100);
        free(text);
    }
}

START_TEST(every_form_of_the_report_can_be_written)
{
    for (int i = 0; i < N_KINDS; i += 3) {
        played  p = played_as(KINDS[i]);
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran, "%s", x.e.msg);
        must_be_written(&x);
        done(&x);
    }
}
END_TEST

// Ids alone, all of them right: nothing was measured, which is the one failure, and no figure stands for it.
START_TEST(a_server_without_log_probabilities_is_not_measured)
{
    for (int i = 0; i < 2; i++) {
        played p = played_as("llama");
        p.no_probs = true;
        outcome x = ask_with(&p, (remote_opts){ .drift = i ? "Q4_K_M" : NULL }, fixture_file);
        ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
        const verify_fixture_result *f = &x.r.fixtures[0];
        ck_assert_int_eq(f->failures_total, 1);
        ck_assert_str_eq(f->failures[0].what, "seen");
        ck_assert_str_eq(f->failures[0].text, "the server gives log-probabilities of 0 ids a step, the least is 16");
        ck_assert_int_eq(f->teacher_forced_equal, f->steps);
        ck_assert(isnan(f->kl_mean) && isnan(f->kl_max) && isnan(f->logprob_diff_max));
        must_be_written(&x);
        done(&x);
        // And of other ids.
        p.bad_case = 1;
        p.bad_step = 3;
        p.bad_id   = fix->cases[1].steps[3].ids[5];
        x = ask_with(&p, (remote_opts){ .drift = i ? "Q4_K_M" : NULL }, fixture_file);
        ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
        must_note(&x.r, "the first step that leaves");
        must_be_written(&x);
        done(&x);
    }
}
END_TEST

// Where Transformers went on past an end of text, the rest is asked again from there.
START_TEST(a_server_that_stops_early_is_asked_again)
{
    for (int i = 0; i < N_IDS; i++) {
        played p = played_as(KINDS[i]);
        p.stops_at_two = true;
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
        ck_assert_int_eq(x.r.fixtures[0].free_run_tokens_equal, fix->n_cases * VERIFY_TOKENS);
        done(&x);
    }
}
END_TEST

// ---- answers that leave --------------------------------------------------------------------------------------------

// A step that the reference leaves no doubt about.
static int64_t sure_step(const fixture *f, int64_t i, int64_t from)
{
    for (int64_t t = from; t < f->tokens; t++) {
        const fixture_step *s = &f->cases[i].steps[t];
        if (s->logits[0] - s->logits[1] > 0.1f) return t;
    }
    ck_abort_msg("no such step");
    return 0;
}

START_TEST(the_first_step_that_leaves_is_named)
{
    played p = played_as(KINDS[_i]);
    p.bad_case = 1;
    p.bad_step = sure_step(p.f, 1, 3);
    const fixture_case *c = &p.f->cases[1];
    const fixture_step *s = &c->steps[p.bad_step];
    p.bad_id = s->ids[5];
    if (p.words && _i >= N_IDS)         // a text that is no part of another's beginning
        for (int k = 1; k < p.f->top_k; k++) {
            const char *a, *b;
            int64_t     na, nb;
            ck_assert(tokenizer_piece(words, s->ids[0], &a, &na) && tokenizer_piece(words, s->ids[k], &b, &nb));
            if (na > 0 && nb > 0 && *a != *b && (uint8_t)*b < 0x80 && !tokenizer_is_special(words,
                s->ids[k])) { p.bad_id = s->ids[k]; break; }
        }
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran, "%s", x.e.msg);
    const verify_fixture_result *f = &x.r.fixtures[0];
    ck_assert(!x.r.passed && f->n_failures >= 1);
    const verify_failure *fail = NULL;
    for (int64_t i = 0; i < f->n_failures; i++)
        if (strcmp(f->failures[i].what, "teacher_forced") == 0) fail = &f->failures[i];
    ck_assert_ptr_nonnull(fail);
    ck_assert_str_eq(fail->case_id, c->id);
    ck_assert_int_eq(fail->step, p.bad_step);
    ck_assert_int_eq(fail->expected, s->ids[0]);
    ck_assert_int_eq(fail->got, p.bad_id);
    ck_assert(fail->margin > 0.1);
    ck_assert_ptr_nonnull(strstr(fail->text, "layers are not seen through a server"));
    ck_assert_int_eq(f->teacher_forced_equal, f->steps - 1);
    char step[64];
    snprintf(step, sizeof step, "step %lld: Transformers chose %d", (long long)p.bad_step, s->ids[0]);
    must_note(&x.r, "the first step that leaves: case '");
    must_note(&x.r, step);
    done(&x);
}
END_TEST

// The best id everywhere, and another distribution.
START_TEST(a_distance_beyond_the_noise_fails)
{
    for (int i = 0; i < N_IDS; i++) {
        played p = played_as(KINDS[i]);
        p.shift = -0.05;
        outcome x = ask_played(&p);
        ck_assert_msg(x.ran, "%s", x.e.msg);
        const verify_fixture_result *f = &x.r.fixtures[0];
        ck_assert(!x.r.passed && f->teacher_forced_equal == f->steps);
        ck_assert_str_eq(f->failures[0].what, "distance");
        ck_assert(fabs(f->logprob_diff_max - 0.05) < 1e-2);
        must_note(&x.r, "the first step whose log-probabilities leave: case 'coding-python', step 0: they are up to "
                        "0.0");
        done(&x);
        // As drift it is little, and the report says that this is the gate.
        p.questions = 0;
        x = ask_with(&p, (remote_opts){ .drift = "Q4_K_M" }, fixture_file);
        ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
        ck_assert_int_eq(x.r.fixtures[0].kind, CHECK_DRIFT);
        ck_assert_str_eq(x.r.fixtures[0].budget, "Q4_K_M");
        must_note(&x.r, "gate: the budget of drift of Q4_K_M");
        done(&x);
    }
}
END_TEST

// Too few ids, or steps, are no measure, however equal they are.
START_TEST(too_little_to_compare_does_not_pass)
{
    played p = played_as("llama");
    p.most_probs = 8;
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
    ck_assert_int_eq(x.r.fixtures[0].failures_total, 1);
    ck_assert_str_eq(x.r.fixtures[0].failures[0].what, "seen");
    ck_assert_str_eq(x.r.fixtures[0].failures[0].text, "the server gives log-probabilities of 8 ids a step, the "
                                        "least is 16");
    done(&x);
    p = played_as("ollama");
    p.f = fix;              // four cases, of which text can ask about fewer than a hundred steps
    x = ask_played(&p);
    ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
    ck_assert_str_eq(x.r.fixtures[0].failures[0].what, "seen");
    ck_assert_ptr_nonnull(strstr(x.r.fixtures[0].failures[0].text,
                          "steps can be asked about as text, the least is 100"));
    done(&x);
}
END_TEST

// A gate file is taken as it stands: nothing is added for another runtime.
START_TEST(a_gate_file_holds_as_it_stands)
{
    played p = played_as("llama");
    p.shift = -1.2e-4;            // far more than F32 against F32 of our own, less than another runtime may
    outcome x = ask_played(&p);
    ck_assert_msg(x.ran && x.r.passed, "%s", x.ran ? x.r.fixtures[0].failures[0].text : x.e.msg);
    done(&x);
    p.questions = 0;
    x = ask_with(&p, (remote_opts){ .gate_path = SOURCE_DIR "/verify/gate.json" }, fixture_file);
    ck_assert_msg(x.ran && !x.r.passed, "%s", x.e.msg);
    must_note(&x.r, "by the gate file");
    done(&x);
}
END_TEST

START_TEST(a_wrong_question_is_a_wrong_command_line)
{
    static const struct { remote_opts o; const char *kind, *said; } cases[] = {
        { { .drift = "Q4" }, "llama", "option --drift: found 'Q4'" },
        { { .drift = "Q4_K_M" }, "ollama", "gives no log-probabilities" },
        { { .url = "ftp://127.0.0.1/" }, NULL, "expected http://HOST:PORT" },
        { { .url = "localhost:80" }, NULL, "expected http://HOST:PORT" },
        { { .url = "http://me:secret@127.0.0.1:1" }, NULL, "found a user or a password" },
        { { .url = "http://127.0.0.1:1/?x=1" }, NULL, "found a query" },
        { { .url = "http://other.example:1", .http = { .key = "sk-12345" } }, NULL, "in the clear to another machine" },
        { { .url = "http://127.0.0.1:1", .http = { .key = "sk-\r\nHost: x" } }, NULL, "HALLMARK_API_KEY" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome     x = { 0 };
        const char *f = fixture_file;
        if (cases[i].kind) {
            played p = played_as(cases[i].kind);
            x = ask_with(&p, cases[i].o, f);
        }
        else x.ran = verify_remote(&x.r, &f, 1, &cases[i].o, &x.e);
        ck_assert_msg(!x.ran && x.e.kind == ERR_USAGE && strstr(x.e.msg, cases[i].said), "case %zu: %s", i, x.e.msg);
        ck_assert_msg(!strstr(x.e.msg, "secret") && !strstr(x.e.msg, "sk-"), "%s", x.e.msg);
    }
    played  p = played_as("ollama");
    outcome x = ask_with(&p, (remote_opts){ .tokenizer = fixture_file }, fixture_file);
    ck_assert_msg(!x.ran && x.e.kind == ERR_INPUT, "%s", x.e.msg);      // no GGUF file
}
END_TEST

// The key goes in the clear to this machine alone; nobody listens where it may go.
START_TEST(this_machine_is_an_address_and_no_name_like_one)
{
    static const struct { const char *url; bool local; } rows[] = {
        { "http://127.0.0.1:1", true }, { "http://127.9.8.7:1", true }, { "http://[::1]:1", true },
        { "http://[::ffff:127.0.0.1]:1", true }, { "http://localhost:1", true }, { "http://LocalHost:1", true },
        { "http://127.evil.example:1", false }, { "http://127.0.0.1.example:1", false },
        { "http://localhost.example:1", false }, { "http://128.0.0.1:1", false }, { "http://[::2]:1", false },
        { "http://[::ffff:10.0.0.1]:1", false }, { "http://[2001:db8::1]:1", false },
        { "https://127.evil.example:1", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err   e = { 0 };
        http *h = http_open(rows[i].url, &(http_opts){ .key = "sk-12345" }, &e);
        ck_assert_msg((h != NULL) == rows[i].local, "%s: %s", rows[i].url, e.msg);
        ck_assert_msg(h || strstr(e.msg, "in the clear to another machine"), "%s: %s", rows[i].url, e.msg);
        http_close(h);
    }
}
END_TEST

// ---- servers that misbehave ----------------------------------------------------------------------------------------

static const char *instead_body, *instead_type;
static int         instead_status;
static char        instead_raw[1 << 12];

static void reply_body(void *ctx, const http_request *q, http_reply_bytes *a) { http_reply(a, instead_status,
                       instead_type, instead_body); }
static void reply_raw(void *ctx, const http_request *q, http_reply_bytes *a)  { text_words(&a->bytes, instead_raw); }
static void reply_hang(void *ctx, const http_request *q, http_reply_bytes *a) { text_words(&a->bytes,
                       instead_raw); a->hang = true; }
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

static void must_refuse(const outcome *x, err_kind kind, const char *said)
{
    ck_assert_msg(!x->ran && x->e.kind == kind && strstr(x->e.msg, said), "expected %d and '%s', found %d: %s", kind,
                  said, x->e.kind, x->e.msg);
    ck_assert_int_eq(x->r.n_fixtures, 0);
}

START_TEST(what_is_no_answer_is_no_verdict)
{
    static const struct { void (*instead)(void *, const http_request *,
                                http_reply_bytes *); const char *raw; err_kind kind; const char *said; } cases[] = {
        { reply_late, "", ERR_SYSTEM, "no whole answer within 1 s" },
        { reply_hang, "", ERR_SYSTEM, "no whole answer within 1 s" },
        { reply_hang, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tokens\":[", ERR_SYSTEM, "no whole answer "
                                        "within 1 s" },
        { reply_reset, "", ERR_SYSTEM, "stopped in the middle" },
        { reply_raw, "", ERR_SYSTEM, "no answer" },
        { reply_raw, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tokens\":[1", ERR_SYSTEM, "stopped in the "
                                        "middle" },
        { reply_raw, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"tok\r\n", ERR_SYSTEM, "stopped in "
                                        "the middle" },
        { reply_raw, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"tok\r\n", ERR_SYSTEM, "" },
        { reply_raw, "SSH-2.0-OpenSSH_9.2\r\n", ERR_INPUT, "does not speak HTTP" },
        { reply_much, "", ERR_INPUT, "more than 64 MB" },
        { reply_raw, "HTTP/1.1 302 Found\r\nLocation: http://other.example/steal\r\nContent-Length: 0\r\n\r\n", ERR_INPUT, "a redirect to http://other.example/steal, which is not followed" },
        { reply_raw, "HTTP/1.1 503 Busy\r\nContent-Length: 13\r\n\r\nloading model", ERR_SYSTEM, "HTTP status 503: "
                                        "loading model" },
        { reply_raw, "HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n", ERR_SYSTEM, "HTTP status 429" },
        { reply_raw, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", ERR_SYSTEM, "it wants a key: HALLMARK_API_KEY" },
        { reply_raw, "HTTP/1.1 400 Bad\r\nContent-Length: 12\r\n\r\ncontext full", ERR_INPUT, "found HTTP status "
                                        "400, expected an answer: context full" },
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
    outcome     x = { 0 };
    char        url[64];
    const char *f = fixture_file;
    http_server_start(&s, play, &p, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", s.port);
    http_server_stop(&s);
    x.ran = verify_remote(&x.r, &f, 1, &(remote_opts){ .url = url }, &x.e);
    must_refuse(&x, ERR_SYSTEM, "no answer");

    instead_status = 200;
    instead_type   = "text/html";
    instead_body   = "<html><body>It works!</body></html>";
    x = ask_misbehaving("llama", reply_body, -1);
    must_refuse(&x, ERR_INPUT, "found no server of a kind that is known");
    p = played_as("sglang");
    x = ask_with(&p, (remote_opts){ .api = "llama" }, fixture_file);
    must_refuse(&x, ERR_INPUT, "/props: found nothing that llama.cpp's server says of itself");
}
END_TEST

// Answers that are JSON, and none to what was asked.
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
        instead_status = 400;
        instead_type   = "application/json";
        instead_body   = rows[i].body;
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

START_TEST(nonsense_is_refused_by_name)
{
#define LLAMA(ids, id, logprob) "{\"tokens\":[" ids "],\"completion_probabilities\":[{\"id\":" id ",\"top_logprobs\":[{\"id\":7,\"logprob\":" logprob "}]}]}"
    static const struct { const char *kind, *body, *said; } cases[] = {
        { "llama", "<html>It works!</html>", "found an HTML page" },
        { "llama", "{\"tokens\":[1,2", "" },
        { "llama", "", "" },
        { "llama", "{}", "key 'tokens': found nothing, expected an array" },
        { "llama", "[]", "key 'tokens'" },
        { "llama", LLAMA("999999", "999999", "-1"), "key 'tokens': found id 999999, expected one of the vocabulary, "
                                        "0 to 1518" },
        { "llama", LLAMA("-1", "-1", "-1"), "found id -1" },
        { "llama", LLAMA("1.5", "1.5", "-1"), "found id 1.5" },
        { "llama", LLAMA("\"7\"", "7", "-1"), "key 'tokens': found a string, expected an id" },
        { "llama", LLAMA("7", "8", "-1"), "found id 8 where 'tokens' has 7" },
        { "llama", LLAMA("7", "7", "NaN"), "" },
        { "llama", LLAMA("7", "7", "null"), "found nothing as the log-probability of id 7" },
        { "llama", LLAMA("7", "7", "0.5"), "found one above 0" },
        { "llama", LLAMA("7", "7", "-1e999"), "" },
        { "llama", LLAMA("7", "7", "-1},{\"id\":7,\"logprob\":-2"), "found id 7 twice in one step" },
        { "llama", "{\"tokens\":[7,7],\"completion_probabilities\":[]}", "key 'tokens': found 2 values, expected at "
                                        "most 1" },
        { "llama", "{\"tokens\":[],\"completion_probabilities\":[]}", "found 0 ids in the answer, expected 1" },
        { "llama", "{\"tokens\":[7],\"completion_probabilities\":7}", "key 'completion_probabilities': found a "
                                        "number, expected an array" },
        { "llama", "{\"tokens\":[7],\"completion_probabilities\":[{},{}]}", "key 'completion_probabilities': found 2 "
                                        "values, expected at most 1" },
        { "llama", "{\"tokens_evaluated\":2,\"tokens\":[7],\"completion_probabilities\":[{\"id\":7,\"top_logprobs\":[]}]}", "it counts 2 ids of a prompt of" },
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
        instead_status = 200;
        instead_type   = "application/json";
        instead_body   = cases[i].body;
        outcome x = ask_misbehaving(cases[i].kind, reply_body, 1);
        must_refuse(&x, ERR_INPUT, cases[i].said);
        ck_assert_ptr_nonnull(strstr(x.e.msg, "http://127.0.0.1:"));
    }
    // As deep as no answer is, and as many values as none has.
    text_buf t = { 0 };
    for (int i = 0; i < 200000; i++) text_words(&t, "[");
    char *deep = text_take(&t);
    instead_body = deep;
    outcome x = ask_misbehaving("llama", reply_body, 1);
    must_refuse(&x, ERR_INPUT, "");
    free(deep);
}
END_TEST

// ---- the key -------------------------------------------------------------------------------------------------------

static const char KEY[] = "sk-very-secret-0123456789";

static void reply_with_key(void *ctx, const http_request *q, http_reply_bytes *a)
{
    char body[256];
    snprintf(body, sizeof body, "{\"error\":\"%s is no key, %s\"}", KEY, KEY);
    http_reply(a, instead_status, "application/json", body);
}
static void reply_key_as_id(void *ctx, const http_request *q, http_reply_bytes *a)
{
    char body[256];
    snprintf(body, sizeof body, "{\"choices\":[{\"token_ids\":[7],\"logprobs\":{\"top_logprobs\":[{\"%s\":-1}]}}]}",
             KEY);
    http_reply(a, 200, "application/json", body);
}

START_TEST(the_key_is_sent_and_never_said)
{
    played p = played_as("llama");
    p.want_key = KEY;
    outcome x = ask_with(&p, (remote_opts){ .http = { .key = KEY } }, fixture_file);
    ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
    cJSON *j = verify_report_json(&x.r);
    char  *text = cJSON_Print(j);
    ck_assert_ptr_null(strstr(text, KEY));
    free(text);
    cJSON_Delete(j);
    done(&x);
    static const int statuses[] = { 400, 401, 404, 500 };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        p = played_as("llama");
        p.instead = reply_with_key;
        p.after   = 3;
        instead_status = statuses[i];
        x = ask_with(&p, (remote_opts){ .http = { .key = KEY } }, fixture_file);
        ck_assert_msg(!x.ran && !strstr(x.e.msg, KEY), "%s", x.e.msg);
    }
    p = played_as("openai");
    p.instead = reply_key_as_id;
    x = ask_with(&p, (remote_opts){ .http = { .key = KEY } }, fixture_file);
    ck_assert_msg(!x.ran && !strstr(x.e.msg, KEY) && strstr(x.e.msg, "found '***'"), "%s", x.e.msg);
}
END_TEST

// As JSON, a URL and a message that quotes another write it; whole, or with its end cut off.
START_TEST(the_key_is_hidden_however_it_is_written)
{
    static const char key[] = "sk-sec/ret99\\x";
    static const struct { const char *from, *to; } rows[] = {
        { "a sk-sec/ret99\\x b", "a *** b" }, { "a sk-sec\\/ret99\\\\x b", "a *** b" },
        { "sk-sec\\u002fret99\\u005Cx", "***" }, { "\\u0073k-sec\\\\\\/ret99\\\\\\\\x.", "***." },
        { "http://x/?k=sk-sec%2Fret99%5cx&b", "http://x/?k=***&b" }, { "sk%252Dsec%252Fret99%255Cx", "***" },
        { "it is sk-sec/re", "it is ***" }, { "it is sk-sec\\/ret... of x", "it is ***... of x" },
        { "sk-sec/ret98", "sk-sec/ret98" }, { "sk-sec/ret", "***" }, { "sk-se", "sk-se" }, { "", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *hidden = secret_hide(rows[i].from, key);
        ck_assert_msg(strcmp(hidden, rows[i].to) == 0, "%s: %s, expected %s", rows[i].from, hidden, rows[i].to);
        free(hidden);
    }
    char *same = secret_hide("as it is", NULL);
    ck_assert_str_eq(same, "as it is");
    free(same);
    // Names and texts of a document, before anything of it is cut; numbers and short keys are left alone.
    err    e = { 0 };
    const char *text = "{\"a\":[\"x sk-12345678 y\",12345678],\"sk-12345678\":{\"b\":\"sk-12345678\"}}";
    cJSON *j = json_parse(text, (int64_t)strlen(text), "doc", &e);
    ck_assert(secret_hide_json(j, "2345678") && strstr(json_get(json_get(j, "sk-12345678"), "b")->valuestring, "678"));
    ck_assert(secret_hide_json(j, "sk-12345678"));
    char *printed = cJSON_PrintUnformatted(j);
    ck_assert_str_eq(printed, "{\"a\":[\"x *** y\",12345678],\"***\":{\"b\":\"***\"}}");
    free(printed);
    cJSON_Delete(j);
}
END_TEST

static void reply_with_key_at_the_cut(void *ctx, const http_request *q, http_reply_bytes *a)
{
    char     body[4096];
    char    *pad = body + 1024;
    memset(pad, 'x', 2048);
    pad[instead_status] = '\0';
    snprintf(body, 1024, "{\"choices\":[{\"token_ids\":[7],\"logprobs\":{\"top_logprobs\":[{\"");
    text_buf t = { 0 };
    text_words(&t, body);
    text_words(&t, pad);
    text_words(&t, KEY);
    text_words(&t, pad);
    text_words(&t, "\":-1}]}}]}");
    char *answer = text_take(&t);
    http_reply(a, 200, "application/json", answer);
    free(answer);
}

// Wherever a message is cut, no part of the key is seen.
START_TEST(no_part_of_the_key_is_seen_at_a_cut)
{
    for (instead_status = 300; instead_status < 900; instead_status += 11) {
        played p = played_as("openai");
        p.instead = reply_with_key_at_the_cut;
        outcome x = ask_with(&p, (remote_opts){ .http = { .key = KEY } }, fixture_file);
        ck_assert_msg(!x.ran && strstr(x.e.msg, "top_logprobs"), "%s", x.e.msg);
        for (size_t i = 0; i + 5 < sizeof KEY; i++) {
            char part[6];
            memcpy(part, KEY + i, sizeof part - 1);
            part[sizeof part - 1] = 0;
            ck_assert_msg(!strstr(x.e.msg, part), "%d: %s", instead_status, x.e.msg);
        }
    }
}
END_TEST

// ---- TLS -----------------------------------------------------------------------------------------------------------

// A certificate for `name`, signed by itself, also as a file.
static SSL_CTX *certified(const char *name, const char *to)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509     *c   = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
    X509_set_version(c, 2);
    X509_gmtime_adj(X509_getm_notBefore(c), -3600);
    X509_gmtime_adj(X509_getm_notAfter(c), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC, (const uint8_t *)"test", -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(c));
    X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
    ck_assert(alt && X509_add_ext(c, alt, -1) == 1);
    X509_EXTENSION_free(alt);
    X509_set_pubkey(c, key);
    ck_assert(X509_sign(c, key, EVP_sha256()) > 0);
    FILE *f = fopen(to, "wb");
    ck_assert(f && PEM_write_X509(f, c) == 1 && fclose(f) == 0);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    ck_assert(SSL_CTX_use_certificate(tls, c) == 1 && SSL_CTX_use_PrivateKey(tls, key) == 1);
    X509_free(c);
    EVP_PKEY_free(key);
    return tls;
}

START_TEST(a_certificate_is_checked)
{
    static const struct { const char *name; bool trusted, ok; } cases[] = {
        { "IP:127.0.0.1", true, true }, { "IP:127.0.0.1", false, false }, { "IP:127.0.0.2", true, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char        pem[SCRATCH_PATH], url[64];
        http_server s;
        outcome     x = { 0 };
        played      p = played_as("openai");
        const char *f = fixture_file;
        scratch_path(pem, "server.pem");
        SSL_CTX *tls = certified(cases[i].name, pem);
        http_server_start(&s, play, &p, tls);
        snprintf(url, sizeof url, "https://127.0.0.1:%d", s.port);
        x.ran = verify_remote(&x.r, &f, 1, &(remote_opts){ .url = url, .http = { .cacert = cases[i].trusted ? pem
                              : NULL } }, &x.e);
        http_server_stop(&s);
        SSL_CTX_free(tls);
        if (cases[i].ok) ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
        else {
            must_refuse(&x, ERR_SYSTEM, "its certificate is not trusted");
            ck_assert_int_eq(s.n, 0);           // nothing was sent
        }
        done(&x);
    }
    outcome     x = { 0 };
    const char *f = fixture_file;
    x.ran = verify_remote(&x.r, &f, 1, &(remote_opts){ .url = "https://127.0.0.1:1", .http = { .cacert = "/nowhere.pem" } }, &x.e);
    ck_assert(!x.ran);
}
END_TEST

// ---- the parts -----------------------------------------------------------------------------------------------------

START_TEST(distance_is_over_the_ids_that_are_given)
{
    int32_t ids[] = { 3, 5, 9 };
    float   logits[] = { 2, 1, 0 }, logprobs[3];
    const double lse = log(exp(2) + exp(1) + 1 + 1);            // and one id that the fixture does not keep
    for (int i = 0; i < 3; i++) logprobs[i] = (float)(logits[i] - lse);
    const fixture_step s = { ids, logprobs, logits };
    remote_prob probs[3] = { { 3, 2 - lse }, { 5, 1 - lse }, { 9, 0 - lse } };
    remote_step t = { .top = 3, .n = 3, .probs = probs };
    distance    d = remote_distance(&s, 3, &t, 4);
    ck_assert_msg(d.kl < 1e-12 && d.logprob_diff < 1e-6 && d.top == 3, "%g, %g", d.kl, d.logprob_diff);
    // Two of three: the same by what is seen. And what lies in the bucket does not count.
    t.n = 2;
    ck_assert(remote_distance(&s, 3, &t, 4).kl < 1e-12);
    probs[2].id = 4;
    t.n = 3;
    ck_assert(remote_distance(&s, 3, &t, 4).kl < 1e-12);
    // A known distance: p = (a, 1 - a), q = (b, 1 - b).
    const double a = exp(2 - lse), b = 0.3;
    probs[0].logprob = log(b);
    t.n = 1;
    d = remote_distance(&s, 3, &t, 4);
    ck_assert(fabs(d.kl - (a * log(a / b) + (1 - a) * log((1 - a) / (1 - b)))) < 1e-7);
    ck_assert(d.logprob_diff < 1e-12);          // of this id alone
    // A normalization that is off by what single precision may lose is no distance; a distribution is.
    for (int i = 0; i < 3; i++) probs[i] = (remote_prob){ ids[i], logits[i] - lse + 1e-5 };
    t.n = 3;
    d = remote_distance(&s, 3, &t, 1000);
    ck_assert_msg(d.kl < 1e-13 && d.logprob_diff < 1e-6, "%g, %g", d.kl, d.logprob_diff);
    ck_assert(remote_distance(&s, 3, &t, 4).kl > 1e-11);
    probs[1].logprob += 1e-3;
    d = remote_distance(&s, 3, &t, 1000);
    ck_assert(d.kl > 1e-8 && d.logprob_diff > 5e-4);
    // Below what single precision has: as if it were not given.
    probs[0].logprob = -3.4e38;
    t.n = 1;
    d = remote_distance(&s, 3, &t, 4);
    ck_assert(d.unseen && d.kl == 0);
    t.n = 0;
    d = remote_distance(&s, 3, &t, 4);
    ck_assert(d.unseen && d.kl == 0 && d.top == 3);
}
END_TEST

// ---- recorded ------------------------------------------------------------------------------------------------------

static cJSON *recorded(const char *name)
{
    char  path[512];
    err   e = { 0 };
    snprintf(path, sizeof path, SOURCE_DIR "/tests/golden/remote/%s", name);
    cJSON *j = json_parse_file(path, &e);
    ck_assert_msg(j != NULL, "%s", e.msg);
    return j;
}

// What llama.cpp's server answered to the first prompt of tiny-llama's fixture (xllamacpp 2026.10, F32): two ids, the
// best four of each. They are Transformers' own.
START_TEST(llama_cpp_as_recorded)
{
    err      e = { 0 };
    fixture *f = fixture_open(SOURCE_DIR "/fixtures/tiny-llama/fixtures/float32.json.gz", &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    remote_answer         a;
    const remote_question q = { .n_new = 2, .n_probs = 4, .n_vocab = 1301, .forced_id = -1 };
    cJSON *j = recorded("llama-completion.json");
    ck_assert(remote_answer_new(&a, 2, 4, &e));
    ck_assert_msg(remote_llama.read(&a, &q, j, "llama-completion.json", &e), "%s", e.msg);
    cJSON_Delete(j);
    ck_assert_int_eq(a.n, 2);
    ck_assert_int_eq(a.n_prompt, f->cases[0].n_prompt);
    ck_assert_int_eq(a.speculation, SPECULATES_NOT);
    for (int i = 0; i < 2; i++) {
        const distance d = remote_distance(&f->cases[0].steps[i], f->top_k, &a.steps[i], q.n_vocab);
        ck_assert_int_eq(a.steps[i].n, 4);
        ck_assert_int_eq(d.top, f->cases[0].generated_ids[i]);
        ck_assert_int_eq(d.top, remote_best(&a.steps[i]));
        ck_assert_msg(d.kl < 1e-9 && d.logprob_diff < 1e-4 && d.logprob_diff > 0, "%g, %g", d.kl, d.logprob_diff);
    }
    remote_answer_free(&a);
    fixture_close(f);
    remote_server s = { 0 };
    cJSON *about = recorded("llama-props.json");
    ck_assert(remote_llama.is(about) && !remote_sglang.is(about) && !remote_ollama.is(about)
              && !remote_openai.is(about));
    remote_llama.describe(&s, about, NULL);
    ck_assert(s.version[0] && strstr(s.model, "F32.gguf"));
    cJSON_Delete(about);
}
END_TEST

// ---- the program ---------------------------------------------------------------------------------------------------

static int run_program(const char *arguments, char *said, size_t size)
{
    char   command[2048];
    snprintf(command, sizeof command, "HALLMARK_API_KEY=%s %s verify %s 2>&1", KEY, HALLMARK_PROGRAM, arguments);
    FILE  *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(said, 1, size - 1, f);
    said[n] = '\0';
    const int status = pclose(f);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(the_exit_status_says_which)
{
    static char said[1 << 16];
    char        arguments[1024];
    http_server s;
    played      p = played_as("sglang");
    http_server_start(&s, play, &p, NULL);
    char report[SCRATCH_PATH];
    scratch_path(report, "report.json");
    snprintf(arguments, sizeof arguments,
             "--url http://127.0.0.1:%d --fixture %s --report %s", s.port, fixture_file, report);
    ck_assert_msg(run_program(arguments, said, sizeof said) == 0, "%s", said);
    ck_assert_msg(strstr(said, "pass") && !strstr(said, "nan") && !strstr(said, KEY), "%s", said);
    ck_assert(access(report, R_OK) == 0);
    p.shift = -0.1;
    ck_assert_msg(run_program(arguments, said, sizeof said) == 1 && strstr(said, "FAIL"), "%s", said);
    p.instead = reply_body;
    instead_body = "{}";
    instead_status = 200;
    instead_type = "application/json";
    ck_assert_msg(run_program(arguments, said, sizeof said) == 3, "%s", said);
    snprintf(arguments, sizeof arguments, "x.gguf --url http://127.0.0.1:%d --fixture %s", s.port, fixture_file);
    ck_assert_msg(run_program(arguments, said, sizeof said) == 2 && strstr(said,
                  "option --url: found it with x.gguf"), "%s", said);
    snprintf(arguments, sizeof arguments, "--kv f16 --url http://127.0.0.1:%d --fixture %s", s.port, fixture_file);
    ck_assert_msg(run_program(arguments, said, sizeof said) == 2 && strstr(said, "option --url: found it with --kv"),
                  "%s", said);
    http_server_stop(&s);
    snprintf(arguments, sizeof arguments, "--url http://127.0.0.1:%d --fixture %s", s.port, fixture_file);
    ck_assert_msg(run_program(arguments, said, sizeof said) == 4 && !strstr(said, KEY), "%s", said);
    snprintf(arguments, sizeof arguments, "%s --timeout 3 --fixture %s", gguf_path_, fixture_file);
    ck_assert_msg(run_program(arguments, said, sizeof said) == 2 && strstr(said, "option --timeout: found it without "
                                        "--url"), "%s", said);
    snprintf(arguments, sizeof arguments, "--fixture %s", fixture_file);
    ck_assert_msg(run_program(arguments, said, sizeof said) == 2 && strstr(said, "an argument is missing: hallmark "
                                        "verify ART.gguf"), "%s", said);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("remote");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, each_kind_of_server_is_found_out_and_passes, 0, N_KINDS);
    tcase_add_test(t, no_more_is_asked_than_must_be);
    tcase_add_test(t, the_report_says_whom_it_asked_and_what_was_not_seen);
    tcase_add_test(t, every_form_of_the_report_can_be_written);
    tcase_add_test(t, a_server_that_stops_early_is_asked_again);
    tcase_add_test(t, a_server_without_log_probabilities_is_not_measured);
    tcase_add_loop_test(t, the_first_step_that_leaves_is_named, 0, N_KINDS);
    tcase_add_test(t, a_distance_beyond_the_noise_fails);
    tcase_add_test(t, too_little_to_compare_does_not_pass);
    tcase_add_test(t, a_gate_file_holds_as_it_stands);
    tcase_add_test(t, a_wrong_question_is_a_wrong_command_line);
    tcase_add_test(t, this_machine_is_an_address_and_no_name_like_one);
    tcase_add_test(t, what_is_no_answer_is_no_verdict);
    tcase_add_test(t, no_server_is_no_verdict);
    tcase_add_test(t, nonsense_is_refused_by_name);
    tcase_add_test(t, the_key_is_sent_and_never_said);
    tcase_add_test(t, the_key_is_hidden_however_it_is_written);
    tcase_add_test(t, no_part_of_the_key_is_seen_at_a_cut);
    tcase_add_test(t, what_needs_a_key_beside_the_answers_is_let_be);
    tcase_add_test(t, ids_of_another_model_are_said);
    tcase_add_test(t, a_busy_server_is_asked_again);
    tcase_add_test(t, a_certificate_is_checked);
    tcase_add_test(t, distance_is_over_the_ids_that_are_given);
    tcase_add_test(t, llama_cpp_as_recorded);
    tcase_add_test(t, the_exit_status_says_which);
    suite_add_tcase(s, t);
    return run_suite(s);
}
