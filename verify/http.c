// http: see http.h.
#include "http.h"
#include "../formats/text.h"
#include "secret.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct http {
    CURL              *curl;
    struct curl_slist *headers;
    const char        *key;         // NULL: none
    const char        *cacert;
    long               timeout_s;
    bool               local;       // this machine
    char               url[512];
    char               why[CURL_ERROR_SIZE];
};

// ---- the address ---------------------------------------------------------------------------------------------------

// The number of an IPv6 address, which a URL has in brackets: ::1, or 127.0.0.0/8 as IPv6 writes it.
static bool is_local_v6(const char *host)
{
    static const uint8_t itself[16] = { [15] = 1 }, mapped[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 };
    char            number[INET6_ADDRSTRLEN];
    struct in6_addr a;
    const size_t    n = strlen(host);
    if (n < 3 || n - 2 >= sizeof number || host[0] != '[' || host[n - 1] != ']') return false;
    memcpy(number, host + 1, n - 2);
    number[n - 2] = '\0';
    if (inet_pton(AF_INET6, number, &a) != 1) return false;
    return memcmp(&a, itself, sizeof itself) == 0 || memcmp(&a, mapped, sizeof mapped) == 0;
}

// A name that begins like an address of this machine (127.0.0.1.example) is somebody else's.
static bool is_local(const char *host)
{
    struct in_addr a;
    if (strcasecmp(host, "localhost") == 0 || is_local_v6(host)) return true;
    return inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

static char *url_part(CURLU *u, CURLUPart part)
{
    char *s = NULL;
    return curl_url_get(u, part, &s, 0) == CURLUE_OK ? s : NULL;
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *s = url_part(u, part);
    curl_free(s);
    return s != NULL;
}

// "/v1", which belongs to an OpenAI client's address, and slashes at the end.
static int prefix_bytes(const char *path)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/') n--;
    if (n >= 3 && strncmp(path + n - 3, "/v1", 3) == 0) n -= 3;
    while (n > 0 && path[n - 1] == '/') n--;
    return (int)n;
}

static bool put_url(http *h, CURLU *u, err *e)
{
    char *scheme = url_part(u, CURLUPART_SCHEME), *host = url_part(u, CURLUPART_HOST);
    char *port = url_part(u, CURLUPART_PORT), *path = url_part(u, CURLUPART_PATH);
    bool  ok = scheme && host && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (ok) {
        int n = snprintf(h->url, sizeof h->url, "%s://%s%s%s%.*s", scheme, host, port ? ":" : "", port ? port : "",
                         path ? prefix_bytes(path) : 0, path ? path : "");
        ok = n < (int)sizeof h->url;
        h->local = is_local(host);
    }
    if (ok && h->key && !h->local && strcmp(scheme, "http") == 0)
        err_set(e, ERR_USAGE, "%s: the key of HALLMARK_API_KEY would be sent in the clear to another machine; use "
                              "https:// or unset it", h->url);
    else if (!ok)
        err_set(e, ERR_USAGE, "option --url: found no address of a server, expected http://HOST:PORT or "
                              "https://HOST:PORT");
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    return e->kind == ERR_NONE;
}

static bool read_url(http *h, const char *url, err *e)
{
    CURLU *u = curl_url();
    if (!u) return err_nomem(e, "an address", 0);
    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
        err_set(e, ERR_USAGE, "option --url: found no address of a server, expected http://HOST:PORT or "
                              "https://HOST:PORT");
    else if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
        err_set(e, ERR_USAGE, "option --url: found a user or a password in the address; a key comes from "
                              "HALLMARK_API_KEY");
    else if (has_part(u, CURLUPART_QUERY) || has_part(u, CURLUPART_FRAGMENT))
        err_set(e, ERR_USAGE, "option --url: found a query or a fragment, expected http://HOST:PORT[/PREFIX]");
    else
        put_url(h, u, e);
    curl_url_cleanup(u);
    return e->kind == ERR_NONE;
}

// A key is one word: with a line end in it, it would be headers of its own.
static bool key_can_be_sent(const char *key, err *e)
{
    for (const char *s = key; *s; s++)
        if (*s <= ' ' || *s > '~')
            return err_set(e, ERR_USAGE, "HALLMARK_API_KEY: found a space, a line end or a byte that is no ASCII in "
                                        "it, expected one word");
    return true;
}

static bool add_header(http *h, const char *line, err *e)
{
    struct curl_slist *more = curl_slist_append(h->headers, line);
    if (!more) return err_nomem(e, "headers", 0);
    h->headers = more;
    return true;
}

