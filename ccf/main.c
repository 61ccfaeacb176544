/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccfd: the CAPIF core function.
 */
#include "ccf.h"

#include "log.h"
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_SECONDS    30
#define CONNECTIONS_MAX 4096

static void worker_stop(void *state)
{
    struct ccf_worker *w = state;

    if (w == NULL)
        return;
    capif_server_free(w->server);
    capif_client_free(w->client);
    ccf_courier_free(w->courier);
    ccf_store_close(w->store);
    free(w);
}

/* What both kinds of workers have. */
static struct ccf_worker *worker_new(struct event_base *base, struct ccf *ccf)
{
    struct ccf_worker *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    w->ccf = ccf;
    if ((w->store = ccf_store_open(ccf->store_name)) == NULL
        || (w->client = capif_client_new(base)) == NULL) {
        worker_stop(w);
        return NULL;
    }
    return w;
}

static void *worker_start(struct event_base *base, void *app)
{
    struct ccf *ccf = app;
    struct ccf_worker *w = worker_new(base, ccf);
    const struct capif_server_config cfg = {
        .listen = ccf->listen,
        .tls = ccf->tls,
        .routes = ccf_routes,
        .who = ccf_who,
        .app = w,
        .idle_seconds = IDLE_SECONDS,
        .max_connections = CONNECTIONS_MAX,
    };

    if (w != NULL && (w->server = capif_server_new(base, &cfg)) == NULL) {
        worker_stop(w);
        w = NULL;
    }
    return w;
}

static void *courier_start(struct event_base *base, void *app)
{
    struct ccf_worker *w = worker_new(base, app);

    if (w != NULL && (w->courier = ccf_courier_new(base, w)) == NULL) {
        worker_stop(w);
        w = NULL;
    }
    return w;
}

int main(int argc, char **argv)
{
    static const struct capif_worker_ops ops = { worker_start, courier_start,
                                                 worker_stop };
    static struct ccf ccf; /* large, and as long-lived as the process */
    int status = EXIT_FAILURE;

    if (argc != 2 || argv[1][0] == '-') {
        fprintf(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                "usage: ccfd CONFIG\n");
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : 2;
    }
    capif_harden();
    if (ccf_load(&ccf, argv[1]))
        status = capif_run(ccf.workers, &ops, &ccf);
    ccf_unload(&ccf);
    return status;
}
