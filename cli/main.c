// main: help, and the one place where an error becomes an exit status.
#include "answer.h"
#include "interrupt.h"
#include "option_value.h"
#include "text_out.h"
#include "../formats/version.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_tell(const command *c, const err *e)
{
    fflush(stdout);         // where both go to one place, in the order in which they were said
    fprintf(stderr, "hallmark %s: %s\n", c->name, e->msg[0] ? e->msg : "failed without a message");
    if (e->kind == ERR_USAGE) fprintf(stderr, "Try 'hallmark %s --help'.\n", c->name);
    return e->kind == ERR_NONE ? ERR_SYSTEM : (int)e->kind;
}

int cli_fail(const command *c, const err *e)
{
    const int status = cli_tell(c, e);
    answer_error(e);
    return status;
}

void cli_note(const command *c, const char *fmt, ...)
{
    va_list ap;
    char text[2048];
    if (answer_is_quiet()) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fflush(stdout);
    print_line(stderr, "hallmark %s: note: %s", c->name, text);
}

static void print_help(void)
{
    printf("%s\n\nUsage: hallmark COMMAND ...\n\nCommands:\n", program_about);
    for (int i = 0; i < n_commands; i++) printf("  %-10s %s\n", command_table[i]->name, command_table[i]->summary);
    printf("\n'hallmark COMMAND --help' tells more, with examples. 'hallmark --version' prints the version.\n\n%s",
           exit_statuses);
}

// The names that --type and --types take, for the commands that have them.
static void print_types(const command *c)
{
    int n;
    const file_type_info *t = file_type_table(&n);
    if (!command_takes_types(c)) return;
    printf("\nTypes:");
    for (int i = 0; i < n; i++) printf(" %s", t[i].name);
    putchar('\n');
}

enum { HELP_COLUMNS = 120, HELP_LEFT = 22 };        // of a line; of an option's names

// Words in lines of at most HELP_COLUMNS; the first begins at column `at`, the others below the text of options.
static void print_wrapped(const char *text, int at)
{
    for (int spaces = 0; *text;) {
        const int n = (int)strcspn(text, " ");
        if (at + spaces + n > HELP_COLUMNS) {
            at = printf("\n  %-*s ", HELP_LEFT, "") - 1;
            spaces = 0;
        }
        at += printf("%*s%.*s", spaces, "", n, text);
        text += n;
        spaces = (int)strspn(text, " ");
        text += spaces;
    }
}

static void print_option(const opt *o)
{
    char left[64], text[512];
    snprintf(left, sizeof left, "%s%s%s%s%s", o->letter ? o->letter : "", o->letter ? ", " : "", o->name,
             o->arg ? " " : "", o->arg ? o->arg : "");
    snprintf(text, sizeof text, "%s%s", o->help, o->kind == OPT_PATHS ? "; may be repeated" : "");
    if (strlen(left) > HELP_LEFT) printf("  %s\n  %-*s ", left, HELP_LEFT, "");
    else                          printf("  %-*s ", HELP_LEFT, left);
    print_wrapped(text, HELP_LEFT + 3);
    putchar('\n');
}

static void print_command_help(const command *c)
{
    printf("Usage: hallmark %s %s\n\n%s\nOptions:\n", c->name, c->synopsis, c->about);
    for (int i = 0; i < c->n_opts; i++) print_option(&c->opts[i]);
    printf("  %-*s %s\n", HELP_LEFT, "-h, --help", "print this text");
    print_types(c);
    printf("\nExamples:\n%s", c->examples);
}

// Is the word among the options, whatever else is wrong with them?
static bool among(int argc, char **argv, const char *word)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], word) == 0) return true;
    return false;
}

static int wrong_words(int argc, char **argv, const err *e)
{
    fprintf(stderr, "hallmark: %s\nTry 'hallmark --help'.\n", e->msg);
    answer_begin(&(answer_to){ .json = among(argc, argv, "--json") });
    answer_error(e);
    return ERR_USAGE;
}

static int unknown_command(const char *word, int argc, char **argv)
{
    const char *names[64];
    err e = { 0 };
    int n = 0;
    for (; n < n_commands && n < N_ROWS(names); n++) names[n] = command_table[n]->name;
    const char *near = nearest_name(word, names, n);
    if (near) err_set(&e, ERR_USAGE, "unknown command '%s'; did you mean '%s'?", word, near);
    else      err_set(&e, ERR_USAGE, "unknown command '%s'", word);
    return wrong_words(argc, argv, &e);
}

