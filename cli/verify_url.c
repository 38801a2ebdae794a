// verify_url: see verify_url.h.
#include "verify_url.h"
#include "../verify/remote.h"
#include <stdlib.h>

const char *const url_api_choices[] = { "llama", "openai", "sglang", "ollama", NULL };

bool url_options_alone(const url_options *u, err *e)
{
    const char *name = u->api ? "--api" : u->model ? "--model" : u->tokenizer ? "--tokenizer" : u->drift ? "--drift"
                     : u->cacert ? "--cacert" : u->timeout_s ? "--timeout" : NULL;
    return !name || err_set(e, ERR_USAGE, "option %s: found it without --url, expected a server that it belongs to",
                            name);
}

bool verify_url(verify_report *r, const url_options *u, const text_list *fixtures, const url_asked *a, err *e)
{
    const remote_opts o = {
        .url = u->url, .api = u->api, .model = u->model, .tokenizer = u->tokenizer, .drift = u->drift,
        .gate_path = a->gate_path, .tokens = a->tokens, .samples = a->samples, .progress = a->progress,
        .http = { .key = getenv("HALLMARK_API_KEY"), .cacert = u->cacert, .timeout_s = u->timeout_s },
    };
    return verify_remote(r, fixtures->v, fixtures->n, &o, e);
}
