// http_server: a server on 127.0.0.1 for tests, in a thread of the test: it reads a request whole and sends the bytes
// that a function of the test gives, with or without TLS, and may then break off.
#ifndef HALLMARK_TESTS_HTTP_SERVER_H
#define HALLMARK_TESTS_HTTP_SERVER_H

#include "formats/text.h"
#include "suite.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    const char *method, *path, *head, *body;        // head: all lines of it
} http_request;

typedef struct {
    text_buf bytes;         // all that is sent: http_reply puts a whole answer
    int      hold_ms;       // before the first byte
    int64_t  repeat;        // of the last `unit` bytes, so many times again
    size_t   unit;
    bool     reset;         // the connection ends by RST, else it is closed
    bool     hang;          // nothing more comes, and the connection stays open until the test stops
} http_reply_bytes;

typedef struct {
    int          fd;
    int          port;
    pthread_t    thread;
    SSL_CTX     *tls;               // NULL: none
    _Atomic bool stop;
    _Atomic int  n;                 // requests that came
    void       (*reply)(void *ctx, const http_request *q, http_reply_bytes *a);
    void        *ctx;
} http_server;

static inline void http_reply(http_reply_bytes *a, int status, const char *type, const char *body)
{
    text_printf(&a->bytes, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                status, type, strlen(body));
    text_words(&a->bytes, body);
}

typedef struct { int fd; SSL *ssl; } http_line;

static inline int line_read(const http_line *l, char *to, size_t n)
{
    return l->ssl ? SSL_read(l->ssl, to, (int)n) : (int)recv(l->fd, to, n, 0);
}

static inline bool line_write(const http_line *l, const char *from, size_t n)
{
    while (n > 0) {
        const int sent = l->ssl ? SSL_write(l->ssl, from, (int)n) : (int)send(l->fd, from, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        from += sent;
        n -= (size_t)sent;
    }
    return true;
}

// A whole request into buf; the length of its head, 0: it broke off.
static inline size_t read_request(const http_line *l, char *buf, size_t size)
{
    size_t n = 0;
    while (n + 1 < size) {
        const int got = line_read(l, buf + n, size - 1 - n);
        if (got <= 0) return 0;
        n += (size_t)got;
        buf[n] = '\0';
        char *end = strstr(buf, "\r\n\r\n");
        if (!end) continue;
        const char  *length = strstr(buf, "\r\nContent-Length:");         // as libcurl writes it
        const size_t head = (size_t)(end + 4 - buf), body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        if (n >= head + body) return head;
    }
    return 0;
}

static inline void send_reply(http_server *s, const http_line *l, http_reply_bytes *a)
{
    for (int waited = 0; waited < a->hold_ms && !s->stop; waited += 20) poll(NULL, 0, 20);
    bool ok = line_write(l, a->bytes.s, a->bytes.n);
    for (int64_t i = 0; ok && i < a->repeat && !s->stop; i++) ok = line_write(l, a->bytes.s + a->bytes.n - a->unit,
         a->unit);
    while (a->hang && !s->stop) poll(NULL, 0, 20);
    const struct linger at_once = { 1, 0 };
    if (a->reset) setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    else if (l->ssl) SSL_shutdown(l->ssl);
    else shutdown(l->fd, SHUT_WR);
    // What the client still sends is read, or the kernel answers it by a reset.
    char rest[256];
    struct pollfd p = { .fd = l->fd, .events = POLLIN };
    while (!a->reset && !s->stop && poll(&p, 1, 500) > 0 && recv(l->fd, rest, sizeof rest, 0) > 0) continue;
}

static inline void serve_one(http_server *s, const http_line *l)
{
    enum { ROOM = 1 << 20 };
    char  *buf = malloc(ROOM);
    size_t head = read_request(l, buf, ROOM);
    if (head > 0) {
        char method[8] = "", path[256] = "";
        sscanf(buf, "%7s %255s", method, path);
        char *lines = strndup(buf, head);
        http_reply_bytes   a = { 0 };
        const http_request q = { method, path, lines, buf + head };
        s->n++;
        s->reply(s->ctx, &q, &a);
        send_reply(s, l, &a);
        text_drop(&a.bytes);
        free(lines);
    }
    free(buf);
}

static inline void *serve(void *arg)
{
    http_server  *s = arg;
    struct pollfd p = { .fd = s->fd, .events = POLLIN };
    while (!s->stop) {
        if (poll(&p, 1, 20) <= 0) continue;
        http_line l = { .fd = accept(s->fd, NULL, NULL) };
        if (l.fd < 0) continue;
        if (s->tls) {
            l.ssl = SSL_new(s->tls);
            SSL_set_fd(l.ssl, l.fd);
        }
        if (!l.ssl || SSL_accept(l.ssl) == 1) serve_one(s, &l);
        SSL_free(l.ssl);
        close(l.fd);
    }
    return NULL;
}

static inline void http_server_start(http_server *s, void (*reply)(void *, const http_request *, http_reply_bytes *),
                                     void *ctx,
                                     SSL_CTX *tls)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    signal(SIGPIPE, SIG_IGN);               // a client that has gone away, where TLS writes
    *s = (http_server){ .fd = socket(AF_INET, SOCK_STREAM, 0), .reply = reply, .ctx = ctx, .tls = tls };
    ck_assert(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(s->fd, 16) == 0);
    ck_assert(getsockname(s->fd, (struct sockaddr *)&at, &n) == 0);
    s->port = ntohs(at.sin_port);
    ck_assert(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static inline void http_server_stop(http_server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#endif
