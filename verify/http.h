// http: questions to a server of other people, by libcurl, which no other file names.
//
// What comes back is hostile: it is limited in size while it arrives and in time, a redirect is not followed, and a
// certificate is always checked. No answer, or half of one, is ERR_SYSTEM; an answer that is none is ERR_INPUT.
// A key is sent as "Authorization: Bearer", over TLS or to this machine only, and stands in no message.
// Proved by tests/remote_hostile_test.c and remote_key_test.c.
#ifndef HALLMARK_VERIFY_HTTP_H
#define HALLMARK_VERIFY_HTTP_H

#include "../formats/err.h"
#include <cjson/cJSON.h>
#include <stdint.h>

enum {
    HTTP_TIMEOUT_S    = 60,         // for one question, when none is asked for: from the connection to the last byte
    HTTP_CONNECT_S    = 10,
    HTTP_STALL_S      = 15,         // nothing more of an answer that had begun
    HTTP_ANSWER_BYTES = 64 << 20,
};

typedef struct http http;

typedef struct {
    const char *key;            // NULL or "": none
    const char *cacert;         // a file with the certificates that are trusted, NULL: the system's
    int64_t     timeout_s;      // 0: HTTP_TIMEOUT_S
} http_opts;

typedef struct {
    long    status;             // 200, 404, ...
    char   *body;               // [n] and a NUL
    int64_t n;
} http_answer;

// url: http://HOST[:PORT][/PREFIX] or https://. No connection is made yet. ERR_USAGE: another scheme, a user or
// password in it, a query, a key that could not be sent or would be sent in the clear to another machine. Strings of o
// are borrowed until http_close.
http *http_open(const char *url, const http_opts *o, err *e);
void  http_close(http *h);

// The URL as it was understood, without a slash at its end.
const char *http_url(const http *h);

// Asks PREFIX + path: POSTs json, or GETs where it is NULL. true: there is an answer of status 200 to 299, or 400 to
// 499; see http_expect. 503 and 429 (a model that is being loaded, too many questions) are waited for, and asked again,
// for as long as one question may take. Freed by http_answer_free, in any case.
bool http_ask(http *h, const char *path, const char *json, http_answer *a, err *e);
void http_answer_free(http_answer *a);

// ERR_INPUT with the server's own words where the status is none of 200 to 299; ERR_SYSTEM where it wants a key.
bool http_expect(const http *h, const char *path, const http_answer *a, err *e);

// Words of the server into dst[size], on one line that may be shown, without the key if it repeats it
// (secret.h).
void http_words(const http *h, char *dst, size_t size, const char *s);
// The same for a message that may quote an answer. h may be NULL.
void http_hide(const http *h, err *e);
// And for a document that messages may be made of: see secret.h.
bool http_hide_json(const http *h, cJSON *doc, err *e);

#endif
