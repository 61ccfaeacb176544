/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare: the least that a program must do to sign with a token, to compare the
 * provider or the agent with.  Without a PIN, the module must be initialized
 * and the user logged in by somebody else in this process: both are the
 * process's, not the caller's.
 */
#ifndef BARE_H
#define BARE_H

#include <stdbool.h>
#include <stddef.h>

enum bare_mech { BARE_ECDSA, BARE_RSA_PKCS1, BARE_HMAC_SHA256 };

struct bare;
struct bare_signer;

/* NULL on failure, which stderr tells. */
struct bare *bare_open(const char *module, const char *label, const char *pin);
void bare_close(struct bare *b);

/*
 * A session of its own, for one thread; signs the same tbs, which is borrowed,
 * again and again with the private key of that label; or an HMAC, with a secret
 * that is made.
 */
struct bare_signer *bare_signer_new(const struct bare *b, const char *label,
                                    enum bare_mech mech,
                                    const unsigned char *tbs, size_t tbs_len);
void bare_signer_free(struct bare_signer *s);
bool bare_sign(void *signer);
/* The last signature. */
const unsigned char *bare_signature(const struct bare_signer *s, size_t *len);

#endif
