/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm: use keys that never leave a PKCS#11 token.
 *
 * A struct hsm is one token of one module, logged in.  The interface is
 * semantic and narrow on purpose: no PKCS#11 type crosses it, and no function
 * returns the value of a private or secret key, so that it can be served from
 * another process as well as from a module loaded into this one.
 *
 * Ownership: what hsm_open(), hsm_find() and hsm_generate() return, the
 * caller hands back to hsm_close(), hsm_objects_free() and hsm_key_free();
 * all accept NULL.  A key keeps its struct hsm alive only in that hsm_close()
 * must come after the last hsm_key_free().
 * Threads: a struct hsm and a struct hsm_key may be shared by all threads.
 * Fork: a child may use both; it has its own connection, at its first use.
 * Secrets stay the parent's: there, they are lost.
 * Loss: when the token goes away, calls fail for as long as it does; when it
 * is back, a new connection is made, and keys are found again.  Secrets are
 * lost with the connection they were made on: HSM_ERR_GONE.
 * Errors: out-parameters are written only when HSM_OK is returned.  What went
 * wrong is told by hsm_last_error().
 * Blocking: every function may block for as long as the token does.
 */
#ifndef HSM_H
#define HSM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HSM_CHECK __attribute__((warn_unused_result))

/* What the caller can do about it, rather than what happened. */
enum hsm_status {
    HSM_OK = 0,
    HSM_ERR_PARAM,     /* the caller's mistake: malformed URI, bad length */
    HSM_ERR_MEMORY,    /* out of memory, here or in the token */
    HSM_ERR_CONFIG,    /* the module or the PIN file can't be used */
    HSM_ERR_NOT_FOUND, /* no such token, key or certificate */
    HSM_ERR_PIN,       /* PIN refused or locked: do not send it again */
    HSM_ERR_MECH,      /* the token can't do this */
    HSM_ERR_DENIED,    /* the key's attributes or the token forbid it */
    HSM_ERR_BUFFER,    /* the room given is too small */
    HSM_ERR_SESSION,   /* the session is lost: try once more */
    HSM_ERR_GONE,      /* the token is gone: close and open again */
    HSM_ERR_DEVICE,    /* anything else the token complains about */
};

/* The token-independent name of a status, for logs: "HSM_ERR_PIN". */
const char *hsm_status_name(enum hsm_status st);

/*
 * The calling thread's last failure as text, such as "C_Login:
 * CKR_PIN_LOCKED (0xa4)"; never NULL, valid until the thread's next call.
 */
const char *hsm_last_error(void);

/*
 * From now on write a line for each call into a module to that file, or to
 * "stderr": time, process, function, result and duration, and nothing of what
 * is in the call.  For all of the process; false if the file can't be had.
 */
bool hsm_trace_to(const char *path);

struct hsm;
struct hsm_key;

struct hsm_config {
    const char *module;    /* path of the PKCS#11 module, or NULL: */
    const char *agent;     /* path of the socket of capif-hsmd(8), which has
                              the module, and all below but token */
    const char *token;     /* RFC 7512 URI that names exactly one token */
    const char *pin_file;  /* holds the user PIN, mode 0600 or less, or NULL */
    const char *pin;       /* or the PIN itself, kept until it is closed */
    bool no_login;         /* whatever the PIN: public objects alone */
    bool no_finalize;      /* leave the module initialized at the end */
    size_t sessions;       /* sessions open at the most, 1 to 1024 */
    const char *init_args; /* LibraryParameters of NSS softokn; or NULL */
    bool transient;        /* secrets may pass through this process */
    bool wrap_any;         /* secrets that travel may be wrapped by any key */
};

/*
 * Only remember cfg, whose strings are not needed afterwards: connecting,
 * which is to load the module, choose the token and log in, is done by
 * whoever needs it first.  A PIN that was refused is not sent again.
 */
enum hsm_status hsm_new(const struct hsm_config *cfg,
                        struct hsm **out) HSM_CHECK;
/*
 * The tokens of h's module that the URI matches, whichever h's own is: URIs
 * for hsm_config.token, at least one, ended by NULL; hsm_tokens_free() frees
 * them.
 */
enum hsm_status hsm_tokens(struct hsm *h, const char *uri, char ***uris,
                           size_t *n) HSM_CHECK;
void hsm_tokens_free(char **uris);

#define HSM_PIN_MAX 256

