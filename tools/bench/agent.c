/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token in another process: hsm/ by way of the agent, against p11-kit's
 * remoting of the same module and against the module in this process.
 */
#include "bare.h"
#include "bench.h"

#include <hsm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TBS_LEN 32
#define PIN_MAX 256

/* The first is what the others are compared with. */
enum { AGENT, REMOTE, IN_PROCESS, N_SIDES };

static const struct kind {
    const char *name, *title;
    enum bare_mech mech;
} kinds[] = {
    { "hmac", "HMAC-SHA-256", BARE_HMAC_SHA256 },
    { "ecdsa", "ECDSA P-256", BARE_ECDSA },
};

/* A side's connection: whichever of its clients is first makes it. */
struct connection {
    pthread_mutex_t lock; /* while it is made */
    bool tried;
    struct hsm *hsm;   /* of the agent's side */
    struct bare *bare; /* of the others */
};

struct client {
    const struct bench_options *options;
    const struct kind *kind;
    const char *module; /* NULL: the agent */
    const char *pin;
    struct connection *connection;
    bool tried; /* this and the next: at the first use, in its own process */
    struct bare_signer *signer;
    struct hsm_secret *secret;
    struct hsm_object *objs;
    size_t n_objs;
};

/* All clients of all sides. */
struct contest {
    struct connection connections[N_SIDES];
    struct client clients[N_SIDES][BENCH_THREADS_MAX];
    void *states[N_SIDES][BENCH_THREADS_MAX];
};

static const uint8_t tbs[TBS_LEN] = { 1, 2, 3, 4 };

static bool hsm_ok(const char *what, enum hsm_status st)
{
    if (st != HSM_OK)
        fprintf(stderr, "error: %s: %s\n", what, hsm_last_error());
    return st == HSM_OK;
}

static void connection_open(struct client *c)
{
    char token[128];
    struct hsm_config cfg = { .agent = c->options->agent,
                              .token = token,
                              .sessions = 1 };
    struct connection *n = c->connection;

    snprintf(token, sizeof(token), "pkcs11:token=%s", c->options->label);
    if (c->module != NULL)
        n->bare = bare_open(c->module, c->options->label, c->pin);
    else
        (void)hsm_ok("hsm_open", hsm_open(&cfg, &n->hsm));
}

static void client_open(struct client *c)
{
    static const uint8_t value[32] = { 1 };
    struct connection *n = c->connection;
    char uri[64];

    pthread_mutex_lock(&n->lock);
    if (!n->tried)
        connection_open(c);
    n->tried = true;
    pthread_mutex_unlock(&n->lock);
    snprintf(uri, sizeof(uri), "pkcs11:object=%s", c->kind->name);
    if (n->bare != NULL)
        c->signer = bare_signer_new(n->bare, c->kind->name, c->kind->mech, tbs,
                                    TBS_LEN);
    else if (n->hsm != NULL && c->kind->mech == BARE_HMAC_SHA256)
        (void)hsm_ok("hsm_import", hsm_import(n->hsm, value, sizeof(value),
                                              HSM_TRAVEL_NEVER, &c->secret));
    else if (n->hsm != NULL)
        (void)hsm_ok(uri,
                     hsm_find(n->hsm, uri, HSM_PRIVATE, &c->objs, &c->n_objs));
    c->tried = true;
}

static bool client_run(void *state)
{
    static const struct hsm_sign_params params = { .mech = HSM_MECH_ECDSA,
                                                   .hash = HSM_HASH_SHA256 };
    struct client *c = state;
    uint8_t out[128];
    size_t len = sizeof(out);

    if (!c->tried)
        client_open(c);
    if (c->signer != NULL)
        return bare_sign(c->signer);
    if (c->secret != NULL)
        return hsm_ok("hsm_mac", hsm_mac(c->secret, tbs, TBS_LEN, out));
    return c->n_objs > 0
           && hsm_ok("hsm_sign", hsm_sign(c->objs[0].key, &params, tbs, TBS_LEN,
                                          out, &len));
}

