// destination: the place a command writes to: asked about before the work, and told of after it.
#include "cli.h"
#include "text_out.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

bool destination_file(destination *out, const char *path, err *e)
{
    struct stat st;
    if (!outfile_check(path, e)) return false;
    *out = (destination){ .path = path, .replaces = stat(path, &st) == 0 };
    return true;
}

bool output_is_no_input(const char *path, const char *file, const text_list *list, err *e)
{
    for (int i = -1; path && i < (list ? list->n : 0); i++) {
        const char *in = i < 0 ? file : list->v[i];
        if (in && same_file(in, path))
            return err_set(e, ERR_USAGE, "%s: the output would replace %s, which the command reads", path, in);
    }
    return true;
}

static bool holds_something(const char *dir)
{
    DIR *d = opendir(dir);
    int  n = 0;
    if (!d) return false;
    while (n <= 2 && readdir(d)) n++;       // "." and ".." are always there
    closedir(d);
    return n > 2;
}

bool destination_folder(destination *out, const char *path, err *e)
{
    if (!outfile_check_folder(path, e)) return false;
    *out = (destination){ .path = path, .replaces = holds_something(path) };
    return true;
}

void destination_note_replaced(const command *c, const destination *out)
{
    if (out->replaces) cli_note(c, "replaced %s", out->path);
}

void destination_done(const command *c, const destination *out, const char *label)
{
    struct stat st;
    char size[32];
    text_write(stdout, TEXT_PLAIN, out->path, strlen(out->path));
    if (label && stat(out->path, &st) == 0) printf("  %s  %s", label, human_bytes(st.st_size, size));
    putchar('\n');
    destination_note_replaced(c, out);
}
