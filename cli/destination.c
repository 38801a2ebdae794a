// destination: the place a command writes to: asked about before the work, and told of after it.
#include "answer.h"
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

static int64_t bytes_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

void destination_members(json_out *j, const destination *out, const char *label)
{
    json_key_cstr(j, "file", out->path);
    if (label) json_key_cstr(j, "type", label);
    json_key_int(j, "bytes", bytes_of(out->path));
    json_key_bool(j, "replaced", out->replaces);
}

static void print_document(const destination *out, const char *label)
{
    json_out j;
    json_begin(&j, answer_document());
    json_open(&j, '{');
    destination_members(&j, out, label);
    json_close(&j, '}');
}

static void print_text(const destination *out, const char *label)
{
    char size[32];
    text_write(stdout, TEXT_PLAIN, out->path, strlen(out->path));
    if (label) printf("  %s  %s", label, human_bytes(bytes_of(out->path), size));
    putchar('\n');
}

void destination_done(const command *c, const destination *out, const char *label)
{
    (answer_is_json() ? print_document : print_text)(out, label);
    destination_note_replaced(c, out);
}
