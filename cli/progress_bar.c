#include "progress_bar.h"
#include "answer.h"
#include "terminal.h"
#include "text_out.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1      // often enough to look alive
#define LINE_SECONDS   10.0     // plain lines of a long stage: a log is read, not watched
enum { BAR_CELLS = 20 };

static void erase(progress_bar *b)
{
    if (b->drawn) fputs("\r\033[K", stderr);
    b->drawn = false;
}

// "312 MB/s", "4.1 chunks/s".
static void format_rate(const progress_bar *b, double spent, char *out, size_t size)
{
    const double rate = spent > 0 ? (double)b->done / spent : 0;
    if (b->unit) snprintf(out, size, "%.*f %s/s", rate < 10 ? 1 : 0, rate, b->unit);
    else         snprintf(out, size, "%.0f MB/s", rate / 1e6);
}

// "1,280": a number that is read while it grows.
static const char *grouped(int64_t n, char out[32])
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    int w = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) out[w++] = ',';
        out[w++] = digits[i];
    }
    out[w] = '\0';
    return out;
}

// "211 of 1,280 tokens", where the stage counts something; else how fast bytes go by.
static void format_done(const progress_bar *b, double spent, char *out, size_t size)
{
    char done[32], total[32];
    if (!b->unit || b->total <= 0) format_rate(b, spent, out, size);
    else snprintf(out, size, "%s of %s %s", grouped(b->done, done), grouped(b->total, total), b->unit);
}

// "stage  [#####.....]  45 %  312 MB/s  0:12 left  tensor", or "211 of 1,280 tokens" for the rate; cut to the
// terminal's width.
static void format_state(const progress_bar *b, double now, bool with_bar, char *out, size_t size)
{
    double spent = now - b->began, rate = spent > 0 ? (double)b->done / spent : 0;
    char speed[96], left[32] = "", bar[BAR_CELLS + 4] = "", percent[16] = "";
    format_done(b, spent, speed, sizeof speed);
    if (b->total > 0) {
        double part = (double)b->done / (double)b->total;
        if (!(part <= 1)) part = 1;
        if (with_bar) {
            bar[0] = '[';
            for (int i = 0; i < BAR_CELLS; i++) bar[i + 1] = i < (int)(part * BAR_CELLS) ? '#' : '.';
            memcpy(bar + BAR_CELLS + 1, "] ", 3);
        }
        snprintf(percent, sizeof percent, "%3.0f %%  ", 100 * part);
        if (rate > 0 && spent > 0.5) {
            double s = (double)(b->total - b->done) / rate;
            if (s < 0) s = 0;
            snprintf(left, sizeof left, "  %d:%02d left", (int)(s / 60), (int)s % 60);
        }
    }
    snprintf(out, size, "%-10s %s%s%s%s  %s", b->name, bar, percent, speed, left, b->item);
}

static void draw(progress_bar *b, double now)
{
    char line[256];
    format_state(b, now, true, line, sizeof line);
    int columns = terminal_columns(STDERR_FILENO, 80) - 1;
    line[text_cut(line, (int64_t)strlen(line), columns)] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    b->drawn = true;
    b->last = now;
}

static void end_stage(progress_bar *b)
{
    if (!b->name[0]) return;
    double spent = seconds_now() - b->began;
    char size[32], speed[32];
    erase(b);
    format_rate(b, spent, speed, sizeof speed);
    if (b->done > 0 && b->unit)
        fprintf(stderr, "%-10s %lld %.*s in %.1f s (%s)\n", b->name, (long long)b->done,
                (int)strlen(b->unit) - (b->done == 1), b->unit, spent, speed);
    else if (b->done > 0)
        fprintf(stderr, "%-10s %s in %.1f s (%s)\n", b->name, human_bytes(b->done, size), spent, speed);
    else
        fprintf(stderr, "%-10s done in %.1f s\n", b->name, spent);
    fflush(stderr);
    b->name[0] = '\0';
}

static void on_stage(progress *p, const char *stage, int64_t total)
{
    progress_bar *b = (progress_bar *)(void *)p;
    pthread_mutex_lock(&b->lock);
    end_stage(b);
    text_fit(b->name, sizeof b->name, stage, strlen(stage), 0);
    b->item[0] = '\0';
    b->unit = p->unit;
    b->total = total;
    b->done = 0;
    b->began = b->last = seconds_now();
    if (b->terminal) draw(b, b->began);
    pthread_mutex_unlock(&b->lock);
}

static void on_add(progress *p, const char *item, int64_t bytes)
{
    progress_bar *b = (progress_bar *)(void *)p;
    pthread_mutex_lock(&b->lock);
    b->done += bytes;
    // A stage's first item is shown at once, so that a short stage names it too.
    const bool first = item && !b->item[0];
    if (item) text_fit(b->item, sizeof b->item, item, strlen(item), 0);
    double now = seconds_now();
    if (b->terminal) {
        if (first || now - b->last >= REDRAW_SECONDS) draw(b, now);
    } else if (now - b->last >= LINE_SECONDS) {
        char line[256];
        format_state(b, now, false, line, sizeof line);
        fprintf(stderr, "%s\n", line);
        b->last = now;
    }
    pthread_mutex_unlock(&b->lock);
}

// Why it runs on the CPU is of the machine, not of the artifact that is in hand: it is said once.
static bool was_said(progress_bar *b, const char *line)
{
    static const char begins[] = "running on the CPU";
    if (strncmp(line, begins, sizeof begins - 1) != 0) return false;
    const bool before = b->cpu_said;
    b->cpu_said = true;
    return before;
}

static void on_log(progress *p, const char *line)
{
    progress_bar *b = (progress_bar *)(void *)p;
    pthread_mutex_lock(&b->lock);
    if (was_said(b, line)) {
        pthread_mutex_unlock(&b->lock);
        return;
    }
    if (b->total > 0 && b->done >= b->total) end_stage(b);      // the line speaks of what is finished: it comes after
    bool redraw = b->drawn;
    erase(b);
    text_write(stderr, TEXT_PLAIN, line, strlen(line));
    fputc('\n', stderr);
    if (redraw) draw(b, seconds_now());
    pthread_mutex_unlock(&b->lock);
}

progress *progress_bar_begin(progress_bar *b)
{
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    b->terminal = terminal_is(STDERR_FILENO);
    b->base.warn = on_log;
    if (answer_is_quiet()) return &b->base;         // which tells nobody anything else
    b->base.stage = on_stage;
    b->base.add = on_add;
    b->base.log = on_log;
    return &b->base;
}

void progress_bar_end(progress_bar *b)
{
    pthread_mutex_lock(&b->lock);
    end_stage(b);
    pthread_mutex_unlock(&b->lock);
    pthread_mutex_destroy(&b->lock);
}
