// Proves verify/http.h and secret.h, and the program: the key goes where it may and is never said, a certificate is
// checked, and the exit status says what became of it.
#include "remote_asked.h"
#include "verify/http.h"
#include "verify/secret.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/wait.h>

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
    char pad[2048];
    memset(pad, 'x', sizeof pad);
    pad[instead_status] = '\0';
    text_buf t = { 0 };
    text_words(&t, "{\"choices\":[{\"token_ids\":[7],\"logprobs\":{\"top_logprobs\":[{\"");
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
        played      p = played_as("openai");
        scratch_path(pem, "server.pem");
        SSL_CTX *tls = certified(cases[i].name, pem);
        http_server_start(&s, play, &p, tls);
        snprintf(url, sizeof url, "https://127.0.0.1:%d", s.port);
        const http_opts trust = { .cacert = cases[i].trusted ? pem : NULL };
        outcome         x     = ask_at((remote_opts){ .url = url, .http = trust }, fixture_file);
        http_server_stop(&s);
        SSL_CTX_free(tls);
        if (cases[i].ok) ck_assert_msg(x.ran && x.r.passed, "%s", x.e.msg);
        else {
            must_refuse(&x, ERR_SYSTEM, "its certificate is not trusted");
            ck_assert_int_eq(s.n, 0);           // nothing was sent
        }
        done(&x);
    }
    const http_opts nowhere = { .cacert = "/nowhere.pem" };
    ck_assert(!ask_at((remote_opts){ .url = "https://127.0.0.1:1", .http = nowhere }, fixture_file).ran);
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
    answer_instead(200, "application/json", "{}");
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
    Suite *s = suite_create("remote_key");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_test(t, the_key_is_sent_and_never_said);
    tcase_add_test(t, the_key_is_hidden_however_it_is_written);
    tcase_add_test(t, no_part_of_the_key_is_seen_at_a_cut);
    tcase_add_test(t, this_machine_is_an_address_and_no_name_like_one);
    tcase_add_test(t, a_certificate_is_checked);
    tcase_add_test(t, the_exit_status_says_which);
    suite_add_tcase(s, t);
    return run_suite(s);
}
