/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking whenever a thread enters or leaves the kernel: between two system
 * calls nothing can leave a process, but secrets may come and go.
 *
 * The processes are seized, not attached to (ptrace(2)): signals are passed
 * on, group-stops stay stops, and they go on if this process dies.
 */
#include "shadow.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS                                                       \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT \
     | PTRACE_O_TRACEEXEC)
#define SYSCALL_STOP (SIGTRAP | 0x80) /* by PTRACE_O_TRACESYSGOOD */
#define STOPS_MAX    256              /* at once; the next ones wait */
#define INPUT_EVERY  64               /* steps */

struct thread {
    pid_t tid;
    size_t target;
    bool begun; /* stopped once, so every system call stops it */
};

struct stop {
    pid_t tid;
    int status;
};

struct trace {
    struct audit *a;
    struct shadow **shadow; /* one a target */
    uint64_t *calls;        /* one a target */
    bool *due;              /* one a target: to be looked at */
    struct thread *thread;
    size_t n, room;
    struct stop *stop; /* not yet handled */
    size_t n_stops;
    bool ending;
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int sig)
{
    if (sig != SIGCHLD)
        told_to_end = 1;
}

/* ---- threads ---- */

static struct thread *thread_find(struct trace *tr, pid_t tid)
{
    for (size_t i = 0; i < tr->n; i++)
        if (tr->thread[i].tid == tid)
            return &tr->thread[i];
    return NULL;
}

static struct thread *thread_add(struct trace *tr, pid_t tid, size_t target)
{
    struct thread *th = thread_find(tr, tid);

    if (th != NULL)
        return th;
    if (tr->n == tr->room) {
        size_t room = tr->room == 0 ? 64 : 2 * tr->room;
        void *more = realloc(tr->thread, room * sizeof(*tr->thread));

        if (more == NULL) {
            audit_fail(tr->a, &tr->a->target[target], "out of memory", "");
            return NULL;
        }
        tr->thread = more;
        tr->room = room;
    }
    tr->thread[tr->n] = (struct thread){ tid, target, false };
    return &tr->thread[tr->n++];
}

static size_t threads_of(const struct trace *tr, size_t target)
{
    size_t n = 0;

    for (size_t i = 0; i < tr->n; i++)
        n += tr->thread[i].target == target;
    return n;
}

static void thread_remove(struct trace *tr, struct thread *th)
{
    const size_t target = th->target;
    struct audit_target *t = &tr->a->target[target];

    *th = tr->thread[--tr->n];
    if (threads_of(tr, target) > 0 || tr->ending)
        return;
    t->ended = true;
    fprintf(stderr, "%s: ended\n", t->name);
}

/* A new thread may stop before the one that made it has told of it. */
static struct thread *thread_adopt(struct trace *tr, pid_t tid)
{
    char path[64];

    for (size_t i = 0; i < tr->a->n; i++) {
        snprintf(path, sizeof(path), "/proc/%ld/task/%ld",
                 (long)procmem_pid(tr->a->target[i].p), (long)tid);
        if (access(path, F_OK) == 0)
            return thread_add(tr, tid, i);
    }
    return NULL;
}

/* Does this process trace it already?  It does if another thread made it. */
static bool ours(pid_t tid)
{
    char path[64], line[256];
    long tracer = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)tid);
    if ((f = fopen(path, "re")) == NULL)
        return false;
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "TracerPid:", 10) == 0)
            tracer = strtol(line + 10, NULL, 10);
    fclose(f);
    return tracer == (long)getpid();
}

/* 1 if the thread is new to us, -1 after a message. */
static int seize(struct trace *tr, pid_t tid, size_t target)
{
    if (thread_find(tr, tid) != NULL)
        return 0;
    if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)OPTIONS) == 0) {
        if (thread_add(tr, tid, target) == NULL)
            return -1;
        ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
        return 1;
    }
    if (errno == ESRCH)
        return 0; /* it has ended */
    if (ours(tid))
        return thread_add(tr, tid, target) != NULL ? 1 : -1;
    audit_fail(tr->a, &tr->a->target[target], "can't be traced",
               strerror(errno));
    return -1;
}

/* Until no thread is new: untraced ones may make others meanwhile. */
static bool attach(struct trace *tr, size_t target)
{
    char path[64];
    struct dirent *e;
    int found;

    snprintf(path, sizeof(path), "/proc/%ld/task",
             (long)procmem_pid(tr->a->target[target].p));
    do {
        DIR *dir = opendir(path);

        found = 0;
        while (dir != NULL && found >= 0 && (e = readdir(dir)) != NULL) {
            pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
            int got = tid > 0 ? seize(tr, tid, target) : 0;

            found = got < 0 ? got : found + got;
        }
        if (dir != NULL)
            closedir(dir);
    } while (found > 0);
    if (found == 0 && threads_of(tr, target) == 0)
        audit_fail(tr->a, &tr->a->target[target], "can't be traced",
                   strerror(ESRCH));
    return found == 0 && !tr->a->failed;
}

