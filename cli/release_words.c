// release_words: see release_words.h.
#include "release_words.h"
#include "text_out.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>

static bool passed(const release_result *r, int i)
{
    return !r->made[i].kept && strcmp(verify_verdict(&r->reports[i]), "pass") == 0;
}

// Options that say what is made: the recipes hold it.
static bool says_recipes(const char *word)
{
    static const char *const NAMES[] = { "--types", "--recipe", "--artifact", "--imatrix", "--calibrate", "--effort" };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(word, NAMES[i]) == 0) return true;
    return false;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[strspn(word, "abcdefghijklmnopqrstuvwxyz-")] == '\0';
}

static void put_word(text_buf *t, const char *word)
{
    if (t->n > 0) text_words(t, " ");
    if (is_option(word)) text_words(t, word);
    else                 text_puts(t, TEXT_SHELL, word);
}

// One option --types of all that passed.
static void put_types(text_buf *t, const release_result *r)
{
    text_buf list = { 0 };
    for (int i = 0; i < r->n; i++) {
        if (!passed(r, i) || r->made[i].finished) continue;
        if (list.n > 0) text_words(&list, ",");
        text_raw(&list, r->made[i].text, strlen(r->made[i].text));
    }
    if (list.n == 0) return;
    char *text = text_take(&list);
    put_word(t, "--types");
    put_word(t, text ? text : "");
    free(text);
}

static void put_artifacts(text_buf *t, const release_result *r)
{
    for (int i = 0; i < r->n; i++) {
        if (!passed(r, i) || !r->made[i].finished) continue;
        put_word(t, "--artifact");
        put_word(t, r->made[i].text);
    }
}

char *release_again(const release_result *r, const command_words *words)
{
    text_buf t = { 0 };
    int n = 0;
    for (int i = 0; i < r->n; i++) n += passed(r, i);
    if (r->published || n == 0) return text_take(&t);
    for (int i = 0; i < words->n; i++) {
        if (says_recipes(words->v[i])) i++;         // its value, too
        else put_word(&t, words->v[i]);
    }
    put_types(&t, r);
    put_artifacts(&t, r);
    return text_take(&t);
}

static void print_verdicts(const release_result *r)
{
    for (int i = 0; i < r->n; i++)
        print_line(stdout, "%s: %s", r->reports[i].artifact, verify_verdict(&r->reports[i]));
}

void release_print_folders(const release_result *r, const char *again)
{
    for (int i = 0; i < r->n; i++)
        if (r->made[i].kept) print_line(stdout, "kept: %s", r->reports[i].artifact);
    for (int i = 0; i < r->n_told; i++) print_line(stdout, "note: %s", r->told[i]);
    if (!again || !again[0]) return;
    printf("\nNot all passed:\n");
    print_verdicts(r);
    printf("\nThis publishes what passed, alone:\n");
    print_line(stdout, "    %s", again);
}
