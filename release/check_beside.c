#include "check_beside.h"
#include "release_list.h"
#include "release_sign.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/place.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- fixtures ------------------------------------------------------------------------------------------------------

static bool is_there(const dir_list *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->v[i], name) == 0) return true;
    return false;
}

// A record is hostile: a name leads nowhere else, and what cannot be read is not there.
static bool add_fixture(dir_list *l, const char *dir, const cJSON *of, err *e)
{
    const cJSON *name = json_get(of, "name"), *sha = json_get(of, "sha256");
    char hex[SHA256_HEX + 1];
    err  unread = { 0 };
    if (!cJSON_IsString(name) || !cJSON_IsString(sha) || name->valuestring[0] == '.') return true;
    if (strchr(name->valuestring, '/') || !name->valuestring[0]) return true;
    char *path = path_join(dir, name->valuestring);
    if (!path) return err_nomem(e, "a path", strlen(dir));
    const bool same = !is_there(l, path) && file_exists(path) && sha256_file(path, hex, &unread)
        && strcmp(hex, sha->valuestring) == 0;
    const bool ok = !same || dir_list_add(l, path, e);
    free(path);
    return ok;
}

bool check_beside_fixtures(check_proof *p, const char *dir, const cJSON *rec, err *e)
{
    const cJSON *f;
    cJSON_ArrayForEach(f, json_get(rec, "fixtures"))
        if (!add_fixture(&p->published, dir, f, e)) return false;
    return true;
}

// ---- others --------------------------------------------------------------------------------------------------------

// Of signature and provenance it is told that they are there; what is the maker's own stands in the records.
static bool add_told(check_proof *p, const release_list *l, const char *name, err *e)
{
    if (strcmp(name, SIGNATURE_NAME) == 0 || strcmp(name, PROVENANCE_NAME) == 0) return true;
    if (is_there(&p->kept, name)) return true;
    const bool own = !partial_base(name) && release_list_has(l, name);
    return dir_list_add(own ? &p->own : &p->others, name, e);
}

bool check_beside_others(check_proof *p, const char *dir, err *e)
{
    release_list l = { 0 };
    dir_list names = { 0 };
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 || err_errno(e, true, dir, "open the folder");
    ok = ok && release_list_read(&l, fd, e) && dir_list_read(&names, dir, NULL, false, e);
    for (int i = 0; ok && i < names.n; i++)
        ok = add_told(p, &l, names.v[i], e);
    dir_list_free(&names);
    release_list_free(&l);
    if (fd >= 0) close(fd);
    return ok;
}