/* ---- stops ---- */

static void changed_look(struct trace *tr, size_t target)
{
    struct audit_target *t = &tr->a->target[target];

    if (shadow_look(tr->shadow[target], tr->a, t))
        t->looks++;
}

/* Does it enter the kernel, rather than leave it? */
static bool enters(pid_t tid)
{
    uint8_t info[128]; /* struct ptrace_syscall_info: the first says which */

    return ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), info) > 0
           && info[0] == PTRACE_SYSCALL_INFO_ENTRY;
}

/* Another program, in one thread that has the number of the process. */
static void executed(struct trace *tr, pid_t tid, unsigned long former)
{
    struct thread *th = thread_find(tr, (pid_t)former);
    const size_t target = thread_find(tr, tid)->target;
    struct audit_target *t = &tr->a->target[target];

    if (th != NULL && th->tid != tid)
        thread_remove(tr, th);
    if (procmem_reopen(t->p) == PROCMEM_ERROR)
        audit_fail(tr->a, t, "its memory", strerror(errno));
}

/* An event that PTRACE_O_... asked for. */
static void event_handle(struct trace *tr, struct thread *th, int event)
{
    const size_t target = th->target;
    const pid_t tid = th->tid;
    unsigned long msg = 0;

    ptrace(PTRACE_GETEVENTMSG, tid, NULL, &msg);
    if (event == PTRACE_EVENT_CLONE) {
        thread_add(tr, (pid_t)msg, target);
    } else if (event == PTRACE_EVENT_EXEC) {
        executed(tr, tid, msg);
    } else if (event == PTRACE_EVENT_EXIT) {
        /* The last one takes the memory along. */
        if (threads_of(tr, target) == 1 && !tr->ending)
            audit_process(tr->a, &tr->a->target[target], true);
    }
}

