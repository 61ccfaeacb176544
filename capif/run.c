/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include "log.h"
#include "seal.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

struct worker {
    pthread_t thread;
    const struct capif_worker_ops *ops;
    struct event_base *base;
    struct event *stop; /* the read end of a pipe that main() closes */
    void *state;
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

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    event_base_dispatch(w->base);
    w->ops->stop(w->state);
    event_free(w->stop);
    event_base_free(w->base);
    return NULL;
}

static bool worker_start(struct worker *w, int stop_fd, void *app,
                         void *(*start)(struct event_base *, void *))
{
    w->base = event_base_new();
    if (w->base == NULL)
        return false;
    w->stop = event_new(w->base, stop_fd, EV_READ, on_stop, w);
    return w->stop != NULL && event_add(w->stop, NULL) == 0
           && (w->state = start(w->base, app)) != NULL;
}

int capif_run(size_t n, const struct capif_worker_ops *ops, void *app)
{
    const size_t all = n + (ops->background != NULL);
    struct worker *workers = calloc(all, sizeof(*workers));
    size_t running = 0;
    int pipe_fd[2], sig = 0;
    char count[24];
    sigset_t set;

    if (workers == NULL || pipe(pipe_fd) != 0)
        return EXIT_FAILURE;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (size_t i = 0; i < all; i++) {
        workers[i].ops = ops;
        if (!worker_start(&workers[i], pipe_fd[0], app,
                          i < n ? ops->start : ops->background)) {
            capif_log("start-failed", NULL);
            return EXIT_FAILURE; /* the kernel cleans up what did start */
        }
    }
    for (; running < all; running++)
        if (pthread_create(&workers[running].thread, NULL, worker_main,
                           &workers[running])
            != 0)
            return EXIT_FAILURE;
    snprintf(count, sizeof(count), "%zu", n);
    capif_seal_log();
    capif_log("ready", "workers", count, NULL);
    sigwait(&set, &sig);
    capif_log("stopping", NULL);
    capif_seal_log();
    close(pipe_fd[1]);
    while (running > 0)
        pthread_join(workers[--running].thread, NULL);
    close(pipe_fd[0]);
    free(workers);
    return EXIT_SUCCESS;
}
