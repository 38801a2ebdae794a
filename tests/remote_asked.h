// remote_asked: a small checkpoint's file, two fixtures of it, and a server that is played from them and asked by
// verify_remote: for tests of `verify --url`.
#ifndef HALLMARK_TESTS_REMOTE_ASKED_H
#define HALLMARK_TESTS_REMOTE_ASKED_H

#include "played_server.h"
#include "verify/remote.h"
#include "verify_files.h"

static const char *const KINDS[] = { "llama", "openai", "sglang", "ollama" };
enum { N_KINDS = sizeof KINDS / sizeof *KINDS, N_IDS = 3 };     // the first three take ids

static fixture   *fix, *whole;         // four cases, and all of them: of a text fewer steps can be asked about
static gguf      *file;
static tokenizer *words;
static char       gguf_path_[256], fixture_file[512], whole_file[512];

static inline void setup(void)
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

static inline void teardown(void)
{
    tokenizer_free(words);
    gguf_close(file);
    fixture_close(fix);
    fixture_close(whole);
    files_end();
}

static inline played played_as(const char *kind)
{
    const bool texts = strcmp(kind, "ollama") == 0;
    return (played){ .f = texts ? whole : fix, .kind = kind, .words = words, .bad_case = -1, .bad_step = -1 };
}

typedef struct { bool ran; verify_report r; err e; } outcome;

static inline outcome ask_at(remote_opts o, const char *fixture_to_ask)
{
    outcome x = { 0 };
    x.ran = verify_remote(&x.r, &fixture_to_ask, 1, &o, &x.e);
    return x;
}

static inline outcome ask_with(played *p, remote_opts o, const char *fixture_to_ask)
{
    http_server s;
    char        url[64];
    http_server_start(&s, play, p, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    o.url = url;
    if (strcmp(p->kind, "ollama") == 0 && !o.tokenizer) o.tokenizer = gguf_path_;
    if (!o.http.timeout_s) o.http.timeout_s = 30;
    const outcome x = ask_at(o, fixture_to_ask);
    http_server_stop(&s);
    ck_assert_msg(!p->failed[0], "%s: %s", p->kind, p->failed);
    return x;
}

static inline outcome ask_played(played *p)
{
    return ask_with(p, (remote_opts){ 0 }, p->f == whole ? whole_file : fixture_file);
}

static inline void done(outcome *x) { if (x->ran) verify_report_free(&x->r); }

static inline void must_refuse(const outcome *x, err_kind kind, const char *said)
{
    ck_assert_msg(!x->ran && x->e.kind == kind && strstr(x->e.msg, said), "expected %d and '%s', found %d: %s", kind,
                  said, x->e.kind, x->e.msg);
    ck_assert_int_eq(x->r.n_fixtures, 0);
}

// ---- what a server answers instead ---------------------------------------------------------------------------------

static const char *instead_body, *instead_type;
static int         instead_status;

static inline void answer_instead(int status, const char *type, const char *body)
{
    instead_status = status;
    instead_type   = type;
    instead_body   = body;
}

static inline void reply_body(void *ctx, const http_request *q, http_reply_bytes *a)
{
    http_reply(a, instead_status, instead_type, instead_body);
}

#endif
