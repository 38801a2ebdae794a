// lab_record_opts: what lab --record ART.gguf -o OUT.gguf does.
#ifndef HALLMARK_CLI_LAB_RECORD_OPTS_H
#define HALLMARK_CLI_LAB_RECORD_OPTS_H

#include "cli.h"
#include "../measure/lab_record.h"

typedef struct {
    const char      *art, *out, *part;          // of --record, -o and --part; NULL
    const text_list *args, *texts, *reports;    // files or folders of the run; --text; --report
} lab_record_opts;

// Before any work. *dest: where it goes, left alone without --record. ERR_USAGE: one option without the other; with
// --part, which measures no whole; a place that is another input or output.
bool lab_record_place(destination *dest, const lab_record_opts *o, err *e);

// Writes the file and says so: on standard output (quiet: not there), and that its verification record is empty now.
bool lab_record_put(const char *art, const destination *dest, const lab_result *r, int n_threads, bool quiet, err *e);

#endif
