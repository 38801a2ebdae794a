// Any bytes as a signature's bundle, and as the payload of one: refused in one line, or taken apart into parts that are
// what the headers say. Nothing that is not signed is judged here, so every payload is looked at as if it were.
#include "fuzz.h"
#include "formats/dsse.h"
#include "release/model_statement.h"

#include <string.h>

static void must_be_sha256(const char *s)
{
    MUST(strlen(s) == SHA256_HEX && strspn(s, "0123456789abcdef") == SHA256_HEX);
}

static void statement(const char *payload, int64_t n)
{
    err e = { 0 };
    model_statement s;
    if (!model_statement_read(&s, payload, n, "model.sig", &e)) { must_be_refusal(&e); return; }
    MUST(s.n > 0 && s.subject);
    for (int i = 0; i < s.n; i++) {
        const char *name = s.v[i].name;
        must_be_sha256(s.v[i].sha256);
        MUST(name[0] && name[0] != '/' && strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0 && !strstr(name,
                                                                                                             "/../"));
        MUST(i == 0 || strcmp(s.v[i - 1].name, name) < 0);
        MUST(model_statement_find(&s, name, s.v[i].sha256) == &s.v[i]);
    }
    model_statement_free(&s);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    err  e = { 0 };
    dsse d;
    statement((const char *)data, (int64_t)size);
    if (!dsse_read(&d, (const char *)data, (int64_t)size, "model.sig", &e)) { must_be_refusal(&e); return 0; }
    MUST(d.payload && d.n_payload >= 0 && d.payload[d.n_payload] == '\0');
    MUST(d.sig && d.n_sig > 0);
    MUST(!d.hint[0] || strlen(d.hint) == SHA256_HEX);
    use(touch(d.payload, d.n_payload) + touch(d.sig, d.n_sig));
    statement(d.payload, d.n_payload);
    dsse_free(&d);
    return 0;
}
