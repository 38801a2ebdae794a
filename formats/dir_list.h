// dir_list: the names in a folder, sorted; and a folder that is open already, entry by entry.
#ifndef HALLMARK_FORMATS_DIR_LIST_H
#define HALLMARK_FORMATS_DIR_LIST_H

#include "err.h"
#include <dirent.h>

typedef struct {
    char **v;       // [n]; as they were read, in byte order
    int    n;
} dir_list;

// Every name in dir but "." and "..", or those that end in `suffix` (NULL: all). A folder that is not there is an empty
// one where `optional`, else, or when it cannot be read, the error of err_errno. *l is freed by dir_list_free in every
// case.
bool dir_list_read(dir_list *l, const char *dir, const char *suffix, bool optional, err *e);
void dir_list_free(dir_list *l);
bool dir_list_add(dir_list *l, const char *name, err *e);      // copied, at the end: to a list that was never cut
bool dir_list_has(const dir_list *l, const char *name);

// The entries of the folder open as fd, from the first on, whoever else reads it; "." and ".." are among them.
// closedir; NULL with errno.
DIR *dir_entries(int fd);
bool dir_is_entry(const char *name);        // not "." or ".."

bool text_ends_with(const char *s, const char *suffix);

#endif
