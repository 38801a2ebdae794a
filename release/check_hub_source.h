// check_hub_source: is what a release's folder says for the Hub what its source says? The front matter of README.md,
// the parameters of the Modelfile, the licenses: what check_hub takes as it stands, because records alone cannot tell.
// Proved by tests/forgeries_test.c.
#ifndef HALLMARK_RELEASE_CHECK_HUB_SOURCE_H
#define HALLMARK_RELEASE_CHECK_HUB_SOURCE_H

#include "release_report.h"

// hf_dir: the checkpoint's folder. base_model is compared where that is in a Hub cache, whose repository names it; who
// quantized it is nobody's but the maker's: what is not compared goes into told, where that is not NULL. Files that
// are somebody's own (record_file.kept) are left alone.
// ERR_VERDICT names the file and what differs; ERR_INPUT: the checkpoint cannot be read.
bool check_hub_source(const char *dir, const char *hf_dir, const release_head *h, const release_result *r,
                      check_proof *told, err *e);

#endif
