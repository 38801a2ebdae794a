#define _GNU_SOURCE
#include "answer.h"
#include "text_out.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What was asked of the process, by its one command line: set before any work, never changed.
static answer_to asked;
static atomic_bool begun;           // the document has

void answer_begin(const answer_to *to) { asked = *to; }
bool answer_is_json(void)              { return asked.json; }
bool answer_is_quiet(void)             { return asked.quiet; }

bool option_is_set(const command *c, const void *options, const char *flag)
{
    for (int i = 0; i < c->n_opts; i++)
        if (c->opts[i].kind == OPT_FLAG && strcmp(c->opts[i].name, flag) == 0)
            return *(const bool *)((const char *)options + c->opts[i].offset);
    return false;
}

FILE *answer_document(void)
{
    atomic_store(&begun, true);
    return stdout;
}

// ---- the file that a message is about -------------------------------------------------------------------------------

// The bytes of message that name `path` or what lies below it; 0: it does not begin so.
static size_t begins_with(const char *message, const char *path)
{
    err shown = { 0 };
    err_set(&shown, ERR_INPUT, "%s", path);             // as messages show it
    const size_t n = strlen(shown.msg);
    if (n == 0 || strncmp(message, shown.msg, n) != 0) return 0;
    if (message[n] == ':' || message[n] == '\0' || message[n] == ' ' || message[n] == ',') return n;
    const char *end = strstr(message + n, ": ");
    return message[n] == '/' && end ? (size_t)(end - message) : 0;
}

static void take_longer(size_t *most, size_t n) { if (n > *most) *most = n; }

// "chat=chat.txt" names chat.txt, too.
static void try_path(size_t *most, const char *message, const char *path)
{
    const char *equals = path ? strchr(path, '=') : NULL;
    if (path) take_longer(most, begins_with(message, path));
    if (equals) take_longer(most, begins_with(message, equals + 1));
}

static void try_list(size_t *most, const char *message, const text_list *l)
{
    for (int i = 0; i < l->n; i++) try_path(most, message, l->v[i]);
}

static void try_option(size_t *most, const char *message, const opt *o, const void *field)
{
    if (o->kind == OPT_PATHS) try_list(most, message, field);
    if (o->kind == OPT_PATH || o->kind == OPT_OUTPUT || o->kind == OPT_TEXT)
        try_path(most, message, *(const char *const *)field);
}

static bool names_something(const char *message, size_t n)
{
    struct stat st;
    char *path = strndup(message, n);
    const bool there = path && lstat(path, &st) == 0;
    free(path);
    return there;
}

char *answer_file_of(const char *message, const answer_to *to)
{
    size_t n = 0;
    if (to->args) try_list(&n, message, to->args);
    for (int i = 0; to->c && to->options && i < to->c->n_opts; i++)
        try_option(&n, message, &to->c->opts[i], (const char *)to->options + to->c->opts[i].offset);
    const char *end = strstr(message, ": ");
    if (n == 0 && end && names_something(message, (size_t)(end - message))) n = (size_t)(end - message);
    return n > 0 ? strndup(message, n) : NULL;
}

// ---- errors ---------------------------------------------------------------------------------------------------------

typedef struct { const char *kind, *message, *file, *signal_name; int status; } failure;

static void put_member(json_out *j, const failure *x)
{
    json_key_open(j, "error", '{');
    json_key_cstr(j, "kind", x->kind);
    json_key_int(j, "status", x->status);
    json_key_cstr(j, "command", asked.name);
    json_key_cstr(j, "message", x->message);
    json_key_cstr(j, "file", x->file);
    if (x->signal_name) json_key_cstr(j, "signal", x->signal_name);
    json_close(j, '}');
}

static void put_failure(FILE *f, const failure *x)
{
    json_out j;
    json_begin(&j, f);
    json_open(&j, '{');
    put_member(&j, x);
    json_close(&j, '}');
}

static const char *kind_of(err_kind kind)
{
    return kind == ERR_USAGE ? "usage" : kind == ERR_INPUT ? "input" : kind == ERR_VERDICT ? "verdict" : "system";
}

static const char *message_of(const err *e) { return e->msg[0] ? e->msg : "failed without a message"; }
static int status_of(const err *e)          { return e->kind == ERR_NONE ? ERR_SYSTEM : (int)e->kind; }

// file: freed by the caller, as are no others.
static failure failure_of(const err *e, char **file)
{
    *file = answer_file_of(e->msg, &asked);
    return (failure){ .kind = kind_of(e->kind), .message = message_of(e), .file = *file, .status = status_of(e) };
}

void answer_error(const err *e)
{
    char *file;
    if (!asked.json || atomic_load(&begun)) return;
    const failure x = failure_of(e, &file);
    put_failure(answer_document(), &x);
    free(file);
}

void answer_error_member(json_out *j, const err *e)
{
    char *file;
    const failure x = failure_of(e, &file);
    put_member(j, &x);
    free(file);
}

cJSON *answer_error_json(const err *e)
{
    cJSON *j = cJSON_CreateObject();
    char *file;
    const failure x = failure_of(e, &file);
    cJSON_AddStringToObject(j, "kind", x.kind);
    cJSON_AddNumberToObject(j, "status", x.status);
    cJSON_AddStringToObject(j, "command", asked.name);
    cJSON_AddStringToObject(j, "message", x.message);
    if (x.file) cJSON_AddStringToObject(j, "file", x.file);
    else        cJSON_AddNullToObject(j, "file");
    free(file);
    return j;
}

void answer_text(const char *key, const char *of, const char *text)
{
    json_out j;
    if (!asked.json) {
        fputs(text, stdout);
        return;
    }
    json_begin(&j, answer_document());
    json_open(&j, '{');
    json_key_cstr(&j, key, of);
    json_key_cstr(&j, "text", text);
    json_close(&j, '}');
}

bool answer_interrupted(int status, const char *signal_name, const char *message, const char *file)
{
    char  *text = NULL;
    size_t n = 0;
    if (!asked.json || atomic_load(&begun)) return false;
    FILE *f = open_memstream(&text, &n);
    if (!f) return false;
    put_failure(f, &(failure){ "interrupted", message, file, signal_name, status });
    const bool ok = fclose(f) == 0 && write(STDOUT_FILENO, text, n) == (ssize_t)n;
    free(text);
    return ok;
}
