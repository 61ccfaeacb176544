/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aefd: the API exposing function.
 */
#include "aef.h"

#include "log.h"
#include "run.h"
#include "visit.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONNECTIONS_MAX 4096
#define TRIM_OCTETS     (4 << 20) /* that the heap may keep free */
#define TICK_US         500000    /* who was revoked has a second (design 10) */

static void worker_stop(void *state)
{
    struct aef_worker *w = state;

    if (w == NULL)
        return;
    if (w->tick != NULL)
        event_free(w->tick);
    if (w->background)
        aef_counter_rest(w->aef->counter);
    aef_till_close(w->till);
    aef_reporter_free(w->reporter);
    aef_publisher_free(w->publisher);
    capif_server_free(w->control);
    capif_server_free(w->service);
    capif_client_free(w->client);
    aef_journal_free(w->journal);
    free(w);
}

/* A PSK ends at its time; so do connections of whom has been revoked. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct aef_worker *w = arg;

    (void)fd;
    (void)what;
    aef_psks_expire(w->aef->psks);
    aef_journal_turn(w->journal, (time_t)w->aef->report_seconds);
    capif_server_cut(w->service, aef_peer_gone, w->aef);
}

static void *worker_start(struct event_base *base, void *app)
{
    struct aef *aef = app;
    struct aef_worker *w = calloc(1, sizeof(*w));
    const struct timeval often = { 0, TICK_US };
    const struct capif_server_config control = {
        .listen = aef->control_listen,
        .tls = aef->control_tls,
        .routes = aef_control_routes,
        .who = aef_control_who,
        .app = w,
        .idle_seconds = (int)aef->timeout,
        .max_connections = CONNECTIONS_MAX,
    };
    const struct capif_server_config service = {
        .listen = aef->service_listen,
        .tls = aef->service_tls,
        .any = aef_serve,
        .app = w,
        .idle_seconds = (int)aef->timeout,
        .max_connections = CONNECTIONS_MAX,
    };

    if (w == NULL)
        return NULL;
    w->aef = aef;
    w->base = base;
    if ((w->client = capif_client_new(base)) == NULL
        || (w->control = capif_server_new(base, &control)) == NULL
        || (w->service = capif_server_new(base, &service)) == NULL
        || (w->till = aef_till_open(aef->counter, base)) == NULL
        || (w->journal = aef_journal_new(aef->state)) == NULL
        || (w->tick = event_new(base, -1, EV_PERSIST, on_tick, w)) == NULL
        || event_add(w->tick, &often) != 0) {
        worker_stop(w);
        return NULL;
    }
    return w;
}

/* What may take its time: the store, and what is told to the CCF. */
static void *background_start(struct event_base *base, void *app)
{
    struct aef *aef = app;
    struct aef_worker *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    w->aef = aef;
    w->base = base;
    w->background = true;
    if (!aef_counter_serve(aef->counter, base)
        || (w->client = capif_client_new(base)) == NULL
        || (w->reporter = aef_reporter_new(aef, base, w->client)) == NULL
        || (w->publisher = aef_publisher_new(aef, base)) == NULL) {
        worker_stop(w);
        return NULL;
    }
    return w;
}

int main(int argc, char **argv)
{
    static const struct capif_worker_ops ops = { .start = worker_start,
                                                 .background = background_start,
                                                 .stop = worker_stop };
    static struct aef aef; /* large, and as long-lived as the process */
    int status = EXIT_FAILURE;

    if (argc != 2 || argv[1][0] == '-') {
        fprintf(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                "usage: aefd CONFIG\n");
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : 2;
    }
    capif_harden();
    (void)umask(077); /* calls are nobody else's business */
    /* Or the buffers of each large answer go back to the kernel, to come again.
     */
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_OCTETS);
    if (aef_load(&aef, argv[1]))
        status = capif_run(aef.workers, &ops, &aef);
    aef_unload(&aef);
    return status;
}