// What was asked for; where the command line is wrong, by what stands in it.
static void begin_answer(const command *c, const void *options, const text_list *args, bool read, int argc, char **argv)
{
    answer_begin(&(answer_to){
        .name = c->name, .c = c, .options = options, .args = args,
        .json = read ? option_is_set(c, options, "--json") : among(argc, argv, "--json"),
        .quiet = read && option_is_set(c, options, "--quiet"),
    });
}

static int run_command(const command *c, int argc, char **argv)
{
    err e = { 0 };
    text_list args = { 0 };
    bool help = false;
    int status;
    void *options = calloc(1, c->options_bytes);
    if (!options) {
        err_nomem(&e, "the command line", c->options_bytes);
        return cli_fail(c, &e);
    }
    const bool read = options_parse(c, argc, argv, options, &args, &help, &e);
    begin_answer(c, options, &args, read, argc, argv);
    interrupt_watch(c->name);
    if (!read) status = cli_fail(c, &e);
    else if (help) { print_command_help(c); status = 0; }
    else status = c->run(options, &args);
    options_free(c, options, &args);
    free(options);
    return status;
}

// --quiet has nothing to silence.
static int print_version(int argc, char **argv)
{
    bool json = false;
    for (int i = 2; i < argc; i++) {
        const bool is_json = strcmp(argv[i], "--json") == 0;
        json |= is_json;
        if (is_json || strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0) continue;
        err e = { 0 };
        err_set(&e, ERR_USAGE, "'%s' after %s: expected nothing, --json or --quiet", argv[i], argv[1]);
        return wrong_words(argc, argv, &e);
    }
    printf(json ? "{\"hallmark\": \"%s\", \"commit\": \"%s\"}\n" : "hallmark %s (commit %s)\n", hallmark_version(),
           hallmark_commit());
    return 0;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "hallmark: a command is missing\nTry 'hallmark --help'.\n");
        return ERR_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return print_version(argc, argv);
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
    if (help && argc == 2) { print_help(); return 0; }
    const command *c = command_find(help ? argv[2] : word);
    if (!c) return unknown_command(help ? argv[2] : word, argc - 1, argv + 1);
    if (!help) return run_command(c, argc - 2, argv + 2);
    print_command_help(c);
    return 0;
}

// OpenMP's waiting threads spin for milliseconds by default, which starves every other program where processors are
// shared (measured on two processors with other work on both: 2 tokens a second instead of 6). libgomp reads its
// environment before main runs, so the program starts itself once more with a short spin; an environment that says how
// to wait is left alone.
static void start_again_with_short_spin(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (setenv("GOMP_SPINCOUNT", "2000", 0) == 0) execv("/proc/self/exe", argv);    // where that fails, go on as we are
}

// A descriptor that was closed when the program began (>&-) would be given to the next file that is opened, and
// messages would go into that: into the model being written, say. Opened so that it cannot be used for its purpose,
// writing fails as it should.
static bool open_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return false;
    }
    return true;
}

// Inputs are mapped, and reading past the end that a mapped file has now raises SIGBUS: somebody made it shorter
// meanwhile.
static void on_bus_error(int sig, siginfo_t *info, void *context)
{
    if (info->si_code != BUS_ADRERR) {      // of another cause: as if nobody watched
        signal(SIGBUS, SIG_DFL);
        raise(SIGBUS);
    }
    static const char said[] = "hallmark: an input file became shorter while it was read\n";
    ssize_t n = write(2, said, sizeof said - 1);
    (void)n;
    _exit(ERR_INPUT);
}

static void watch_for_shrinking_files(void)
{
    struct sigaction a = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };
    sigaction(SIGBUS, &a, NULL);
}

int main(int argc, char **argv)
{
    if (!open_standard_streams()) return ERR_SYSTEM;
    start_again_with_short_spin(argv);
    watch_for_shrinking_files();
    int status = dispatch(argc, argv);
    // A result that could not be written is no result, whatever the command thought of it.
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "hallmark: standard output: cannot write\n");
        status = ERR_SYSTEM;
    }
    interrupt_end();
    return status;
}
