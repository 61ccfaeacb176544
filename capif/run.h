/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif run: a daemon's life: hardening, worker threads, signals.
 *
 * SIGTERM and SIGINT end it.  SIGHUP makes it read its configuration again:
 * in the main thread, while all others go on; if it is good, each worker
 * takes it over in its own thread, between two events.
 */
#ifndef CAPIF_RUN_H
#define CAPIF_RUN_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct capif_worker_ops {
    /* In the main thread, before any worker runs; NULL: can't start. */
    void *(*start)(struct event_base *base, void *app);
    /* The same for one more, which serves nobody; or NULL. */
    void *(*background)(struct event_base *base, void *app);
    /* In the worker's thread, after its loop has ended. */
    void (*stop)(void *worker);
    /* In the main thread; false: it said why, and nothing has changed. */
    bool (*reload)(void *app);
    /* In a worker's thread: take over what app has now. */
    void (*adopt)(void *worker, void *app);
};

/* No core dumps, not traceable by others, no SIGPIPE. */
void capif_harden(void);

/*
 * Run workers, each with an event loop and thread of its own, until SIGTERM
 * or SIGINT.  Logs event=ready once all listen, and for each SIGHUP
 * event=reloaded once all have taken over, or event=reload-failed.  The exit
 * status.
 */
int capif_run(size_t workers, const struct capif_worker_ops *ops, void *app);

#endif
