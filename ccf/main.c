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

struct app {
    const char *path;
    struct ccf *ccf; /* changes while no worker adopts it */
};

static void worker_stop(void *state)
{
    struct ccf_worker *w = state;

    if (w == NULL)
        return;
    capif_server_free(w->server);
    capif_client_free(w->client);
    ccf_courier_free(w->courier);
    ccf_rewrap_free(w->rewrap);
    ccf_crl_fetch_free(w->crl_fetch);
    ccf_crls_free(w->crls);
    ccf_store_close(w->store);
    ccf_let_go(w->ccf);
    free(w);
}

/* What both kinds of workers have. */
static struct ccf_worker *worker_new(struct event_base *base, struct ccf *ccf)
{
    struct ccf_worker *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    w->ccf = ccf_hold(ccf);
    w->base = base;
    if ((w->store = ccf_store_open(ccf->store_name)) == NULL
        || (w->client = capif_client_new(base)) == NULL
        || (w->crls = ccf_crls_new()) == NULL) {
        worker_stop(w);
        return NULL;
    }
    ccf_store_domain(w->store, &w->ccf->domain);
    return w;
}

static void *hold(void *worker)
{
    struct ccf_worker *w = worker;

    return ccf_hold(w->ccf);
}

static void let_go(void *ccf)
{
    ccf_let_go(ccf);
}

static void *worker_start(struct event_base *base, void *arg)
{
    const struct app *app = arg;
    struct ccf *ccf = app->ccf;
    struct ccf_worker *w = worker_new(base, ccf);
    const struct capif_server_config cfg = {
        .listen = ccf->listen,
        .tls = ccf->tls,
        .routes = ccf_routes,
        .who = ccf_who,
        .app = w,
        .idle_seconds = IDLE_SECONDS,
        .max_connections = CONNECTIONS_MAX,
        .hold = hold,
        .let_go = let_go,
    };

    if (w != NULL && (w->server = capif_server_new(base, &cfg)) == NULL) {
        worker_stop(w);
        w = NULL;
    }
    return w;
}

static void *courier_start(struct event_base *base, void *arg)
{
    const struct app *app = arg;
    struct ccf_worker *w = worker_new(base, app->ccf);

    if (w != NULL
        && ((w->courier = ccf_courier_new(base, w)) == NULL
            || (w->rewrap = ccf_rewrap_new(base, w)) == NULL
            || (w->crl_fetch = ccf_crl_fetch_new(base, w)) == NULL)) {
        worker_stop(w);
        w = NULL;
    }
    return w;
}

static bool reload(void *arg)
{
    struct app *app = arg;
    struct ccf *ccf = ccf_open(app->path, app->ccf);

    if (ccf == NULL)
        return false;
    ccf_let_go(app->ccf);
    app->ccf = ccf;
    return true;
}

static void adopt(void *worker, void *arg)
{
    struct ccf_worker *w = worker;
    const struct app *app = arg;

    ccf_let_go(w->ccf);
    w->ccf = ccf_hold(app->ccf);
    ccf_store_domain(w->store, &w->ccf->domain);
    memset(w->keys_due, 0, sizeof(w->keys_due)); /* by partners' numbers */
    capif_client_renew(w->client);
    if (w->server != NULL)
        capif_server_set_tls(w->server, w->ccf->tls);
    ccf_rewrap_begin(w->rewrap);
    ccf_crl_fetch_begin(w->crl_fetch);
}

int main(int argc, char **argv)
{
    static const struct capif_worker_ops ops = { worker_start, courier_start,
                                                 worker_stop, reload, adopt };
    struct app app;
    int status = EXIT_FAILURE;

    if (argc != 2 || argv[1][0] == '-') {
        fprintf(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                "usage: ccfd CONFIG\n");
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : 2;
    }
    capif_harden();
    app.path = argv[1];
    if ((app.ccf = ccf_open(app.path, NULL)) != NULL)
        status = capif_run(app.ccf->workers, &ops, &app);
    ccf_let_go(app.ccf);
    return status;
}
