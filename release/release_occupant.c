#define _GNU_SOURCE
#include "release_occupant.h"
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

// What a repository for a model holds before there is a release in it.
static bool is_repository_file(const char *name)
{
    static const char *const NAMES[] = { ".git", ".gitattributes", ".gitignore", ".github" };
    static const char *const BEGINNINGS[] = { "README", "LICENSE", "LICENCE", "NOTICE", "USE_POLICY" };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(name, NAMES[i]) == 0) return true;
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof *BEGINNINGS; i++)
        if (strncasecmp(name, BEGINNINGS[i], strlen(BEGINNINGS[i])) == 0) return true;
    return false;
}

// The first name that is in no such repository, NULL where there is none; the list's.
static const char *first_stranger(const dir_list *own)
{
    for (int i = 0; i < own->n; i++)
        if (!is_repository_file(own->v[i])) return own->v[i];
    return NULL;
}

static bool compare_with_its_report(const place *to, int fd, occupant *o, err *e)
{
    release_list l;
    dir_list own = { 0 };
    if (!release_list_read(&l, fd, e)) return false;
    bool ok = release_list_others(&l, fd, to->path, &own, &o->entries, e);
    o->release = l.report;
    const char *stranger = ok && !l.report ? first_stranger(&own) : NULL;
    if (stranger)
        ok = err_set(e, ERR_USAGE, "%s: is not empty ('%s') and holds no release's %s; choose another folder",
                     to->path, stranger, RELEASE_JSON);
    release_list_free(&l);
    dir_list_free(&own);
    return ok;
}

bool release_occupant_look(const place *to, occupant *o, err *e)
{
    *o = (occupant){ .there = false };
    if (fstatat(to->fd, to->name, &o->st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || err_errno(e, false, to->path, "look at");
    if (!S_ISDIR(o->st.st_mode))
        return err_set(e, ERR_USAGE, "%s: is there already and is not a folder%s", to->path,
                       S_ISLNK(o->st.st_mode) ? ", but a link" : "");
    const int fd = openat(to->fd, to->name, FOLDER);
    if (fd < 0) return err_errno(e, false, to->path, "open the folder");
    o->there = true;
    bool ok = fstat(fd, &o->st) == 0 || err_errno(e, false, to->path, "look at");
    ok = ok && compare_with_its_report(to, fd, o, e) && place_replaceable(to, &o->st, e);
    if (ok && o->entries > 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        ok = err_errno(e, false, to->path, "replace");
    close(fd);
    return ok;
}

// ---- of release_dir.h -----------------------------------------------------------------------------------------------

bool release_dir_free_to_use(const char *dest, err *e)
{
    place    to;
    occupant o;
    if (!place_open(&to, dest, e)) return false;
    bool ok = release_occupant_look(&to, &o, e);
    place_close(&to);
    return ok;
}

bool release_dir_own(dir_list *own, const char *dest, err *e)
{
    release_list l = { 0 };
    int n;
    *own = (dir_list){ 0 };
    const int fd = open(dest, FOLDER);
    if (fd < 0) return errno == ENOENT || err_errno(e, false, dest, "open the folder");
    const bool ok = release_list_read(&l, fd, e) && release_list_others(&l, fd, dest, own, &n, e);
    release_list_free(&l);
    close(fd);
    return ok;
}
