#define _GNU_SOURCE
#include "file_kind.h"
#include "text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- kinds ----------------------------------------------------------------------------------------------------------

#define BYTES(s) s, sizeof(s) - 1
static const struct { const char *magic; int64_t n; const char *text; } MAGICS[] = {
    { BYTES("GGUF"), "a GGUF file" },
    { BYTES("version https://git-lfs.github.com/spec/"), "a git-lfs pointer" },
    { BYTES("PK\3\4"), "a zip archive, as PyTorch's .bin and .pth files are" },
    { BYTES("\x80\2"), "a Python pickle, as old PyTorch files are" },
    { BYTES("\x1f\x8b"), "gzip data" },
    { BYTES("\x89HDF"), "an HDF5 file, as TensorFlow writes" },
    { BYTES("\xef\xbb\xbf"), "a text with a byte order mark (Transformers does not read it, either)" },
    { BYTES("\xff\xfe"), "a text in UTF-16" },
    { BYTES("\xfe\xff"), "a text in UTF-16" },
    { BYTES("Entry not found"), "the Hub's answer 'Entry not found' in place of the file" },
    { BYTES("Repository not found"), "the Hub's answer 'Repository not found' in place of the file" },
    { BYTES("Access to model"), "the Hub's answer that access to the model is restricted, in place of the file" },
    { BYTES("Invalid username or password"), "the Hub's answer 'Invalid username or password' in place of the file" },
    { BYTES("Invalid credentials"), "the Hub's answer 'Invalid credentials' in place of the file" },
};

static bool begins_with_word(const uint8_t *p, int64_t n, const char *word)
{
    const int64_t m = (int64_t)strlen(word);
    while (n > 0 && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) { p++; n--; }
    return n >= m && strncasecmp((const char *)p, word, (size_t)m) == 0;
}

const char *file_kind(const uint8_t *p, int64_t n)
{
    if (n > FILE_KIND_HEAD) n = FILE_KIND_HEAD;
    for (size_t i = 0; i < sizeof MAGICS / sizeof MAGICS[0]; i++)
        if (n >= MAGICS[i].n && memcmp(p, MAGICS[i].magic, (size_t)MAGICS[i].n) == 0) return MAGICS[i].text;
    if (begins_with_word(p, n, "<!doctype html") || begins_with_word(p, n, "<html"))
        return "an HTML page, as a download that was refused leaves";
    if (n >= 9 && p[8] == '{' && p[7] == 0 && p[6] == 0) return "a safetensors file";
    if (begins_with_word(p, n, "{")) return "a JSON text";
    return NULL;
}

// The beginning of a regular file, and its size; -1 where there is none to read.
static int64_t read_head(const char *path, uint8_t head[FILE_KIND_HEAD], int64_t *size)
{
    struct stat st;
    int64_t n  = -1;
    int     fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) n = read(fd, head, FILE_KIND_HEAD);
    close(fd);
    *size = n < 0 ? 0 : (int64_t)st.st_size;
    return n;
}

const char *file_kind_of_path(const char *path)
{
    uint8_t head[FILE_KIND_HEAD];
    int64_t size, n = read_head(path, head, &size);
    return n < 0 ? NULL : n == 0 ? "an empty file" : file_kind(head, n);
}

const char *file_kind_of_mode(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:  return "a folder";
    case S_IFLNK:  return "a link";
    case S_IFIFO:  return "a pipe";
    case S_IFSOCK: return "a socket";
    case S_IFBLK:  return "a block device";
    case S_IFCHR:  return "a character device";
    default:       return "a regular file";
    }
}

// ---- git-lfs --------------------------------------------------------------------------------------------------------

// "version https://git-lfs.github.com/spec/v1\noid sha256:...\nsize 123\n"; the pre-release's host was
// hawser.github.com.
static bool is_pointer(const uint8_t *p, int64_t n, int64_t size)
{
    static const char *const FIRST[] = {
        "version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/",
    };
    if (size >= FILE_POINTER_BYTES) return false;     // git-lfs's own limit: a longer file is none
    for (size_t i = 0; i < sizeof FIRST / sizeof FIRST[0]; i++)
        if (n > (int64_t)strlen(FIRST[i]) && memcmp(p, FIRST[i], strlen(FIRST[i])) == 0) return true;
    return false;
}

// The size of what the pointer stands for, or -1.
static long long object_bytes(const uint8_t *p, int64_t n)
{
    static const char KEY[] = "\nsize ";
    const uint8_t *at = memmem(p, (size_t)n, KEY, sizeof KEY - 1);
    long long bytes = 0;
    if (!at) return -1;
    at += sizeof KEY - 1;
    for (; at < p + n && *at >= '0' && *at <= '9' && bytes < 1LL << 55; at++) bytes = bytes * 10 + (*at - '0');
    return bytes;
}

bool file_is_no_pointer(const char *path, const uint8_t *p, int64_t n, err *e)
{
    if (!is_pointer(p, n, n)) return true;
    const long long bytes = object_bytes(p, n);
    const char     *slash = strrchr(path, '/');
    text_buf        run   = { 0 };
    char            what[80] = "";
    if (slash) {
        text_words(&run, "cd ");
        text_put(&run, TEXT_SHELL, path, slash == path ? 1 : (size_t)(slash - path));
        text_words(&run, " && ");
    }
    text_words(&run, "git lfs pull");
    if (bytes >= 0) snprintf(what, sizeof what, ", which stands for a file of %lld bytes", bytes);
    char *command = text_take(&run);
    err_set(e, ERR_INPUT, "%s: found a git-lfs pointer%s that was not fetched; run: %s", path, what,
            command ? command : "git lfs pull");
    free(command);
    return false;
}

bool file_at_is_no_pointer(const char *path, err *e)
{
    uint8_t head[FILE_KIND_HEAD];
    int64_t size, n = read_head(path, head, &size);
    if (n <= 0 || !is_pointer(head, n, size)) return true;
    return file_is_no_pointer(path, head, n, e);
}
