// remote_ask: one server: which kind it is, what it says of itself, and its answers to questions.
#ifndef HALLMARK_VERIFY_REMOTE_ASK_H
#define HALLMARK_VERIFY_REMOTE_ASK_H

#include "http.h"
#include "remote_api.h"

typedef struct {
    http             *h;
    const remote_api *api;
    remote_server     server;
    char              model[256];       // that questions name; "" where the server has one
} remote_peer;

// Finds out what the server is, or that it is `api` (NULL: any). ERR_USAGE: it has several models, and none was named.
// Closed by remote_close in any case.
bool remote_open(remote_peer *p, const char *url, const http_opts *o, const char *api, const char *model, err *e);
void remote_close(remote_peer *p);

// Asks, reads and checks. item: the case, for messages.
bool remote_ask(remote_peer *p, const remote_question *q, remote_answer *a, const char *item, int64_t step, err *e);

#endif
