/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens that secrets are tested on: SoftHSM, which derives only
 * transiently, NSS softokn, which does it inside, and one that is behind an
 * agent, which is SoftHSM again, in another process.  Each has an AES key
 * with the label "kek" whose value is known, so that a test can bring a known
 * secret in, and read one that may travel, by key wrap in software.
 *
 * What begins with vault_ asserts.  It speaks PKCS#11 to the token itself,
 * past hsm/, while the provider or a struct hsm keeps the module initialized.
 * Past the agent, too: objects of the token are seen, but sessions' are its
 * own.  How many there are, and those that may travel, its shim tells.
 */
#ifndef VAULT_H
#define VAULT_H

#include "token.h"

#include "hsm.h"
#include "shim_p11.h"

#include <p11-kit/pkcs11.h>

struct vault {
    const char *name, *label, *derive;
    bool there;
    char module[128], uri[64], init_args[192], pin_file[64];
    const struct token *dir; /* its directory serves all */
    void *mapped;
    CK_FUNCTION_LIST *p11;
    shim_count_fn *calls; /* with vaults_setup_shimmed(), or of the agent */
    shim_reset_fn *calls_reset;
    shim_hide_fn *hide;
    shim_live_fn *live; /* of the agent, like the next two */
    shim_forget_fn *forget;
    struct hsm *beside; /* its token by the module in this process */
    OSSL_LIB_CTX *ctx;  /* secrets = travel, wrap = any */
};

#define N_VAULTS 3
#define SOFTHSM  0
#define NSS      1
#define AGENT    2
extern struct vault vaults[N_VAULTS];
extern const uint8_t vault_kek[32]; /* the one of RFC 3394 4.6 */
#define VAULT_KEK_URI "pkcs11:object=kek"

/*
 * A test that runs on one of them; or on both tokens, where it looks into
 * objects, which can't be had of an agent; or on all.  Its state is the vault.
 */
#define ON(which, f)                                    \
    {                                                   \
#f " on " #which, f, NULL, NULL, &vaults[which] \
    }
#define ON_BOTH(f) ON(SOFTHSM, f), ON(NSS, f)
#define ON_ALL(f)  ON_BOTH(f), ON(AGENT, f)

/* cmocka group fixtures. */
int vaults_setup(void **state);
int vaults_setup_shimmed(void **state); /* through tests/shim_p11.c */
int vaults_teardown(void **state);

/* Run a group; what is for NSS is left out, with a word, where it isn't. */
int vaults_run(const char *name, struct CMUnitTest *tests, size_t n,
               CMFixtureFunction set_up);

/* Everything filled in but secrets, timeout and max; any key may wrap. */
struct section vault_section(const struct vault *v);
struct hsm_config vault_config(const struct vault *v);

/* The agent ends at once, and another takes its place. */
void vault_agent_again(struct vault *v);
/* Its process. */
pid_t vault_agent_pid(void);

CK_SLOT_ID vault_slot(const struct vault *v);
/* A session of one's own, logged in as the process is. */
CK_SESSION_HANDLE vault_session(const struct vault *v);
/* A generic secret that lives in the token, with the label "key". */
CK_OBJECT_HANDLE vault_token_secret(const struct vault *v, CK_SESSION_HANDLE s,
                                    const uint8_t *value, size_t len);
/* Generic secrets in the token; no more than max. */
CK_ULONG vault_secrets(const struct vault *v, CK_OBJECT_HANDLE *out,
                       CK_ULONG max);
CK_ULONG vault_count(const struct vault *v);
/* So many; what is dropped, the agent destroys in its own time. */
void vault_expect(const struct vault *v, CK_ULONG n);
void vault_expect_most(const struct vault *v, CK_ULONG max);
/* Is there an object, which may travel, of that value? */
bool vault_holds(const struct vault *v, const uint8_t *value, size_t len);
/* An object's attribute of one octet; of no session's of the agent. */
CK_BBOOL vault_flag(const struct vault *v, CK_OBJECT_HANDLE obj,
                    CK_ATTRIBUTE_TYPE type);

/* RFC 3394 in software: len + 8 octets of *value, and back. */
void vault_wrap(const uint8_t *value, size_t len, uint8_t *wrapped);
bool vault_unwrap(const uint8_t *wrapped, size_t len, uint8_t *value);

/* By the provider in v->ctx: a handle for a known value, a handle's value. */
void vault_seal(const struct vault *v, const uint8_t *value, size_t len,
                unsigned lifetime, uint8_t *handle);
void vault_unseal(const struct vault *v, const uint8_t *handle, size_t len,
                  uint8_t *value);
/* The same in another context; false if it is refused. */
bool vault_aes(OSSL_LIB_CTX *ctx, bool encrypt, unsigned lifetime,
               const uint8_t *in, size_t len, uint8_t *out, size_t *out_len);
/* Destroy a handle's secret now. */
bool vault_release(OSSL_LIB_CTX *ctx, const uint8_t *handle, size_t len);

/* ---- between vault.c and vault_agent.c ---- */

/* A copy of the shim, at path, for the module; which is in the environment. */
void vault_shim(const struct vault *v, const char *module, char path[128]);
void vault_make_kek(const struct vault *v);
/* A token for it, before any module is initialized. */
void vault_agent_token(struct vault *v);
void vault_agent_open(struct vault *v);
void vault_agent_close(struct vault *v);
const char *vault_agent_socket(void);

#endif
