/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to an agent: one a struct hsm, which its threads share.
 * Each sends its request and waits; one of those who wait reads for all.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "../internal.h"

#include "wire.h"

#define AGENT_RANDOM_MAX 4096 /* octets in one answer */

#define X(ret, name, args) ret agent_##name args;
HSM_OPS(X)
#undef X

/* Results are msg.items[3] and on; epoch is that of the connection. */
struct agent_answer {
    uint8_t *octets; /* NULL: there is none */
    size_t len;
    unsigned epoch;
    struct wire_msg msg;
};

/* An epoch: whichever connection there is. */
#define AGENT_ANY 0u

/*
 * Ask and wait.  HSM_ERR_SESSION if the connection is lost meanwhile, or is
 * not the one of that epoch: numbers of one are other objects' on another.
 * agent_answer_free() in any case, which wipes it.
 */
enum hsm_status agent_ask(struct hsm *h, unsigned epoch, enum wire_op op,
                          const struct wire_item *args, size_t n,
                          struct agent_answer *out) HSM_CHECK;
void agent_answer_free(struct agent_answer *a);

#define ITEMS(a) (a), sizeof(a) / sizeof((a)[0])

/* A secret that the agent has made; it is of the connection that said so. */
enum hsm_status agent_secret_take(struct hsm *h, const struct agent_answer *a,
                                  size_t len,
                                  struct hsm_secret **out) HSM_CHECK;
/* Ask for what is a secret of len octets. */
enum hsm_status agent_make(struct hsm *h, unsigned epoch, enum wire_op op,
                           const struct wire_item *items, size_t n, size_t len,
                           struct hsm_secret **out) HSM_CHECK;
/* Octets that the agent answers with; *len is the room on entry. */
enum hsm_status agent_bytes(struct hsm *h, unsigned epoch, enum wire_op op,
                            const struct wire_item *items, size_t n,
                            uint8_t *out, size_t *len) HSM_CHECK;
/* Say it, if the connection of that epoch is still there. */
void agent_tell(struct hsm *h, unsigned epoch, enum wire_op op,
                const struct wire_item *args, size_t n);

#endif
