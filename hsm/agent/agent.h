/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-hsmd, the agent: it has the PKCS#11 module in a process of its own
 * and serves hsm.h over a Unix socket (wire.h).
 *
 * Trust: whoever connects is hostile.  What may be done with the keys of the
 * token is a matter of policy; what a connection has made is its own.
 */
#ifndef AGENT_H
#define AGENT_H

#include "../internal.h"

#include "wire.h"

/* ---- configuration and policy (policy.c) ---- */

/* What a key may be used for: words of `use`, in this order. */
#define AGENT_USES     "sign|derive|wrap|unwrap|generate"
#define AGENT_SIGN     1u /* and HMAC */
#define AGENT_DERIVE   2u
#define AGENT_WRAP     4u
#define AGENT_UNWRAP   8u
#define AGENT_GENERATE 16u /* a key of that name */
#define AGENT_ALL      31u
#define AGENT_N_USES   5
extern const char *const agent_use_words[AGENT_N_USES]; /* bit by bit */

/*
 * A section [key LABEL], or [key PREFIX*] for all labels that begin so and
 * have no section of their own, nor one with a longer prefix.
 */
struct agent_rule {
    const char *label;
    size_t len;  /* without the asterisk */
    bool prefix; /* there is one */
    const char *const *users, *const *use;
    uid_t *uids;
    size_t n_uids;
    unsigned uses;
};

struct agent {
    const char *listen, *module, *token, *pin_file, *pin_credential;
    const char *init_args, *user, *wrap, *lock_memory;
    bool network;
    size_t sessions, workers, clients, clients_per_user, objects;
    struct agent_rule *rules;
    size_t n_rules;

    struct hsm *hsm;
    int listener, epoll, stop;
};

struct capif_conf;

/* All of the file; messages on standard error.  false: it is wrong. */
bool agent_configure(struct agent *agent, struct capif_conf *conf);
void agent_unconfigure(struct agent *agent);

/* What uid may do with the key of that label; len 0: it has none. */
unsigned agent_uses(const struct agent *agent, uid_t uid, const char *label,
                    size_t len);
/* Is there any key that uid may use? */
bool agent_knows(const struct agent *agent, uid_t uid);

/* ---- what the process denies itself (harden.c) ---- */

/* Log what failed, and errno's reason; gives false. */
bool agent_fail(const char *what);

/* No core, no tracer; with lock-memory, no swap. */
bool agent_harden(const struct agent *agent);
/* Become `user`, if root; no new privileges. */
bool agent_become(const struct agent *agent);
/* System calls that are not needed are refused from now on. */
bool agent_confine(const struct agent *agent);

/* ---- connections (conn.c) ---- */

/* Its numbers for keys and secrets: a place, and how often it was taken. */
struct agent_object {
    struct hsm_key *key; /* one of the two, or the place is free */
    struct hsm_secret *secret;
    unsigned uses;
    uint32_t generation;
    uint32_t next_free;
};

#define AGENT_QUICK_NS 20000 /* a request that takes less */

/* Somebody who is connected, by however many connections. */
struct agent_user {
    struct agent_user *next; /* guarded by conn.c's lock, like `conns` */
    uid_t uid;
    size_t conns;
    atomic_size_t objects; /* of all of them */
};

struct agent_conn {
    struct agent_conn *next, **prev; /* of all; guarded by conn.c's lock */
    struct agent *agent;
    int fd;
    struct agent_user *user;
    uid_t uid;
    pid_t pid;
    atomic_uint refs; /* the reader's, and one a batch that is worked on */
    atomic_bool hello, over;
    atomic_uint refusals;
    uint8_t *part; /* of a message; the reader's, like the next two */
    size_t part_len;
    atomic_int_fast64_t usual_ns; /* that a request takes */
    bool several; /* it has asked a second thing before the first's answer */
    pthread_mutex_t send; /* an answer is written in one piece */
    pthread_mutex_t lock; /* over the next three */
    struct agent_object *objects;
    size_t n_objects, used;
    uint32_t free; /* the first of the list, or UINT32_MAX */
};

/* Be told of fd, which is a member of agent, by the address of that member. */
bool agent_watch(struct agent *agent, int *fd);
/* A connection, which takes fd over; it may be ended at once. */
void agent_conn_begin(struct agent *agent, int fd);
/* Give up a reference; the last one is the connection's end. */
void agent_conn_unref(struct agent_conn *c);
/* The part of a message in place of the one before, which is wiped. */
bool agent_conn_keep(struct agent_conn *c, const uint8_t *p, size_t len);
void agent_conn_log(const struct agent_conn *c, const char *event,
                    const char *what, const char *label);
/* Don't watch the listener until a connection has ended. */
void agent_conns_deafen(struct agent *agent);
/* End all; nobody else is left. */
void agent_conns_end(void);
/* HSM_ERR_DENIED; logged, and the end of a connection that does not learn. */
enum hsm_status agent_refuse(struct agent_conn *c, unsigned use,
                             const char *label, size_t len);

/* ---- workers (serve.c) ---- */

/* Serve, with so many threads as there are `workers`, until agent->stop is
 * written to. */
bool agent_serve(struct agent *agent);

/* ---- objects of a connection (objects.c) ---- */

/* Could agent_put() do it?  Asked before something is made in vain. */
bool agent_has_room(struct agent_conn *c);
/* Takes key or secret over, in any case; 0: no room. */
uint64_t agent_put(struct agent_conn *c, struct hsm_key *key,
                   struct hsm_secret *secret, unsigned uses);
/* A reference to it, if it is there and may be used so (or use is 0). */
enum hsm_status agent_get_key(struct agent_conn *c, uint64_t number,
                              unsigned use, struct hsm_key **out) HSM_CHECK;
enum hsm_status agent_get_secret(struct agent_conn *c, uint64_t number,
                                 unsigned use,
                                 struct hsm_secret **out) HSM_CHECK;
void agent_drop(struct agent_conn *c, uint64_t number);
/* At the end, when nobody else has c. */
void agent_drop_all(struct agent_conn *c);

/* ---- requests (request.c) ---- */

/* An answer's results; what they point to is kept until it is written. */
struct agent_reply {
    struct wire_item items[WIRE_ITEMS];
    size_t n;
    uint8_t room[4096];
    struct hsm_object *objs;
    size_t n_objs;
    char **uris;
};

/* Arguments of a request. */
#define ARG(i)      (m->items[2 + (i)])
#define OBJECTS_MAX ((WIRE_ITEMS - 4) / WIRE_OBJECT) /* in one answer */

void agent_add(struct agent_reply *r, struct wire_item item);
/* The items of an object; a private key gets a number. */
enum hsm_status agent_add_object(struct agent_conn *c, struct agent_reply *r,
                                 unsigned cls, struct hsm_key *key,
                                 unsigned uses) HSM_CHECK;
enum hsm_status agent_do_find(struct agent_conn *c, const struct wire_msg *m,
                              struct agent_reply *r) HSM_CHECK;
/* Do what is asked; m is a request. */
enum hsm_status agent_request(struct agent_conn *c, const struct wire_msg *m,
                              struct agent_reply *reply);
void agent_reply_free(struct agent_reply *reply);
/* What clients are told that the token derives with. */
enum hsm_rung agent_rung(const struct agent *agent);

#endif