static bool stops_group(int sig)
{
    return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

static void stopped(struct trace *tr, struct thread *th, int status)
{
    const int sig = WSTOPSIG(status), event = (int)((unsigned)status >> 16);
    const pid_t tid = th->tid;
    long deliver = 0;
    bool listen = false;

    if (event == PTRACE_EVENT_STOP) {
        th->begun = true;
        listen = stops_group(sig);
    } else if (event != 0) {
        event_handle(tr, th, event);
    } else if (sig != SYSCALL_STOP) {
        deliver = sig;
    }
    /* Fails if it was killed meanwhile: then the next wait tells. */
    if (tr->ending) {
        if (ptrace(PTRACE_DETACH, tid, NULL, (void *)deliver) == 0
            && (th = thread_find(tr, tid)) != NULL)
            thread_remove(tr, th);
    } else if (listen) {
        ptrace(PTRACE_LISTEN, tid, NULL, NULL);
    } else {
        ptrace(PTRACE_SYSCALL, tid, NULL, (void *)deliver);
    }
}

/*
 * All that have stopped by now.  None goes on before all are known: otherwise
 * those that stop often would be told of again and again, the others never.
 */
static void stops_gather(struct trace *tr, int flags)
{
    int status;
    pid_t tid;

    tr->n_stops = 0;
    while (tr->n_stops < STOPS_MAX
           && (tid = waitpid(-1, &status, __WALL | flags)) > 0) {
        tr->stop[tr->n_stops++] = (struct stop){ tid, status };
        flags = WNOHANG;
    }
}

/* One look is for all threads of a process that are stopped now. */
static void stops_look(struct trace *tr)
{
    for (size_t i = 0; i < tr->n_stops; i++) {
        const int status = tr->stop[i].status;
        const struct thread *th = thread_find(tr, tr->stop[i].tid);

        if (th == NULL || !WIFSTOPPED(status))
            continue;
        if (WSTOPSIG(status) == SYSCALL_STOP) {
            tr->due[th->target] = true;
            tr->calls[th->target] += enters(th->tid);
        } else if (status >> 16 == PTRACE_EVENT_EXIT) {
            tr->due[th->target] = true;
        }
    }
    for (size_t i = 0; i < tr->a->n; i++) {
        if (tr->due[i])
            changed_look(tr, i);
        tr->due[i] = false;
    }
}

/* What has happened to threads; false if nothing has. */
static bool step(struct trace *tr, int flags)
{
    stops_gather(tr, flags);
    if (!tr->ending)
        stops_look(tr);
    for (size_t i = 0; i < tr->n_stops; i++) {
        const struct stop *s = &tr->stop[i];
        struct thread *th = thread_find(tr, s->tid);

        if (th == NULL && WIFSTOPPED(s->status))
            th = thread_adopt(tr, s->tid);
        if (th == NULL)
            continue;
        if (WIFSTOPPED(s->status))
            stopped(tr, th, s->status);
        else
            thread_remove(tr, th);
    }
    return tr->n_stops > 0;
}

/* ---- from beginning to end ---- */

static void constant_look(struct trace *tr)
{
    for (size_t i = 0; i < tr->a->n; i++)
        if (!tr->a->target[i].ended && threads_of(tr, i) > 0)
            audit_process(tr->a, &tr->a->target[i], true);
}

static bool all_begun(const struct trace *tr)
{
    for (size_t i = 0; i < tr->n; i++)
        if (!tr->thread[i].begun)
            return false;
    return true;
}

/* SIGCHLD and those that end it are let in by pselect() alone. */
static void wait_for(const sigset_t *inside, bool at_once)
{
    const struct timespec now = { 0, 0 };
    fd_set in;

    FD_ZERO(&in);
    FD_SET(STDIN_FILENO, &in);
    if (pselect(STDIN_FILENO + 1, &in, NULL, NULL, at_once ? &now : NULL,
                inside)
            > 0
        && audit_input_ended())
        told_to_end = 1;
}

static void run(struct trace *tr, const sigset_t *inside)
{
    bool ready = false;
    unsigned steps = 0;

    while (!told_to_end && !tr->a->failed && !audit_all_ended(tr->a)) {
        bool some = step(tr, WNOHANG);

        if (!ready && all_begun(tr)) {
            ready = true;
            for (size_t i = 0; i < tr->a->n; i++)
                changed_look(tr, i);
            constant_look(tr);
            fputs("ready\n", stderr);
        }
        if (!some || ++steps % INPUT_EVERY == 0)
            wait_for(inside, some);
    }
}

/* Each is let go at its next stop, which comes soon. */
static void detach(struct trace *tr)
{
    tr->ending = true;
    for (size_t i = 0; i < tr->n; i++)
        ptrace(PTRACE_INTERRUPT, tr->thread[i].tid, NULL, NULL);
    while (tr->n > 0 && step(tr, 0))
        ;
}

static void signals_set(sigset_t *inside)
{
    static const int sigs[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP };
    struct sigaction sa = { .sa_handler = on_signal };
    sigset_t block;

    sigemptyset(&block);
    for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
        sigaddset(&block, sigs[i]);
        sigaction(sigs[i], &sa, NULL);
    }
    sigprocmask(SIG_BLOCK, &block, inside);
    for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
        sigdelset(inside, sigs[i]);
}

/* What was found at any look, each place once. */
static void sum_up(struct trace *tr)
{
    for (size_t i = 0; i < tr->a->n; i++) {
        struct audit_target *t = &tr->a->target[i];

        audit_settle(tr->a, t, "its memory");
        memcpy(t->sum, t->pass,
               needles_count(tr->a->needles) * sizeof(*t->sum));
        fprintf(stderr,
                "%s: system calls: %" PRIu64 ", looks: %" PRIu64
                ", octets looked at: %" PRIu64 "\n",
                t->name, tr->calls[i], t->looks, t->octets);
    }
}

void audit_trace(struct audit *a)
{
    struct trace tr = { .a = a };
    sigset_t inside;
    bool ok;

    tr.shadow = calloc(a->n, sizeof(struct shadow *));
    tr.calls = calloc(a->n, sizeof(*tr.calls));
    tr.due = calloc(a->n, sizeof(*tr.due));
    tr.stop = calloc(STOPS_MAX, sizeof(*tr.stop));
    ok = tr.shadow != NULL && tr.calls != NULL && tr.due != NULL
         && tr.stop != NULL;
    for (size_t i = 0; ok && i < a->n; i++)
        ok = (tr.shadow[i] = shadow_new()) != NULL;
    if (!ok) {
        audit_fail(a, &a->target[0], "out of memory", "");
    } else {
        signals_set(&inside);
        for (size_t i = 0; ok && i < a->n; i++)
            ok = attach(&tr, i);
        if (ok)
            run(&tr, &inside);
        if (ok && !a->failed)
            constant_look(&tr);
        detach(&tr);
        sum_up(&tr);
    }
    for (size_t i = 0; tr.shadow != NULL && i < a->n; i++)
        shadow_free(tr.shadow[i]);
    free(tr.shadow);
    free(tr.calls);
    free(tr.due);
    free(tr.stop);
    free(tr.thread);
}
