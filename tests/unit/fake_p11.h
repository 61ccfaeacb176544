/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control panel of tests/fake_p11.c, a PKCS#11 module that serves one
 * token with the label "fake" and whose n-th call fails.  A test gets it by
 * dlsym() of "fake" and "fake_reset".
 *
 * Threads: fields that tell something may be read when no call is under way.
 */
#ifndef FAKE_P11_H
#define FAKE_P11_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>

#define FAKE_PIN        "1234"
#define FAKE_RSA_OCTETS 256
#define FAKE_EC_OCTETS  64 /* of a signature */
#define FAKE_MAC_OCTETS 32 /* of an HMAC and of a digest */
#define FAKE_WRAPPED    40 /* octets of a wrapped secret, by AES */

struct fake {
    /* Set by the test. */
    CK_ULONG slots;     /* 1 or 2, each with a token of the same label */
    CK_ULONG find_step; /* objects that C_FindObjects() gives at the most */
    bool hide_public;   /* no public key objects */
    bool away;          /* no token is present */
    bool final_try;     /* CKF_USER_PIN_FINAL_TRY */
    const unsigned char *point; /* CKA_EC_POINT, an OCTET STRING: 67 octets */
    const unsigned char *cert;  /* CKA_VALUE of the certificate */
    size_t cert_len;
    void (*on_sign)(void); /* called first by C_Sign(), without a lock */
    bool hkdf, feedback, pipeline; /* the derivations that it has */

    /* Told to the test. */
    unsigned calls;         /* since fake_reset(); releasing is not counted */
    unsigned logins;        /* C_Login() calls, refused ones too */
    unsigned open_sessions; /* at the moment */
    unsigned peak_sessions; /* since fake_reset() */
    unsigned failed_open;   /* open sessions that have seen a failed call */
    unsigned secrets;       /* session objects there are */
    unsigned peak_secrets;  /* since fake_reset() */
    bool initialized;
};

/* From now on, call n (1 is the next one) returns rv; 0: none does. */
typedef void fake_reset_fn(unsigned n, CK_RV rv);

#endif
