// verify_url: what 'verify --url' has of its own: options, their checks, and the run.
#ifndef HALLMARK_CLI_VERIFY_URL_H
#define HALLMARK_CLI_VERIFY_URL_H

#include "../verify/verify.h"
#include "cli.h"

typedef struct {
    const char *url, *api, *model, *tokenizer, *drift, *cacert;
    int64_t     timeout_s;
} url_options;

extern const char *const url_api_choices[];

// Rows of a command's option table; `at` is the url_options in its options struct.
#define URL_AT(type, at, member) (offsetof(type, at) + offsetof(url_options, member))
#define OPT_URL_ROWS(type, at) \
    { "--url", NULL, OPT_PATH, URL_AT(type, at, url), "URL", \
      "instead of a file: the running server at http://HOST:PORT is asked", false, 0, 0, NULL }, \
    { "--api", NULL, OPT_CHOICE, URL_AT(type, at, api), "A", \
      "with --url: llama, openai (vLLM), sglang or ollama (default: found out, and said)", false, 0, 0, \
      url_api_choices }, \
    { "--model", NULL, OPT_PATH, URL_AT(type, at, model), "NAME", \
      "with --url: which of the server's models", false, 0, 0, NULL }, \
    { "--drift", NULL, OPT_PATH, URL_AT(type, at, drift), "TYPE", \
      "with --url: hold the answers to the budget of drift of this type, not to equality", false, 0, 0, NULL }, \
    { "--tokenizer", NULL, OPT_PATH, URL_AT(type, at, tokenizer), "F.gguf", \
      "with --api ollama: the GGUF file whose tokenizer makes text of the fixture's ids", false, 0, 0, NULL }, \
    { "--timeout", NULL, OPT_INT, URL_AT(type, at, timeout_s), "S", \
      "with --url: seconds for one question (default: 60)", false, 1, 86400, NULL }, \
    { "--cacert", NULL, OPT_PATH, URL_AT(type, at, cacert), "FILE", \
      "with an https --url: the certificates that are trusted (default: the system's)", false, 0, 0, NULL }

// ERR_USAGE names an option that is of no use without --url.
bool url_options_alone(const url_options *u, err *e);

// What it has in common with the run of a file.
typedef struct { int64_t tokens, samples; const char *gate_path; progress *progress; } url_asked;

bool verify_url(verify_report *r, const url_options *u, const text_list *fixtures, const url_asked *a, err *e);

#endif
