// answer: how a command answers: as text, or (--json) as one JSON document on standard output, on errors too; and what
// it says beside that (--quiet: nothing on standard error but errors and warnings).
//
// main says once what was asked for; it holds for the process. A command takes answer_document() for where its document
// goes; an error before that becomes a document itself:
//   {"error": {"kind": "usage|input|system|verdict|interrupted", "status": 3, "command": "check", "message": "...",
//              "file": "the file that the message begins with, or null", "signal": "SIGINT" (interrupted alone)}}
// An error after it, and a verdict that is no, stand in the document: then only standard error tells of it again.
// Proved by tests/answers_test.c; by hand tests/tools/answers.py reads the same with Python.
#ifndef HALLMARK_CLI_ANSWER_H
#define HALLMARK_CLI_ANSWER_H

#include "cli.h"
#include <cjson/cJSON.h>
#include <stdio.h>

typedef struct {
    const char      *name;          // of the command; NULL: there is none
    const command   *c;             // NULL: the command line could not be read
    const void      *options;       // borrowed; as are args
    const text_list *args;
    bool             json, quiet;
} answer_to;

void answer_begin(const answer_to *to);     // before any other thread
bool answer_is_json(void);
bool answer_is_quiet(void);

// Of a parsed command line.
bool option_is_set(const command *c, const void *options, const char *flag);

FILE *answer_document(void);                // standard output, which the document takes from here on

// A text that is the whole answer; as a document {key: of, "text": text}. of NULL: null.
void answer_text(const char *key, const char *of, const char *text);

// The error's document, where one is asked for and none has begun.
void answer_error(const err *e);

// The members of "error", for an error that stands in a document with others. NULL: no memory.
cJSON *answer_error_json(const err *e);

// The member "error", in a document with others.
struct json_out;
void answer_error_member(struct json_out *j, const err *e);

// answer_error for a process that is ended by a signal: written past stdio, whose locks others hold. false: none was
// due.
bool answer_interrupted(int status, const char *signal_name, const char *message, const char *file);

// The file that a message begins with: one that the command line names, or what lies below it; else a path that exists.
// malloc'd; NULL: none.
char *answer_file_of(const char *message, const answer_to *to);

#endif
