#define _GNU_SOURCE
#include "script.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// HALLMARK_FROM_BIN (from CMake): the installed folder of data as seen from that of the program, "../share/hallmark".
#define SCRIPT  "hf_fixture.py"
// one line, written by CMake beside the program it builds: the folder of the sources
#define SOURCES "hallmark.sources"

// Ours, root's or the program's owner's; and nobody else may write to it. Whoever can change the program itself needs
// no script for that.
static bool trusted(const char *path, const struct stat *program)
{
    struct stat st;
    if (stat(path, &st) != 0 || (st.st_mode & S_IWOTH & ~program->st_mode)) return false;
    return st.st_uid == 0 || st.st_uid == geteuid() || st.st_uid == program->st_uid;
}

// path, if it is a file of that kind, with its folder and the one above: no more than these are named relative to the
// program. Else NULL; path is freed then.
static char *usable(char *path, const struct stat *program)
{
    struct stat st;
    char *folder = path ? strdup(path) : NULL;
    bool  ok = folder && stat(path, &st) == 0 && S_ISREG(st.st_mode) && trusted(path, program);
    for (int up = 0; ok && up < 2; up++) {
        char *slash = strrchr(folder, '/');
        if (!slash || slash == folder) break;
        *slash = '\0';
        ok = trusted(folder, program);
    }
    free(folder);
    if (ok) return path;
    free(path);
    return NULL;
}

// dir/part/hf_fixture.py without links and "..", or NULL.
static char *in(const char *dir, const char *part, const struct stat *program)
{
    char *path = NULL, *real = NULL;
    if (asprintf(&path, "%s/%s/%s", dir, part, SCRIPT) < 0) return NULL;
    real = realpath(path, NULL);
    free(path);
    return usable(real, program);
}

// The folder that the file SOURCES in dir names.
static char *in_sources(const char *dir, const struct stat *program)
{
    char *path = NULL, line[PATH_MAX] = "", *found = NULL;
    if (asprintf(&path, "%s/%s", dir, SOURCES) < 0) return NULL;
    FILE *f = trusted(path, program) ? fopen(path, "r") : NULL;
    free(path);
    if (!f) return NULL;
    if (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '/') found = in(line, "fixtures", program);
    }
    fclose(f);
    return found;
}

char *script_find(void)
{
    struct stat st;
    char  dir[PATH_MAX], *found;
    const ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (n <= 0 || stat("/proc/self/exe", &st) != 0) return NULL;
    dir[n] = '\0';
    char *slash = strrchr(dir, '/');
    if (!slash) return NULL;
    *slash = '\0';
    found = in(dir, HALLMARK_FROM_BIN, &st);
    if (!found) found = in(dir, "../fixtures", &st);
    if (!found) found = in_sources(dir, &st);
    return found;
}
