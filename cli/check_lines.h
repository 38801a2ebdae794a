// check_lines: the lines that check ends with, while they are made: what is proved, and what is not.
#ifndef HALLMARK_CLI_CHECK_LINES_H
#define HALLMARK_CLI_CHECK_LINES_H

#include "check_words.h"

#define CHECK_CARD "README.md"

typedef struct { bool proved; char *what, *by; } check_line;        // by "": by nothing
typedef struct { check_line *v; int n; bool failed; } check_lines;
typedef bool (*check_is)(const check_file_proof *x);

void check_add(check_lines *l, bool proved, text_buf *what, text_buf *by);         // takes both texts over
void check_add_words(check_lines *l, bool proved, const char *what, const char *by);
void check_lines_free(check_lines *l);

// Text from outside as it stands: it is made safe where the line is written.
void check_put(text_buf *t, const char *s);
void check_put_s(text_buf *t, int n);                               // of a plural
void check_put_one(text_buf *t, const char *name, int at, int n);   // "a, b and 3 more"; n of them
void check_put_those(text_buf *t, const check_proof *p, check_is is);
text_buf check_again(const char *path);                             // "hallmark check PATH"

int  check_count(const check_proof *p, check_is is);
bool check_is_written(const check_proof *p, const char *name);      // what the records say, written again

void check_add_proved(check_lines *l, const check_proof *p);
void check_add_not_proved(check_lines *l, const check_proof *p, const char *path);

#endif