/* Ask somebody for the PIN of that token; false: nobody answers. */
typedef bool hsm_ask_fn(void *arg, const char *token, char *pin, size_t room,
                        size_t *len);
/*
 * Log in, if the token asks for it and nobody has: with the PIN of the URI
 * (pin-value, pin-source), else with the one that ask (or NULL) gets, which
 * is kept for later connections if keep is set.  HSM_OK, too, if there is
 * none: private objects can't be found then.
 */
enum hsm_status hsm_unlock(struct hsm *h, const char *uri, hsm_ask_fn *ask,
                           void *arg, bool keep) HSM_CHECK;

/* Connect now, unless that is done. */
enum hsm_status hsm_connect(struct hsm *h) HSM_CHECK;
/* Both. */
enum hsm_status hsm_open(const struct hsm_config *cfg,
                         struct hsm **out) HSM_CHECK;

/* Close all sessions; finalize the module if this was its last user. */
void hsm_close(struct hsm *h);

/*
 * Is this thread inside a call into a module, which has called back into
 * whoever asks?  SoftHSM uses OpenSSL, which may use a provider.
 */
bool hsm_inside(void);

/*
 * Hold this lock, too, over fork(), so that it is free in a child.  No
 * function of hsm/ may be called under it.  false: out of memory.
 */
bool hsm_fork_guard(pthread_mutex_t *lock);
void hsm_fork_unguard(pthread_mutex_t *lock);

enum hsm_key_type {
    HSM_KEY_RSA,
    HSM_KEY_EC,
    HSM_KEY_ED25519,
    HSM_KEY_ED448,
    HSM_KEY_X25519,
};
#define HSM_KEY_TYPES 5

enum hsm_curve {
    HSM_CURVE_NONE,
    HSM_CURVE_P256,
    HSM_CURVE_P384,
    HSM_CURVE_P521,
};

/*
 * What is public about a key; owned by the key.  For RSA, a and b are the
 * modulus and the public exponent, big endian; for EC, a is the uncompressed
 * point of SEC 1 (65, 97 or 133 octets), for the others the octets of RFC
 * 8032 and RFC 7748 (32; 57 for Ed448), and b is empty.
 */
struct hsm_key_info {
    enum hsm_key_type type;
    enum hsm_curve curve;
    bool is_private;
    const uint8_t *a, *b;
    size_t a_len, b_len;
};

const struct hsm_key_info *hsm_key_info(const struct hsm_key *key);
/* Its RFC 7512 URI, for people and files; the caller frees it.  Or NULL. */
char *hsm_key_uri(const struct hsm_key *key);
struct hsm_key *hsm_key_ref(struct hsm_key *key);
void hsm_key_free(struct hsm_key *key);

/* Classes of objects: bits of hsm_find()'s argument. */
#define HSM_PRIVATE 1u
#define HSM_PUBLIC  2u
#define HSM_CERT    4u

struct hsm_object {
    unsigned cls;        /* one of the above */
    struct hsm_key *key; /* NULL for a certificate */
    uint8_t *der;        /* NULL for a key */
    size_t der_len;
};

/*
 * All objects of the given classes that the RFC 7512 URI matches, private
 * keys first, then public keys, then certificates; a `type` attribute in the
 * URI narrows the classes.  HSM_ERR_NOT_FOUND if there are none, or if the
 * URI names another token.  At most 256 of each class are looked at.
 */
enum hsm_status hsm_find(struct hsm *h, const char *uri, unsigned classes,
                         struct hsm_object **objs, size_t *n) HSM_CHECK;
void hsm_objects_free(struct hsm_object *objs, size_t n);

enum hsm_mech {
    HSM_MECH_ECDSA,     /* tbs is the digest; R || S, each as long as n */
    HSM_MECH_RSA_PKCS1, /* tbs is a DigestInfo, or anything shorter than n */
    HSM_MECH_RSA_PSS,   /* tbs is the digest of `hash` */
    HSM_MECH_EDDSA,     /* tbs is the whole message; 64 octets, or 114 */
};

enum hsm_hash {
    HSM_HASH_SHA1,
    HSM_HASH_SHA224,
    HSM_HASH_SHA256,
    HSM_HASH_SHA384,
    HSM_HASH_SHA512,
};