static bool add_headers(http *h, err *e)
{
    // Without "Expect:" libcurl asks a server whether it may send a long question, and some never say.
    bool ok = add_header(h, "Content-Type: application/json", e) && add_header(h, "Expect:", e);
    if (!ok || !h->key) return ok;
    text_buf t = { 0 };
    text_words(&t, "Authorization: Bearer ");
    text_words(&t, h->key);
    char *line = text_take(&t);
    ok = line ? add_header(h, line, e) : err_nomem(e, "headers", 0);
    free(line);
    return ok;
}

http *http_open(const char *url, const http_opts *o, err *e)
{
    http *h = calloc(1, sizeof *h);
    if (!h) {
        err_nomem(e, "a connection", sizeof *h);
        return NULL;
    }
    h->key       = o->key && *o->key ? o->key : NULL;
    h->cacert    = o->cacert;
    h->timeout_s = (long)(o->timeout_s > 0 ? o->timeout_s : HTTP_TIMEOUT_S);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(h->curl = curl_easy_init())) {
        err_nomem(e, "a connection", 0);
        http_close(h);
        return NULL;
    }
    if ((!h->key || key_can_be_sent(h->key, e)) && read_url(h, url, e) && add_headers(h, e)) return h;
    http_close(h);
    return NULL;
}

void http_close(http *h)
{
    if (!h) return;
    curl_slist_free_all(h->headers);
    curl_easy_cleanup(h->curl);
    free(h);
}

const char *http_url(const http *h) { return h->url; }

// ---- one question --------------------------------------------------------------------------------------------------

typedef struct {
    http_answer *a;
    int64_t      room;
    time_t       last;          // when the last bytes came
    bool         too_much, no_memory, stalled;
} receiver;

static size_t receive(char *from, size_t one, size_t n, void *to)
{
    receiver    *r = to;
    http_answer *a = r->a;
    n *= one;
    r->last     = time(NULL);
    r->too_much = (int64_t)n > HTTP_ANSWER_BYTES - a->n;
    if (r->too_much) return 0;
    if (a->n + (int64_t)n + 1 > r->room) {
        int64_t room = 2 * r->room > a->n + (int64_t)n + 1 ? 2 * r->room : a->n + (int64_t)n + 1;
        char   *more = realloc(a->body, (size_t)room);
        r->no_memory = !more;
        if (!more) return 0;
        a->body = more;
        r->room = room;
    }
    memcpy(a->body + a->n, from, n);
    a->n += (int64_t)n;
    a->body[a->n] = '\0';
    return n;
}

// Nothing for long is what a model that computes looks like, but not once its answer has begun.
static int look(void *to, curl_off_t down, curl_off_t down_now, curl_off_t up, curl_off_t up_now)
{
    receiver *r = to;
    r->stalled = r->a->n > 0 && time(NULL) - r->last > HTTP_STALL_S;
    return r->stalled;
}

// A server that closes a connection while it is written to is no reader of ours who went away (cli/interrupt.h).
static CURLcode transfer(CURL *c)
{
    struct sigaction was;
    const struct sigaction ignored = { .sa_handler = SIG_IGN };
    sigaction(SIGPIPE, &ignored, &was);
    const CURLcode code = curl_easy_perform(c);
    sigaction(SIGPIPE, &was, NULL);
    return code;
}

static CURLcode perform(http *h, const char *url, const char *json, receiver *r)
{
    CURL *c = h->curl;
    curl_easy_reset(c);
    h->why[0] = '\0';
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, h->timeout_s < HTTP_CONNECT_S ? h->timeout_s : (long)HTTP_CONNECT_S);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, h->timeout_s);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->why);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "hallmark");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, h->headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, look);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, r);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (h->cacert) curl_easy_setopt(c, CURLOPT_CAINFO, h->cacert);
    if (h->local) curl_easy_setopt(c, CURLOPT_PROXY, "");       // a proxy would look for "localhost" on its own machine
    if (json) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, json);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(json));
    }
    return transfer(c);
}

