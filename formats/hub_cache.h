// hub_cache: checkpoints as huggingface_hub keeps them on this machine. Nothing is ever downloaded.
//
//   <cache>/models--<organisation>--<name>/refs/main              holds a commit
//                                          snapshots/<commit>/    the files, links into blobs/
//                                          blobs/<hash>           or a link to <cache>/blobs/<2 hex>/<hash>
//
// <cache> is HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else hub/ in HF_HOME, else huggingface/hub/ in XDG_CACHE_HOME,
// else ~/.cache/huggingface/hub. An empty variable counts as one that is not set; a leading ~/ is the home folder.
// Proved by tests/checkpoint_test.c and tests/field/hub-*.json.
#ifndef HALLMARK_FORMATS_HUB_CACHE_H
#define HALLMARK_FORMATS_HUB_CACHE_H

#include "err.h"

// Could it be the id of a model ("google/gemma-3-270m", "gpt2"), by the Hub's rules?
bool hub_is_id(const char *text);

// The snapshot of a model: refs/<revision> (NULL: main), or <revision> itself where it is a whole commit. malloc'd.
// ERR_INPUT, with the command that would download it, where it is not there; ERR_USAGE where no revision can be called
// so.
char *hub_find(const char *id, const char *revision, err *e);
bool  hub_has(const char *id);              // a folder for it, whatever is in it

// For a folder models--<organisation>--<name> or its snapshots/: the snapshot to give instead, NULL where it has none.
// malloc'd.
char *hub_choose_snapshot(const char *repo_dir);
// The id of the model that a path in a cache belongs to, NULL where it is in none. malloc'd.
char *hub_id_of(const char *path);

// Is the file at `real`, a path without links, in the blobs of a Hub cache that the folder at dir (likewise) has its
// files in?
bool hub_is_blob_of(const char *real, const char *dir);

// "hf download google/gemma-3-270m --revision x", for a message; malloc'd, NULL when out of memory. revision may be
// NULL.
char *hub_download_command(const char *id, const char *revision);
// "; to download it: hf download a/b" for a path in a cache, else ""; malloc'd, NULL when out of memory.
char *hub_download_hint(const char *path);

#endif