/* The last three count for HSM_MECH_RSA_PSS only; salt_len in octets. */
struct hsm_sign_params {
    enum hsm_mech mech;
    enum hsm_hash hash, mgf1_hash;
    size_t salt_len;
};

/*
 * Sign tbs with a private key: two calls into the token.  *sig_len is the
 * room in sig on entry and the length written on HSM_OK.
 */
enum hsm_status hsm_sign(struct hsm_key *key, const struct hsm_sign_params *p,
                         const uint8_t *tbs, size_t tbs_len, uint8_t *sig,
                         size_t *sig_len) HSM_CHECK;

/* RSA decryption: PKCS#1 v1.5, or OAEP with all that follows. */
struct hsm_decrypt_params {
    bool oaep;
    enum hsm_hash hash, mgf1_hash;
    const uint8_t *label;
    size_t label_len;
};
/* *len is the room in out on entry and the length written on HSM_OK. */
enum hsm_status hsm_decrypt(struct hsm_key *key,
                            const struct hsm_decrypt_params *p,
                            const uint8_t *in, size_t in_len, uint8_t *out,
                            size_t *len) HSM_CHECK;

/*
 * The shared secret of ECDH or X25519 with a peer's public key, in the form
 * of hsm_key_info.a; *len, as above, is that of a coordinate.  It leaves the
 * token: wiping it is up to the caller.
 */
enum hsm_status hsm_ecdh(struct hsm_key *key, const uint8_t *peer,
                         size_t peer_len, uint8_t *out, size_t *len) HSM_CHECK;

/* ---- secrets: symmetric keys that are derived, and never read ---- */

/*
 * A secret is a session object of the token.  It is sensitive; its value
 * can't be asked for here, by anybody.
 * Ownership: hsm_secret_free() gives up a reference; with the last one the
 * object is destroyed.
 * Threads: a secret may be shared.
 */
struct hsm_secret;

/* How a secret may leave the token, ever. */
enum hsm_travel {
    HSM_TRAVEL_NEVER,   /* not extractable */
    HSM_TRAVEL_WRAPPED, /* by wrapping alone, and, unless hsm_config.wrap_any,
                           only under keys the security officer trusted */
};

/* By what means the token derives (design 3, the ladder). */
enum hsm_rung {
    HSM_RUNG_NONE,      /* it can't, and transient is not allowed */
    HSM_RUNG_HKDF,      /* CKM_HKDF_DERIVE, extract with the key as salt */
    HSM_RUNG_SP800_108, /* CKM_SP800_108_FEEDBACK_KDF, its first block */
    HSM_RUNG_AGENT,     /* the same as the next, but in the agent's memory */
    HSM_RUNG_TRANSIENT, /* C_Sign, C_CreateObject: seen by this process */
};

/* Before it is connected, HSM_RUNG_NONE. */
enum hsm_rung hsm_rung(const struct hsm *h);
/* Was there ever a connection? */
bool hsm_was_connected(const struct hsm *h);
/* Secrets so far whose value this process saw, for HSM_RUNG_TRANSIENT. */
unsigned long hsm_transients(const struct hsm *h);
const char *hsm_rung_name(enum hsm_rung rung);

#define HSM_SECRET_MAX 512 /* octets of an imported secret */
#define HSM_SALT_MAX   64  /* octets, of hsm_extract() */
#define HSM_MAC_LEN    32  /* octets of HMAC-SHA-256 */

size_t hsm_secret_len(const struct hsm_secret *s);
/* False once the connection it was made on is lost; nothing is asked. */
bool hsm_secret_alive(const struct hsm_secret *s);
struct hsm_secret *hsm_secret_ref(struct hsm_secret *s);
void hsm_secret_free(struct hsm_secret *s);

/* The generic secret that uri names; it stays in the token when it is freed.
 */
enum hsm_status hsm_secret_find(struct hsm *h, const char *uri,
                                struct hsm_secret **out) HSM_CHECK;
/* Make a secret of a value that this process knows; wiping it is up to the
 * caller. */
enum hsm_status hsm_import(struct hsm *h, const uint8_t *value, size_t len,
                           enum hsm_travel travel,
                           struct hsm_secret **out) HSM_CHECK;
/* The secret HMAC-SHA-256(key, message), of 32 octets; len is not 0. */
enum hsm_status hsm_derive(struct hsm_secret *key, const uint8_t *msg,
                           size_t len, enum hsm_travel travel,
                           struct hsm_secret **out) HSM_CHECK;