static bool fail_transfer(const http *h, const char *url, const receiver *r, CURLcode code, err *e)
{
    const char *why = h->why[0] ? h->why : curl_easy_strerror(code);
    if (r->no_memory) return err_nomem(e, "an answer", (size_t)r->room);
    if (r->too_much)
        return err_set(e, ERR_INPUT, "%s: found an answer of more than %d MB, which is no answer to what was asked",
                       url, HTTP_ANSWER_BYTES >> 20);
    if (r->stalled)
        return err_set(e, ERR_SYSTEM, "%s: it stopped in the middle of its answer: %lld bytes came, and then nothing "
                                      "for %d s",
                       url, (long long)r->a->n, HTTP_STALL_S);
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(e, ERR_SYSTEM, "%s: no whole answer within %ld s (--timeout S waits longer): %s", url,
                       h->timeout_s, why);
    case CURLE_PEER_FAILED_VERIFICATION:
        return err_set(e, ERR_SYSTEM, "%s: its certificate is not trusted (--cacert FILE names whose are): %s", url,
                       why);
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(e, ERR_INPUT, "%s: no file of certificates: %s", h->cacert ? h->cacert : url, why);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return err_set(e, ERR_INPUT, "%s: it does not speak HTTP as a server does: %s", url, why);
    default:
        return err_set(e, ERR_SYSTEM, "%s: %s: %s", url, r->a->n > 0 ? "it stopped in the middle of its answer"
                                                                     : "no answer", why);
    }
}

// What is neither an answer nor a refusal.
static bool check_status(const http *h, const char *url, const http_answer *a, err *e)
{
    char words[200], *to = NULL;
    if (a->status >= 300 && a->status < 400) {
        curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &to);
        http_words(h, words, sizeof words, to ? to : "an address that it does not say");
        return err_set(e, ERR_INPUT, "%s: found a redirect to %s, which is not followed: --url names the server itself",
                       url, words);
    }
    if (a->status >= 200 && a->status < 500 && a->status != 408 && a->status != 429) return true;
    http_words(h, words, sizeof words, a->n > 0 ? a->body : "");
    return err_set(e, ERR_SYSTEM, "%s: no answer, but HTTP status %ld: %s", url, a->status, words);
}

static bool ask_once(http *h, const char *url, const char *json, http_answer *a, err *e)
{
    receiver r = { .a = a, .last = time(NULL) };
    memset(a, 0, sizeof *a);
    CURLcode code = perform(h, url, json, &r);
    if (code != CURLE_OK) return fail_transfer(h, url, &r, code, e);
    if (!a->body && !(a->body = calloc(1, 1))) return err_nomem(e, "an answer", 1);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &a->status);
    return true;
}

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// A server that loads its model, or has too much to do, may answer later. false: not while there is time.
static bool wait_for_it(const http *h, const http_answer *a, int n, int64_t until)
{
    curl_off_t    asked = 0;
    const int64_t left = until - milliseconds();
    if (a->status != 503 && a->status != 429) return false;
    curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &asked);
    if (left <= 0 || asked > left / 1000) return false;
    int64_t ms = asked > 0 ? asked * 1000 : 100 << (n < 4 ? n : 4);
    if (ms > left) ms = left;
    const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
    return true;
}

bool http_ask(http *h, const char *path, const char *json, http_answer *a, err *e)
{
    char          url[sizeof h->url + 64];
    const int64_t until = milliseconds() + h->timeout_s * 1000;
    snprintf(url, sizeof url, "%s%s", h->url, path);
    bool ok = ask_once(h, url, json, a, e);
    for (int n = 0; ok && wait_for_it(h, a, n, until); n++) {
        http_answer_free(a);
        ok = ask_once(h, url, json, a, e);
    }
    return ok && check_status(h, url, a, e);
}

void http_answer_free(http_answer *a)
{
    free(a->body);
    memset(a, 0, sizeof *a);
}

bool http_expect(const http *h, const char *path, const http_answer *a, err *e)
{
    char words[300];
    if (a->status >= 200 && a->status < 300) return true;
    if (a->status == 401 || a->status == 403)
        return err_set(e, ERR_SYSTEM, "%s%s: HTTP status %ld: %s", h->url, path, a->status,
                       h->key ? "it does not accept the key of HALLMARK_API_KEY" : "it wants a key: HALLMARK_API_KEY");
    http_words(h, words, sizeof words, a->body);
    return err_set(e, ERR_INPUT, "%s%s: found HTTP status %ld, expected an answer: %s", h->url, path, a->status, words);
}

void http_words(const http *h, char *dst, size_t size, const char *s)
{
    char *clean = secret_hide(s, h->key);
    text_fit(dst, size, clean ? clean : "", clean ? strlen(clean) : 0, 0);
    free(clean);
}

void http_hide(const http *h, err *e)
{
    char *clean = h && h->key ? secret_hide(e->msg, h->key) : NULL;
    if (clean) snprintf(e->msg, sizeof e->msg, "%s", clean);
    free(clean);
}

bool http_hide_json(const http *h, cJSON *doc, err *e)
{
    return secret_hide_json(doc, h->key) || err_nomem(e, "an answer", 0);
}
