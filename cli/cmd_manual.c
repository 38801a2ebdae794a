// hallmark manual: the program's manual pages.
#include "answer.h"
#include "manual.h"
#include "../formats/version.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// The day of SOURCE_DATE_EPOCH, which says of what time a build is; "" without it.
static bool edition_date(char date[16], err *e)
{
    const char *text = getenv("SOURCE_DATE_EPOCH");
    char *end = NULL;
    struct tm day;
    date[0] = '\0';
    if (!text || !*text) return true;
    const long long v = strtoll(text, &end, 10);
    const time_t at = (time_t)v;
    if (*end != '\0' || v < 0 || !gmtime_r(&at, &day) || strftime(date, 16, "%Y-%m-%d", &day) == 0)
        return err_set(e, ERR_USAGE, "SOURCE_DATE_EPOCH: found '%s', expected seconds since 1970", text);
    return true;
}

typedef struct { bool json, quiet; } manual_options;

static const opt options[] = { OPT_ANSWER(manual_options) };

static bool write_page(const char *name, err *e)
{
    char date[16];
    const manual_edition of = { .version = hallmark_version(), .date = date };
    const command *c = name ? command_find(name) : NULL;
    text_buf t = { 0 };
    if (name && !c) return err_set(e, ERR_USAGE, "found '%s', expected a command", name);
    if (!edition_date(date, e)) return false;
    if (c) manual_of_command(&t, c, &of);
    else   manual_of_program(&t, command_table, n_commands, &of);
    char *text = text_take(&t);
    if (!text) return err_nomem(e, "the page", 0);
    answer_text("command", c ? c->name : NULL, text);
    free(text);
    return true;
}

static int run(const void *opts, const text_list *args)
{
    err e = { 0 };
    return write_page(args->n ? args->v[0] : NULL, &e) ? 0 : cli_fail(&cmd_manual, &e);
}

const command cmd_manual = {
    .name = "manual",
    .summary = "print a manual page, as man reads it",
    .synopsis = "[COMMAND]",
    .about = "Prints the page of a command, or the program's own, made from the program's table of commands and\n"
             "options. An installed hallmark has them where man looks: 'man hallmark', 'man hallmark-release'. Pages\n"
             "bear the date of SOURCE_DATE_EPOCH.\n",
    .examples = "  hallmark manual release | man -l -\n"
                "  hallmark manual > hallmark.1\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(manual_options),
    .min_args = 0, .max_args = 1, .run = run,
};
