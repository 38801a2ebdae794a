// state_folder: folders with a plan, and cells. See state_folder.h.
#include "state_folder.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../formats/sha256.h"
#include "../formats/unfinished.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char PLAN[] = "plan.json";
enum { LIMIT_PLAN_BYTES = 16 << 20 };

// ---- the folder -----------------------------------------------------------------------------------------------------

bool state_folder_plan(char **text, int64_t *n, char **path, const char *dir, err *e)
{
    *text = NULL;
    *path = path_join(dir, PLAN);
    if (!*path) return err_nomem(e, dir, 0);
    if (file_read_text(text, n, *path, LIMIT_PLAN_BYTES, e)) return true;
    free(*path);
    *path = NULL;
    return false;
}

bool state_folder_differs(const char *dir, const char *what, err *e)
{
    return err_set(e, ERR_USAGE, "%s: the folder of another run: %s differs", dir, what);
}

static bool is_ours(const char *name)
{
    return text_ends_with(name, ".cell") || strcmp(name, PLAN) == 0 || strstr(name, ".partial-") != NULL;
}

// A folder without a plan may hold nothing: what somebody keeps there is not ours to add to.
static bool check_unplanned(const char *dir, const char *what, err *e)
{
    dir_list l;
    bool ok = dir_list_read(&l, dir, NULL, false, e);
    for (int i = 0; ok && i < l.n; i++)
        if (!is_ours(l.v[i]))
            ok = err_set(e, ERR_USAGE, "%s: found '%s', expected an empty folder or that of %s", dir, l.v[i], what);
    dir_list_free(&l);
    return ok;
}

// The plan's file, whole, unless there is one by now: two runs that begin at the same time agree on one plan.
static bool put_plan(const char *path, const char *plan, err *e)
{
    text_buf t = { 0 };
    text_printf(&t, "%s.partial-%ld", path, (long)getpid());
    char *own = text_take(&t);
    if (!own) return err_nomem(e, path, 0);
    unfinished_lock();                  // until `own` is gone, nobody may end the process by a signal
    bool ok = outfile_write_whole(own, plan, (int64_t)strlen(plan), e);
    if (ok && link(own, path) != 0 && errno != EEXIST)
        ok = rename(own, path) == 0 || err_set(e, ERR_SYSTEM, "%s: cannot create: %s", path, strerror(errno));
    unlink(own);
    unfinished_unlock();
    free(own);
    return ok;
}

static bool make_folder(const char *dir, err *e)
{
    return mkdir(dir, 0777) == 0 || errno == EEXIST
        || err_set(e, ERR_SYSTEM, "%s: cannot create: %s", dir, strerror(errno));
}

bool state_folder_below(const char *dir, const char *name, char **path, err *e)
{
    *path = NULL;
    if (!dir) return true;
    if (!make_folder(dir, e)) return false;
    *path = path_join(dir, name);
    return *path || err_nomem(e, dir, 0);
}

bool state_folder_open(const char *dir, const char *plan, const char *what, err *e)
{
    if (!make_folder(dir, e)) return false;
    char *path = path_join(dir, PLAN);
    if (!path) return err_nomem(e, dir, 0);
    const bool ok = file_exists(path) || (check_unplanned(dir, what, e) && put_plan(path, plan, e));
    free(path);
    return ok;
}

// ---- writing a cell -------------------------------------------------------------------------------------------------

void state_put_u32(text_buf *t, uint32_t v) { text_raw(t, (const char *)&v, sizeof v); }
void state_put_u64(text_buf *t, uint64_t v) { text_raw(t, (const char *)&v, sizeof v); }
void state_put_f64(text_buf *t, double v)   { text_raw(t, (const char *)&v, sizeof v); }

void state_cell_begin(text_buf *t, const char mark[STATE_MARK], const char *digest)
{
    text_raw(t, mark, STATE_MARK);
    text_raw(t, digest, SHA256_HEX);
}

bool state_cell_write(text_buf *t, const char *path, err *e)
{
    char hex[SHA256_HEX + 1];
    bool ok = (path && !t->failed) || err_nomem(e, "a cell", t->n);
    ok = ok && sha256_bytes(t->s, (int64_t)t->n, hex, e);
    if (ok) text_raw(t, hex, SHA256_HEX);
    ok = ok && (!t->failed || err_nomem(e, "a cell", t->n)) && outfile_write_whole(path, t->s, (int64_t)t->n, e);
    text_drop(t);
    return ok;
}

// ---- reading a cell -------------------------------------------------------------------------------------------------

state_cell state_cell_of(const uint8_t *data, int64_t n, const char *path, err *e)
{
    return (state_cell){ .begin = data, .at = data, .end = data + n, .path = path, .e = e };
}

bool state_broken(const state_cell *c, const char *what)
{
    return err_set(c->e, ERR_INPUT, "%s: %s: expected a whole cell of this run; remove the file and run again", c->path,
                   what);
}

bool state_take(state_cell *c, void *to, size_t n)
{
    if ((size_t)(c->end - c->at) < n) return state_broken(c, "it ends too early");
    memcpy(to, c->at, n);
    c->at += n;
    return true;
}

static bool take_digest(state_cell *c, const char *expected, const char *what)
{
    char found[SHA256_HEX];
    if (!state_take(c, found, sizeof found)) return false;
    return memcmp(found, expected, SHA256_HEX) == 0 || state_broken(c, what);
}

bool state_take_begin(state_cell *c, const char mark[STATE_MARK], const char *digest)
{
    char found[STATE_MARK];
    if (!state_take(c, found, sizeof found)) return false;
    if (memcmp(found, mark, STATE_MARK) != 0) return state_broken(c, "it does not begin as one");
    return take_digest(c, digest, "it belongs to another run");
}

bool state_take_end(state_cell *c)
{
    char hex[SHA256_HEX + 1];
    if (!sha256_bytes(c->begin, c->at - c->begin, hex, c->e)) return false;
    return take_digest(c, hex, "its digest is another's")
        && (c->at == c->end || state_broken(c, "something follows its end"));
}

bool state_cell_read(const char *path, state_taker *take, void *with, bool *found, err *e)
{
    file_map m = { 0 };
    *found = false;
    if (!path) return err_nomem(e, "a cell's path", 0);
    bool ok = !file_exists(path) || (*found = file_map_open(&m, path, e));
    if (*found) {
        state_cell c = state_cell_of(m.data, m.size, path, e);
        ok = take(&c, with);
    }
    file_map_close(&m);
    return ok;
}