/* The secret HMAC-SHA-256(salt, key), of 32 octets; len may be 0. */
enum hsm_status hsm_extract(struct hsm_secret *key, const uint8_t *salt,
                            size_t len, enum hsm_travel travel,
                            struct hsm_secret **out) HSM_CHECK;
/* The secret P_SHA256(key, seed) of RFC 5246 section 5, of out_len octets. */
enum hsm_status hsm_p_sha256(struct hsm_secret *key, const uint8_t *seed,
                             size_t len, size_t out_len, enum hsm_travel travel,
                             struct hsm_secret **out) HSM_CHECK;
/* HMAC-SHA-256(key, message) itself: for what may be known. */
enum hsm_status hsm_mac(struct hsm_secret *key, const uint8_t *msg, size_t len,
                        uint8_t out[HSM_MAC_LEN]) HSM_CHECK;

/*
 * Wrapping.  A wrapping key is an AES key of the token (AES key wrap, RFC
 * 3394) or an RSA key (OAEP of RFC 8017 with SHA-1 and MGF1-SHA-1, which is
 * what tokens have in common; OAEP does not rest on the hash's collision
 * resistance).  *len is the room in out on entry.
 */

/*
 * Unwrapping expects a secret of secret_len octets.  Some tokens don't tell
 * the length of what they unwrapped; a wrong one is refused by those that do.
 */

/* The AES key that uri names; it stays in the token when it is freed. */
enum hsm_status hsm_kek_find(struct hsm *h, const char *uri,
                             struct hsm_secret **out) HSM_CHECK;
enum hsm_status hsm_wrap_aes(struct hsm_secret *kek, struct hsm_secret *s,
                             uint8_t *out, size_t *len) HSM_CHECK;
enum hsm_status hsm_unwrap_aes(struct hsm_secret *kek, const uint8_t *in,
                               size_t in_len, enum hsm_travel travel,
                               struct hsm_secret **out) HSM_CHECK;
/*
 * For an RSA public key: one of the token's that is equal, or, with
 * hsm_config.wrap_any, this one.
 */
enum hsm_status hsm_wrap_rsa(struct hsm *h, const uint8_t *n, size_t n_len,
                             const uint8_t *e, size_t e_len,
                             struct hsm_secret *s, uint8_t *out,
                             size_t *len) HSM_CHECK;
enum hsm_status hsm_unwrap_rsa(struct hsm_key *key, const uint8_t *in,
                               size_t in_len, size_t secret_len,
                               enum hsm_travel travel,
                               struct hsm_secret **out) HSM_CHECK;

/*
 * What the security officer does, in a session of its own: make a key
 * encryption key of 256 bits, or bring in a partner's RSA public key to wrap
 * for.  Both are trusted, and named by the URI's `object`.  No struct hsm may
 * be open on that token in this process meanwhile: PKCS#11 has one login.
 * The KEK is then made private by the user, since the officer can't;
 * HSM_ERR_DENIED if there is one of that name already.
 */
enum hsm_status hsm_officer_kek(const struct hsm_config *so,
                                const struct hsm_config *user,
                                const char *uri) HSM_CHECK;
enum hsm_status hsm_officer_rsa(const struct hsm_config *so, const char *uri,
                                const uint8_t *n, size_t n_len,
                                const uint8_t *e, size_t e_len) HSM_CHECK;

/* Fill out with len octets of the token's random numbers. */
enum hsm_status hsm_random(struct hsm *h, uint8_t *out, size_t len) HSM_CHECK;

/* What a private key may be used for: bits, and nothing else it can be. */
#define HSM_USE_SIGN    1u
#define HSM_USE_DECRYPT 2u /* with the value given to the caller */
#define HSM_USE_DERIVE  4u
#define HSM_USE_UNWRAP  8u /* of secrets, RSA only */

/*
 * Make a key pair in the token: persistent, sensitive, never extractable.
 * bits counts for RSA only, curve for EC only.  uri names the pair by `object`
 * and may give an `id`; one of 16 random octets is made otherwise.
 * HSM_ERR_DENIED if a private key of that name is there already.
 */
enum hsm_status hsm_generate(struct hsm *h, enum hsm_key_type type,
                             enum hsm_curve curve, size_t bits, unsigned use,
                             const char *uri, struct hsm_key **out) HSM_CHECK;

#endif
