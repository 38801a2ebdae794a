// measure OUT COMMAND...: runs COMMAND and writes to OUT what it took, as shell assignments:
//   status=0 seconds=0.012 cpu=0.010 peak_kb=5120 anon_kb=2048
// seconds: by the clock; cpu: of processor time, which other programs do not lengthen. status: exit status, 128 +
// signal when killed. peak_kb: largest resident set (mapped file pages included). anon_kb: largest resident memory that
// is not file pages (RssAnon + RssShmem), sampled every millisecond. Exits with the status.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static long anon_kb(pid_t pid)
{
    char path[64], line[256];
    long anon = 0, shmem = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        sscanf(line, "RssAnon: %ld", &anon);
        sscanf(line, "RssShmem: %ld", &shmem);
    }
    fclose(f);
    return anon + shmem;
}

int main(int argc, char **argv)
{
    if (argc < 3) { fprintf(stderr, "usage: measure OUT COMMAND...\n"); return 2; }
    double began = now();
    pid_t pid = fork();
    if (pid < 0) { perror("measure: fork"); return 4; }
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    struct rusage use;
    int wait_status = 0;
    long anon = 0;
    while (wait4(pid, &wait_status, WNOHANG, &use) == 0) {
        long a = anon_kb(pid);
        if (a > anon) anon = a;
        usleep(1000);
    }
    double ended = now();
    double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
    int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    FILE *out = fopen(argv[1], "w");
    if (!out) { perror(argv[1]); return 4; }
    fprintf(out, "status=%d seconds=%.3f cpu=%.3f peak_kb=%ld anon_kb=%ld\n", status, ended - began, cpu, use.ru_maxrss,
            anon);
    fclose(out);
    return status;
}
