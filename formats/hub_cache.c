#define _GNU_SOURCE
#include "hub_cache.h"
#include "dir_list.h"
#include "file_map.h"
#include "text.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPO_PREFIX "models--"
#define HEX         "0123456789abcdef"
enum { COMMIT_HEX = 40, BLOB_HEX = 64, MAX_ID_PART = 96 };

// ---- where it is ----------------------------------------------------------------------------------------------------

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static const char *home(void)
{
    const char *h = variable("HOME");
    if (h) return h;
    const struct passwd *p = getpwuid(getuid());
    return p ? p->pw_dir : "/";
}

// A path with its leading ~/ in place and `below` after it; malloc'd.
static char *joined(const char *path, const char *below)
{
    char *out = NULL;
    const bool at_home = strcmp(path, "~") == 0 || strncmp(path, "~/", 2) == 0;
    const char *rest = at_home ? path + 1 : path;
    if (asprintf(&out, "%s%s%s%s", at_home ? home() : "", rest, *below ? "/" : "", below) < 0) return NULL;
    return out;
}

static char *cache_folder(void)
{
    static const struct { const char *name, *below; } PLACES[] = {
        { "HF_HUB_CACHE", "" }, { "HUGGINGFACE_HUB_CACHE", "" }, { "HF_HOME", "hub" },
        { "XDG_CACHE_HOME", "huggingface/hub" },
    };
    for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++)
        if (variable(PLACES[i].name)) return joined(variable(PLACES[i].name), PLACES[i].below);
    return joined(home(), ".cache/huggingface/hub");
}

// <cache>/models--a--b; malloc'd.
static char *repo_folder(const char *cache, const char *id)
{
    const char  *slash = strchr(id, '/');
    const size_t n_org = slash ? (size_t)(slash - id) : 0;
    char        *out   = NULL;
    int n = asprintf(&out, "%s/" REPO_PREFIX "%.*s%s%s", cache, (int)n_org, id, slash ? "--" : "",
                     slash ? slash + 1 : id);
    return n < 0 ? NULL : out;
}

// ---- names ----------------------------------------------------------------------------------------------------------

static bool is_id_part(const char *s, size_t n)
{
    if (n == 0 || n > MAX_ID_PART || s[0] == '-' || s[0] == '.' || s[n - 1] == '-' || s[n - 1] == '.') return false;
    for (size_t i = 0; i < n; i++) {
        const char c = s[i];
        if (!isalnum((unsigned char)c) && c != '-' && c != '_' && c != '.') return false;
        if (i > 0 && (c == '-' || c == '.') && s[i - 1] == c) return false;
    }
    return true;
}

bool hub_is_id(const char *text)
{
    const char *slash = strchr(text, '/');
    if (text_ends_with(text, ".git")) return false;
    if (slash) return is_id_part(text, (size_t)(slash - text)) && is_id_part(slash + 1, strlen(slash + 1));
    return is_id_part(text, strlen(text));
}

static bool is_commit(const char *s) { return strlen(s) == COMMIT_HEX && strspn(s, HEX) == COMMIT_HEX; }

