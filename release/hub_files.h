// hub_files: what the Hub and whoever downloads from it look for beside the artifacts of a release.
//   LICENSE*, NOTICE*, USE_POLICY*  the source's own, byte for byte
//   .gitattributes                  which files git keeps outside (LFS), as the Hub writes it, and for every kind that
//                                   a release has; signatures leave it out (FOLDER_IGNORED), so check compares it
//   SHA256SUMS                      of every file but itself and the signature's two, for sha256sum -c
// Proved by tests/hub_test.c.
#ifndef HALLMARK_RELEASE_HUB_FILES_H
#define HALLMARK_RELEASE_HUB_FILES_H

#include "../formats/dir_list.h"
#include "../formats/progress.h"
#include "../formats/sha256.h"

#define HUB_ATTRIBUTES ".gitattributes"
#define HUB_SUMS       "SHA256SUMS"
enum { HUB_LICENSE_BYTES = 4 << 20, HUB_MOST_LICENSES = 16 };

// Is it a file that says under which terms the model stands?
bool hub_is_license(const char *name);

// Those of a checkpoint's folder, sorted; links of a Hub cache are followed. ERR_INPUT names one that is larger than
// HUB_LICENSE_BYTES, or cannot stand in a release; or there are more than HUB_MOST_LICENSES. *l: dir_list_free in any
// case.
bool hub_licenses(dir_list *l, const char *hf_dir, err *e);
// Copies name from hf_dir to dir. ERR_INPUT, ERR_SYSTEM.
bool hub_license_copy(const char *hf_dir, const char *dir, const char *name, err *e);

// The text. malloc'd; NULL when out of memory.
char *hub_attributes(void);

typedef struct {
    const char *name;
    char        sha256[SHA256_HEX + 1];     // "": it is not known yet
} hub_sum;

// The text for these files of dir, which are then sorted by name: a line for each. Digests that are not known are
// taken, n_threads files at a time (0: all cores). malloc'd; NULL: ERR_INPUT names a file that cannot be read.
char *hub_sums(const char *dir, hub_sum *files, int n, int n_threads, progress *p, err *e);

#endif
