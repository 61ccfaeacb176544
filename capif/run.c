/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include "log.h"
#include "seal.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

struct daemon;

struct worker {
    pthread_t thread;
    struct daemon *d;
    struct event_base *base;
    struct event *stop; /* the read end of a pipe that main() closes */
    struct event *wake; /* an eventfd: there is something to adopt */
    int wake_fd;
    void *state;
};

struct daemon {
    const struct capif_worker_ops *ops;
    void *app;
    struct worker *workers;
    size_t n;
    int stop_fd[2];
    pthread_mutex_t lock;
    pthread_cond_t all_adopted;
    size_t adopting; /* workers that have not yet; guarded by lock */
};

void capif_harden(void)
{
    const struct rlimit none = { 0, 0 };

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;

    (void)fd;
    (void)what;
    event_base_loopbreak(w->base);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    struct daemon *d = w->d;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
        return;
    d->ops->adopt(w->state, d->app);
    pthread_mutex_lock(&d->lock);
    if (--d->adopting == 0)
        pthread_cond_signal(&d->all_adopted);
    pthread_mutex_unlock(&d->lock);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    event_base_dispatch(w->base);
    w->d->ops->stop(w->state);
    event_free(w->stop);
    event_free(w->wake);
    event_base_free(w->base);
    close(w->wake_fd);
    return NULL;
}

static bool worker_start(struct worker *w, struct daemon *d,
                         void *(*start)(struct event_base *, void *))
{
    w->d = d;
    w->base = event_base_new();
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->base == NULL || w->wake_fd < 0)
        return false;
    w->stop = event_new(w->base, d->stop_fd[0], EV_READ, on_stop, w);
    w->wake = event_new(w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
    return w->stop != NULL && event_add(w->stop, NULL) == 0 && w->wake != NULL
           && event_add(w->wake, NULL) == 0
           && (w->state = start(w->base, d->app)) != NULL;
}

static void reload(struct daemon *d)
{
    const uint64_t one = 1;

    if (!d->ops->reload(d->app)) {
        capif_log("reload-failed", "why", "see standard error", NULL);
        return;
    }
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n; i++)
        if (write(d->workers[i].wake_fd, &one, sizeof(one)) > 0)
            d->adopting++;
    while (d->adopting > 0)
        pthread_cond_wait(&d->all_adopted, &d->lock);
    pthread_mutex_unlock(&d->lock);
    capif_log("reloaded", NULL);
}

/* Until a signal says to end. */
static void serve(struct daemon *d, const sigset_t *set)
{
    char count[24];
    int sig = 0;

    snprintf(count, sizeof(count), "%zu", d->n - (d->ops->background != NULL));
    capif_seal_log();
    capif_log("ready", "workers", count, NULL);
    while (sigwait(set, &sig) == 0 && sig == SIGHUP)
        reload(d);
    capif_log("stopping", NULL);
    capif_seal_log();
}

/* Signals are blocked here, and so in all threads, before there is any. */
static void block_signals(const struct daemon *d, sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    if (d->ops->reload != NULL)
        sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

int capif_run(size_t n, const struct capif_worker_ops *ops, void *app)
{
    struct daemon d = { .ops = ops,
                        .app = app,
                        .n = n + (ops->background != NULL),
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .all_adopted = PTHREAD_COND_INITIALIZER };
    size_t running = 0;
    sigset_t set;

    d.workers = calloc(d.n, sizeof(*d.workers));
    if (d.workers == NULL || pipe(d.stop_fd) != 0)
        return EXIT_FAILURE;
    block_signals(&d, &set);
    for (size_t i = 0; i < d.n; i++) {
        if (!worker_start(&d.workers[i], &d,
                          i < n ? ops->start : ops->background)) {
            capif_log("start-failed", NULL);
            return EXIT_FAILURE; /* the kernel cleans up what did start */
        }
    }
    for (; running < d.n; running++)
        if (pthread_create(&d.workers[running].thread, NULL, worker_main,
                           &d.workers[running])
            != 0)
            return EXIT_FAILURE;
    serve(&d, &set);
    close(d.stop_fd[1]);
    while (running > 0)
        pthread_join(d.workers[--running].thread, NULL);
    close(d.stop_fd[0]);
    free(d.workers);
    return EXIT_SUCCESS;
}