// A branch or a tag; "refs/pr/1" too. Nothing that leads out of refs/.
static bool is_revision(const char *s)
{
    if (!*s || *s == '/' || strlen(s) > 255 || text_ends_with(s, "/")) return false;
    for (const char *part = s; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (*part == '.' || *part == '/') return false;
    for (const char *c = s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\') return false;
    return true;
}

char *hub_download_command(const char *id, const char *revision)
{
    text_buf t = { 0 };
    text_words(&t, "hf download ");
    text_puts(&t, TEXT_SHELL, id);
    if (revision) {
        text_words(&t, " --revision ");
        text_puts(&t, TEXT_SHELL, revision);
    }
    return text_take(&t);
}

char *hub_id_of(const char *path)
{
    for (const char *at = path; (at = strstr(at, REPO_PREFIX)); at++) {
        if (at > path && at[-1] != '/') continue;
        const char *name = at + sizeof REPO_PREFIX - 1;
        char *id = strndup(name, strcspn(name, "/")), *two = id ? strstr(id, "--") : NULL;
        if (two) {
            *two = '/';
            memmove(two + 1, two + 2, strlen(two + 2) + 1);
        }
        if (id && hub_is_id(id)) return id;
        free(id);
    }
    return NULL;
}

// ---- looking up -----------------------------------------------------------------------------------------------------

// The commit in refs/<revision>, "" where there is none.
static void read_ref(const char *repo, const char *revision, char commit[COMMIT_HEX + 1])
{
    char   *path = NULL, *text = NULL;
    int64_t n;
    err     unread = { 0 };
    commit[0] = '\0';
    if (asprintf(&path, "%s/refs/%s", repo, revision) < 0) return;
    const bool read = file_read_text(&text, &n, path, 4096, &unread);
    if (read && strspn(text, HEX) == COMMIT_HEX && strcspn(text, " \t\r\n") == COMMIT_HEX) {
        memcpy(commit, text, COMMIT_HEX);
        commit[COMMIT_HEX] = '\0';
    }
    free(text);
    free(path);
}

// malloc'd, NULL where it is not there.
static char *snapshot_at(const char *repo, const char *commit)
{
    char *path = NULL;
    if (!*commit || asprintf(&path, "%s/snapshots/%s", repo, commit) < 0) return NULL;
    if (dir_exists(path)) return path;
    free(path);
    return NULL;
}

// What the folder dir/sub holds, for a message: " (it has main, v1)".
static void list_some(text_buf *t, const char *repo, const char *sub)
{
    dir_list l = { 0 };
    err      unread = { 0 };
    char    *path = path_join(repo, sub);
    if (path && dir_list_read(&l, path, NULL, true, &unread))
        for (int i = 0; i < l.n && i < 4; i++) text_printf(t, "%s%s", i ? ", " : "", i == 3 ? "..." : l.v[i]);
    if (l.n == 0) text_words(t, "none");
    dir_list_free(&l);
    free(path);
}

static void not_there(const char *id, const char *revision, const char *repo, const char *commit, err *e)
{
    char    *run = hub_download_command(id, revision);
    text_buf refs = { 0 }, snapshots = { 0 };
    list_some(&refs, repo, "refs");
    list_some(&snapshots, repo, "snapshots");
    char *r = text_take(&refs), *s = text_take(&snapshots);
    if (!run || !r || !s) err_nomem(e, "a message", 0);
    else if (*commit)
        err_set(e, ERR_INPUT, "%s: its revision '%s' is commit %s, whose snapshot is not in the Hub cache %s "
                "(snapshots: %s); to download it: %s", id, revision ? revision : "main", commit, repo, s, run);
    else
        err_set(e, ERR_INPUT, "%s: the Hub cache %s has no revision '%s' of it (refs: %s; snapshots: %s); "
                "to download it: %s", id, repo, revision ? revision : "main", r, s, run);
    free(run);
    free(r);
    free(s);
}

// For a bare name, the id of a cached model that is called so: "gemma-3-270m" means google/gemma-3-270m. malloc'd or
// NULL.
static char *id_that_ends_in(const char *cache, const char *name)
{
    dir_list l = { 0 };
    err      unread = { 0 };
    char    *suffix = NULL, *id = NULL;
    if (strchr(name, '/') || asprintf(&suffix, "--%s", name) < 0) return NULL;
    if (dir_list_read(&l, cache, suffix, true, &unread))
        for (int i = 0; i < l.n && !id; i++)
            if (strncmp(l.v[i], REPO_PREFIX, sizeof REPO_PREFIX - 1) == 0) id = hub_id_of(l.v[i]);
    dir_list_free(&l);
    free(suffix);
    return id;
}

static void not_cached(const char *id, const char *revision, const char *cache, err *e)
{
    char *near = id_that_ends_in(cache, id), *run = hub_download_command(id, revision);
    if (!run) err_nomem(e, "a message", 0);
    else if (near)
        err_set(e, ERR_INPUT, "%s: found no file or folder of this name, and no such id in the Hub cache %s; "
                "did you mean '%s'?", id, cache, near);
    else
        err_set(e, ERR_INPUT, "%s: found no file or folder of this name, and it is not in the Hub cache %s; "
                "if it is the id of a model, this downloads it: %s", id, cache, run);
    free(near);
    free(run);
}

char *hub_find(const char *id, const char *revision, err *e)
{
    char  commit[COMMIT_HEX + 1], *found = NULL;
    char *cache = cache_folder(), *repo = cache ? repo_folder(cache, id) : NULL;
    if (!repo) {
        err_nomem(e, "a path", strlen(id));
    } else if (revision && !is_revision(revision)) {
        err_set(e, ERR_USAGE, "option --revision: found '%s', expected a branch, a tag or a commit", revision);
    } else if (!dir_exists(repo)) {
        not_cached(id, revision, cache, e);
    } else {
        snprintf(commit, sizeof commit, "%s", revision && is_commit(revision) ? revision : "");
        if (!*commit) read_ref(repo, revision ? revision : "main", commit);
        found = snapshot_at(repo, commit);
        if (!found) not_there(id, revision, repo, commit, e);
    }
    free(cache);
    free(repo);
    return found;
}

bool hub_has(const char *id)
{
    char *cache = cache_folder(), *repo = cache ? repo_folder(cache, id) : NULL;
    const bool has = repo && dir_exists(repo);
    free(cache);
    free(repo);
    return has;
}

char *hub_choose_snapshot(const char *repo_dir)
{
    char     commit[COMMIT_HEX + 1], *found, *snapshots;
    dir_list l = { 0 };
    err      unread = { 0 };
    read_ref(repo_dir, "main", commit);
    found = snapshot_at(repo_dir, commit);
    if (found) return found;
    snapshots = path_join(repo_dir, "snapshots");
    if (snapshots && dir_list_read(&l, snapshots, NULL, true, &unread) && l.n > 0) found = path_join(snapshots, l.v[0]);
    dir_list_free(&l);
    free(snapshots);
    return found;
}

char *hub_download_hint(const char *path)
{
    char *hint = NULL, *real = realpath(path, NULL), *id = hub_id_of(real ? real : path);
    char *run = id ? hub_download_command(id, NULL) : NULL;
    if (run && asprintf(&hint, "; to download it: %s", run) < 0) hint = NULL;
    if (!hint) hint = strdup("");
    free(real);
    free(id);
    free(run);
    return hint;
}

// ---- blobs ----------------------------------------------------------------------------------------------------------

static bool is_hex(const char *s, size_t n) { return strlen(s) == n && strspn(s, HEX) == n; }

// The i-th name of a path from its end on (0: the last one), copied to out; false where there is none, or it is longer.
static bool name_from_end(const char *path, int i, char out[128])
{
    const char *end = path + strlen(path), *from;
    for (;; i--) {
        from = end;
        while (from > path && from[-1] != '/') from--;
        if (i == 0 || from == path) break;
        end = from - 1;
    }
    if (i != 0 || from == path || (size_t)(end - from) >= 128) return false;
    snprintf(out, 128, "%.*s", (int)(end - from), from);
    return true;
}

bool hub_is_blob_of(const char *real, const char *dir)
{
    char name[128], above[128], top[128];
    if (!name_from_end(real, 0, name) || !name_from_end(real, 1, above) || !name_from_end(real, 2, top)) return false;
    // models--a--b/blobs/<etag>, whoever links there: older versions made such links in folders of their own.
    const bool in_repo = strcmp(above, "blobs") == 0 && strncmp(top, REPO_PREFIX, sizeof REPO_PREFIX - 1) == 0;
    if (in_repo) return is_hex(name, COMMIT_HEX) || is_hex(name, BLOB_HEX);
    // <cache>/blobs/<2 hex>/<hash>
    if (strcmp(top, "blobs") == 0 && is_hex(above, 2)) return is_hex(name, BLOB_HEX) && strncmp(name, above, 2) == 0;
    // X/snapshots/<commit> and X/blobs/: a repository of the cache that was given another name.
    if (strcmp(above, "blobs") != 0) return false;
    const char *mark = strstr(dir, "/snapshots/");
    const size_t n = mark ? (size_t)(mark - dir) : 0;
    const bool beside = mark && strncmp(real, dir, n) == 0 && strncmp(real + n, "/blobs/", 7) == 0;
    return beside && strchr(real + n + 7, '/') == NULL;
}
