/* PyTorch in a child process; see torch_peer.h. */
#include "torch_peer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A line of the answer, without its end; NULL when the child is gone. */
static char *answer(torch_peer *p, char *line, size_t size)
{
    if (!fgets(line, (int)size, p->from))
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void must_answer(torch_peer *p, char *line, size_t size)
{
    need(fflush(p->to) == 0 && answer(p, line, size), "the PyTorch process has ended");
}

/* Does not return. */
static void become_child(const bench *b, const int in[2], const int out[2])
{
    char threads[16];
    snprintf(threads, sizeof threads, "%d", b->now);
    setenv("OMP_NUM_THREADS", threads, 1);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
    execlp(b->python, b->python, BENCH_DIR "/peer_torch.py", threads, (char *)NULL);
    _exit(127);
}

/* Whether the interpreter is there and imports torch, without a word of its own. */
static bool has_torch(const char *python)
{
    pid_t pid = fork();
    int status = 0;
    if (pid == 0) {
        need(freopen("/dev/null", "w", stderr) != NULL, "/dev/null: %s", strerror(errno));
        execlp(python, python, "-c", "import torch, numpy", (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

bool torch_start(torch_peer *p, const bench *b)
{
    int in[2], out[2];
    char line[128];
    *p = (torch_peer){0};
    if (!*b->python || !has_torch(b->python))
        return false;
    signal(SIGPIPE, SIG_IGN);
    need(pipe(in) == 0 && pipe(out) == 0, "pipe: %s", strerror(errno));
    fflush(stdout);
    p->pid = fork();
    need(p->pid >= 0, "fork: %s", strerror(errno));
    if (p->pid == 0)
        become_child(b, in, out);
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    need(p->to && p->from, "fdopen: %s", strerror(errno));
    must_answer(p, line, sizeof line);
    need(strncmp(line, "torch ", 6) == 0, "the PyTorch process says: %s", line);
    snprintf(p->version, sizeof p->version, "%.60s", line + 6);
    return true;
}

void torch_stop(torch_peer *p)
{
    if (!p->pid)
        return;
    fclose(p->to);
    fclose(p->from);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

void torch_row(torch_peer *p, const char *row)
{
    char line[128];
    fprintf(p->to, "row %s\n", row);
    must_answer(p, line, sizeof line);
    need(strcmp(line, "ok") == 0, "%s: the PyTorch process says: %s", row, line);
}

size_t torch_check(torch_peer *p, double *numbers, size_t most)
{
    char line[1024], *at = line, *end;
    size_t n = 0;
    fputs("check\n", p->to);
    must_answer(p, line, sizeof line);
    for (; n < most; n++, at = end) {
        numbers[n] = strtod(at, &end);
        if (end == at)
            break;
    }
    return n;
}

double torch_time(void *peer, size_t repeats)
{
    torch_peer *p = peer;
    char line[128];
    fprintf(p->to, "time %zu\n", repeats);
    must_answer(p, line, sizeof line);
    return strtod(line, NULL);
}