/* What threads of this process have opened. */
static void contest_clear(struct contest *c)
{
    for (size_t s = 0; s < N_SIDES; s++) {
        for (size_t i = 0; i < BENCH_THREADS_MAX; i++) {
            bare_signer_free(c->clients[s][i].signer);
            hsm_secret_free(c->clients[s][i].secret);
            hsm_objects_free(c->clients[s][i].objs, c->clients[s][i].n_objs);
        }
        bare_close(c->connections[s].bare);
        hsm_close(c->connections[s].hsm);
        pthread_mutex_destroy(&c->connections[s].lock);
    }
    free(c);
}

static struct contest *contest_new(const struct bench_options *o,
                                   const struct kind *kind, const char *pin)
{
    const char *const modules[N_SIDES] = {
        [REMOTE] = o->remote, [IN_PROCESS] = o->module
    };
    struct contest *c = calloc(1, sizeof(*c));

    for (size_t s = 0; c != NULL && s < N_SIDES; s++) {
        pthread_mutex_init(&c->connections[s].lock, NULL);
        for (size_t i = 0; i < BENCH_THREADS_MAX; i++) {
            c->clients[s][i] =
                (struct client){ .options = o,
                                 .kind = kind,
                                 .module = modules[s],
                                 .pin = pin,
                                 .connection = &c->connections[s] };
            c->states[s][i] = &c->clients[s][i];
        }
    }
    return c;
}

/*
 * apart: the agent's clients are processes with a connection each.  Those of
 * the module in this process stay threads, which is what they are to replace;
 * those of p11-kit, too, some of which find no token if many connect at once.
 */
static bool contest(const struct bench_options *o, const struct kind *kind,
                    const char *pin, size_t n, bool apart)
{
    struct contest *c = contest_new(o, kind, pin);
    const struct duel_plan plan = { N_SIDES, n, o->pairs, o->seconds };
    struct duel_side sides[N_SIDES];
    struct duel_result r[N_SIDES];
    bool ok;

    if (c == NULL)
        return bench_fail("out of memory");
    for (size_t s = 0; s < N_SIDES; s++)
        sides[s] =
            (struct duel_side){ client_run, c->states[s], apart && s == AGENT };
    ok = duel_run(&plan, sides, r);
    contest_clear(c);
    if (!ok)
        return bench_fail(kind->title);
    printf("%-14s %2zu %-9s %10.0f %10.0f %10.0f %8.2f  (%.2f-%.2f)"
           " %8.2f  (%.2f-%.2f)\n",
           kind->title, n, apart ? "processes" : "threads", r[IN_PROCESS].rate,
           r[REMOTE].rate, r[AGENT].rate, 1 / r[REMOTE].ratio,
           1 / r[REMOTE].high, 1 / r[REMOTE].low, 1 / r[IN_PROCESS].ratio,
           1 / r[IN_PROCESS].high, 1 / r[IN_PROCESS].low);
    fflush(stdout);
    return true;
}

static bool pin_read(const char *path, char pin[PIN_MAX])
{
    FILE *f = fopen(path, "r");
    bool ok = f != NULL && fgets(pin, PIN_MAX, f) != NULL;

    if (f != NULL)
        (void)fclose(f);
    if (!ok)
        return bench_fail(path);
    pin[strcspn(pin, "\n")] = '\0';
    return true;
}

bool bench_agent(const struct bench_options *o)
{
    static const size_t usual[] = { 1, 8 };
    const size_t *clients = o->n_threads != 0 ? o->threads : usual;
    size_t n =
        o->n_threads != 0 ? o->n_threads : sizeof(usual) / sizeof(usual[0]);
    bool any = false;
    char pin[PIN_MAX];

    if (!pin_read(o->pin_file, pin))
        return false;
    printf("%-14s %-12s %10s %10s %10s %8s %21s\n", "", "clients", "in process",
           "p11-kit", "agent", "/p11-kit", "/in process");
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        if (!bench_wanted(o, kinds[k].name))
            continue;
        any = true;
        for (size_t i = 0; i < n; i++) {
            if (!contest(o, &kinds[k], pin, clients[i], false)
                || (clients[i] > 1
                    && !contest(o, &kinds[k], pin, clients[i], true)))
                return false;
        }
    }
    return any || bench_fail("--only: no such name");
}
