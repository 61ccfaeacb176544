/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The courier: the thread that does what no request waits for.  It delivers
 * notices, lane by lane (notice.h), finds out what is owed for events
 * (report.h), and fetches partners' keys.  Each ccfd has one; they share the
 * work by leases in the store, so that any of them may die.
 */
#include "oauth.h"

#include "log.h"
#include "notice.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US    100000
#define LANES_MAX  64
#define PUBLIC_MAX 48 /* of them: URLs that anybody chose, and may hang */
#define LEASE_MS   15000
#define RENEW_MS   10000 /* when so much is left; a request takes half */
#define ANSWER_MAX 65536
#define FIRST_MS   250 /* before the second attempt; then twice that, ... */
#define LONGEST_MS 60000
#define AMONG_MS   1000 /* the same to AEFs and partners: revocations wait */

/* A lane that we hold. */
struct lane {
    struct ccf_courier *c;
    char *name;                /* NULL: none */
    int64_t until;             /* when the lease ends */
    struct ccf_notice_row row; /* on its way */
};

struct ccf_courier {
    struct ccf_worker *w;
    struct event *tick;
    char id[CAPIF_ID_MAX + 1]; /* who we are in the store */
    struct lane lanes[LANES_MAX];
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void lane_end(struct lane *lane)
{
    ccf_notice_clear(&lane->row);
    free(lane->name);
    lane->name = NULL;
}

static bool is_public(const struct lane *lane)
{
    return strcmp(lane->row.trust, CCF_TRUST_PUBLIC) == 0;
}

/* Nobody waits longer than a lease for a lane that we can't go on with. */
static void lane_leave(struct lane *lane)
{
    const int64_t longest = is_public(lane) ? LONGEST_MS : AMONG_MS;
    int64_t wait = FIRST_MS;

    for (unsigned i = 0; i < lane->row.tries && wait < longest; i++)
        wait *= 2;
    if (wait > longest)
        wait = longest;
    (void)ccf_lane_failed(lane->c->w->store, lane->c->id, lane->name,
                          now_ms() + wait);
    lane_end(lane);
}

/* ---- one request ---- */

static bool send_row(struct lane *lane);

/* A partner may be one no more; nobody else is meant. */
static bool has_receiver(const struct lane *lane)
{
    const char *trust = lane->row.trust;

    return is_public(lane) || strcmp(trust, CCF_TRUST_OWN) == 0
           || ccf_partner_find(lane->c->w->ccf, trust) != NULL;
}

static void lane_go_on(struct lane *lane)
{
    struct ccf_courier *c = lane->c;
    enum ccf_store_status st;

    while ((st = ccf_lane_next(c->w->store, c->id, lane->name, &lane->row))
               == CCF_STORE_OK
           && !has_receiver(lane)) {
        capif_log("notice-dropped", "url", lane->row.url, "id", lane->row.id,
                  "why", "no partner any more", NULL);
        st = ccf_lane_done(c->w->store, c->id, lane->name, lane->row.seq,
                           now_ms() + LEASE_MS);
        ccf_notice_clear(&lane->row);
        if (st != CCF_STORE_OK)
            break;
    }
    if (st != CCF_STORE_OK)
        lane_end(lane);
    else if (!send_row(lane))
        lane_leave(lane);
}

static void lane_done(struct lane *lane)
{
    struct ccf_courier *c = lane->c;
    int64_t now = now_ms();
    bool renew = lane->row.tries > 0 || lane->until - now < RENEW_MS;
    enum ccf_store_status st =
        ccf_lane_done(c->w->store, c->id, lane->name, lane->row.seq,
                      renew ? now + LEASE_MS : 0);

    if (renew)
        lane->until = now + LEASE_MS;
    ccf_notice_clear(&lane->row);
    if (st == CCF_STORE_OK)
        lane_go_on(lane);
    else
        lane_end(lane);
}

/*
 * What another attempt will not change.  Not being known by a peer may
 * change: its store may be older than our certificate.
 */
static bool is_final(int status)
{
    return status >= 300 && status < 500 && status != 401 && status != 408
           && status != 425 && status != 429;
}

static void on_answer(const struct capif_answer *a, void *arg)
{
    struct lane *lane = arg;
    bool ok = a->status >= 200 && a->status < 300;
    bool late = now_ms() >= lane->row.expires;
    char status[16];

    snprintf(status, sizeof(status), "%d", a->status);
    if (!ok)
        capif_log(late || is_final(a->status) ? "notice-dropped"
                                              : "notice-failed",
                  "url", lane->row.url, "id", lane->row.id, "status", status,
                  "why", a->error, NULL);
    if (ok || late || is_final(a->status))
        lane_done(lane);
    else
        lane_leave(lane);
}

static bool send_row(struct lane *lane)
{
    const struct ccf *ccf = lane->c->w->ccf;
    const struct ccf_notice_row *row = &lane->row;
    const struct ccf_partner *partner = ccf_partner_find(ccf, row->trust);
    char key[CAPIF_ID_MAX + 24];
    const char *headers[] = { key, NULL };
    const struct capif_call call = {
        .method = row->method,
        .url = row->url,
        .address = partner != NULL ? partner->address
                                   : capif_connect_of(ccf->connect, row->url),
        .cred = &ccf->cred,
        .ca_file = partner != NULL                          ? partner->ca
                   : strcmp(row->trust, CCF_TRUST_OWN) == 0 ? ccf->ca_file
                                                            : ccf->notify_ca,
        .headers = headers,
        .content_type = row->text != NULL ? "application/json" : NULL,
        .body = row->text,
        .body_len = row->text != NULL ? strlen(row->text) : 0,
        .timeout_ms = CCF_HOP_MS,
        .answer_max = ANSWER_MAX,
        .done = on_answer,
        .arg = lane,
    };

    snprintf(key, sizeof(key), "Idempotency-Key: \"%s\"", row->id);
    return capif_client_send(lane->c->w->client, &call) != NULL;
}

/* ---- once in a while ---- */

static void take_lanes(struct ccf_courier *c)
{
    struct lane *unused[LANES_MAX];
    char *names[LANES_MAX];
    int64_t now = now_ms();
    size_t room = 0, public = PUBLIC_MAX, n = 0;

    for (size_t i = 0; i < LANES_MAX; i++)
        if (c->lanes[i].name == NULL)
            unused[room++] = &c->lanes[i];
        else if (is_public(&c->lanes[i]))
    public--;
    if (room == 0
        || ccf_lanes_take(c->w->store, c->id, now, now + LEASE_MS, names, room,
                          public, &n)
               != CCF_STORE_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        unused[i]->c = c;
        unused[i]->name = names[i];
        unused[i]->until = now + LEASE_MS;
        lane_go_on(unused[i]);
    }
}

/* Half of the time at most: what is owed already must not wait for it. */
static void tell_events(struct ccf_store *s)
{
    int64_t now = now_ms(), end = now + TICK_US / 2000;

    while (ccf_fanout(s, now) == CCF_STORE_OK && now < end)
        now = now_ms();
    while (ccf_reports_due(s, now) == CCF_STORE_OK && now < end)
        now = now_ms();
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct ccf_courier *c = arg;

    (void)fd;
    (void)what;
    tell_events(c->w->store);
    take_lanes(c);
    ccf_keys_tick(c->w);
}

struct ccf_courier *ccf_courier_new(struct event_base *base,
                                    struct ccf_worker *w)
{
    const struct timeval tick = { 0, TICK_US };
    struct ccf_courier *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->w = w;
    if (!ccf_make_id("ccfd-", c->id)
        || (c->tick = event_new(base, -1, EV_PERSIST, on_tick, c)) == NULL
        || event_add(c->tick, &tick) != 0) {
        ccf_courier_free(c);
        return NULL;
    }
    return c;
}

void ccf_courier_free(struct ccf_courier *c)
{
    if (c == NULL)
        return;
    if (c->tick != NULL)
        event_free(c->tick);
    for (size_t i = 0; i < LANES_MAX; i++)
        lane_end(&c->lanes[i]);
    free(c);
}
