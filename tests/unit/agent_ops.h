/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm.h by an agent in one line, with values that software checks.  What
 * returns no bool and no status asserts; the rest may be called by threads
 * and in children.
 */
#ifndef AGENT_OPS_H
#define AGENT_OPS_H

#include "hsm.h"

/* The N-th secret is of the 32 octets from secret_value + N on. */
extern uint8_t secret_value[512];
void secret_value_set(void);

/* On that socket; NULL: that of vaults[AGENT]. */
struct hsm *open_agent(const char *sock);
/* On P-256, to sign. */
struct hsm_key *make_ec(struct hsm *h, const char *uri);
/* The N-th secret, which may travel. */
struct hsm_secret *import(struct hsm *h, size_t n);
/* Is its HMAC, of the first octets of secret_value, the N-th secret's? */
bool mac_is(struct hsm_secret *s, size_t n);
bool same_key(const struct hsm_key *a, const struct hsm_key *b);
/* The same in two parts, of which the first needs no libcrypto. */
enum hsm_status sign_only(struct hsm_key *key, uint8_t sig[64]);
bool sig_verifies(const struct hsm_key *pub, const uint8_t sig[64]);
/* A signature by key; HSM_ERR_DEVICE if it is none that pub verifies. */
enum hsm_status sign_with(struct hsm_key *key, const struct hsm_key *pub);

#endif
