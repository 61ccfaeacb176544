/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of hsm/ share; nobody else includes this. */
#ifndef HSM_INTERNAL_H
#define HSM_INTERNAL_H

#include "hsm.h"

#include <libp11.h>
#include <openssl/err.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/*
 * Lock order: the connecting lock of connect.c, then hsm.lock.  No C_*() call
 * is made under the latter.
 */
struct hsm_pool {
    CK_SESSION_HANDLE *idle;
    size_t n_idle, n_open, max;
};

struct hsm_module;
struct hsm_agent;

/*
 * What a struct hsm is served by: a module in this process (module/), or an
 * agent's (agent/).  What is named as in hsm.h does what is said there, where
 * hsm.c has not said it already.
 *
 * connect: under the connecting lock, nobody having a session.
 * close: the end, under that lock, too.
 * forked: in a child, in place of close; what was open is the parent's.
 * alive: is the connection as it was left?
 * destroy, forget: of a session object and a key whose last reference is gone.
 */
#define HSM_OPS(X)                                                          \
    X(enum hsm_status, connect, (struct hsm * h))                           \
    X(void, close, (struct hsm * h))                                        \
    X(void, forked, (struct hsm * h))                                       \
    X(bool, alive, (const struct hsm *h))                                   \
    X(void, destroy, (struct hsm_secret * s))                               \
    X(void, forget, (struct hsm_key * key))                                 \
    X(enum hsm_status, tokens,                                              \
      (struct hsm * h, const char *uri, char ***uris, size_t *n))           \
    X(enum hsm_status, unlock,                                              \
      (struct hsm * h, const char *uri, hsm_ask_fn *ask, void *arg,         \
       bool keep))                                                          \
    X(enum hsm_status, find,                                                \
      (struct hsm * h, const char *uri, unsigned classes,                   \
       struct hsm_object **objs, size_t *n))                                \
    X(enum hsm_status, sign,                                                \
      (struct hsm_key * key, const struct hsm_sign_params *p,               \
       const uint8_t *tbs, size_t tbs_len, uint8_t *sig, size_t *sig_len))  \
    X(enum hsm_status, decrypt,                                             \
      (struct hsm_key * key, const struct hsm_decrypt_params *p,            \
       const uint8_t *in, size_t in_len, uint8_t *out, size_t *len))        \
    X(enum hsm_status, ecdh,                                                \
      (struct hsm_key * key, const uint8_t *peer, size_t peer_len,          \
       uint8_t *out, size_t *len))                                          \
    X(enum hsm_status, secret_find,                                         \
      (struct hsm * h, const char *uri, struct hsm_secret **out))           \
    X(enum hsm_status, kek_find,                                            \
      (struct hsm * h, const char *uri, struct hsm_secret **out))           \
    X(enum hsm_status, import,                                              \
      (struct hsm * h, const uint8_t *value, size_t len,                    \
       enum hsm_travel travel, struct hsm_secret **out))                    \
    X(enum hsm_status, derive,                                              \
      (struct hsm_secret * key, const uint8_t *msg, size_t len,             \
       enum hsm_travel travel, struct hsm_secret **out))                    \
    X(enum hsm_status, extract,                                             \
      (struct hsm_secret * key, const uint8_t *salt, size_t len,            \
       enum hsm_travel travel, struct hsm_secret **out))                    \
    X(enum hsm_status, p_sha256,                                            \
      (struct hsm_secret * key, const uint8_t *seed, size_t len,            \
       size_t out_len, enum hsm_travel travel, struct hsm_secret **out))    \
    X(enum hsm_status, mac,                                                 \
      (struct hsm_secret * key, const uint8_t *msg, size_t len,             \
       uint8_t out[HSM_MAC_LEN]))                                           \
    X(enum hsm_status, wrap_aes,                                            \
      (struct hsm_secret * kek, struct hsm_secret * s, uint8_t * out,       \
       size_t * len))                                                       \
    X(enum hsm_status, unwrap_aes,                                          \
      (struct hsm_secret * kek, const uint8_t *in, size_t in_len,           \
       enum hsm_travel travel, struct hsm_secret **out))                    \
    X(enum hsm_status, wrap_rsa,                                            \
      (struct hsm * h, const uint8_t *n, size_t n_len, const uint8_t *e,    \
       size_t e_len, struct hsm_secret *s, uint8_t *out, size_t *len))      \
    X(enum hsm_status, unwrap_rsa,                                          \
      (struct hsm_key * key, const uint8_t *in, size_t in_len,              \
       size_t secret_len, enum hsm_travel travel, struct hsm_secret **out)) \
    X(enum hsm_status, random, (struct hsm * h, uint8_t * out, size_t len)) \
    X(enum hsm_status, generate,                                            \
      (struct hsm * h, enum hsm_key_type type, enum hsm_curve curve,        \
       size_t bits, unsigned use, const char *uri, struct hsm_key **out))

struct hsm_backend {
#define X(ret, name, args) ret(*name) args;
    HSM_OPS(X)
#undef X
};
#define X(ret, name, args) ret module_##name args;
HSM_OPS(X)
#undef X
extern const struct hsm_backend hsm_module_backend, hsm_agent_backend;

struct hsm {
    struct hsm
        *next; /* of all in the process; guarded by the connecting lock */

    /* Read-only after hsm_new(). */
    const struct hsm_backend *be;
    char *path, *token_uri, *pin_file, *init_args;
    bool no_login, no_finalize;
    CK_USER_TYPE user;
    bool transient, wrap_any;

    /*
     * The connection, made anew when it is lost.  Written only while nobody
     * has a session, hence read-only for whoever has one.
     */
    struct hsm_agent *agent; /* of the agent's back end alone */
    struct hsm_module *module;
    CK_FUNCTION_LIST *p11;
    CK_SLOT_ID slot;
    CK_INFO library; /* to compare URIs with, like the next */
    CK_TOKEN_INFO token;
    enum hsm_rung rung;
    bool has_pipeline; /* CKM_SP800_108_DOUBLE_PIPELINE_KDF */
    bool has_extract;  /* CKM_HKDF_DERIVE */
    atomic_bool logged_in;
    char *pin; /* that is kept; or NULL */
    bool pin_refused;
    uint8_t refused[HSM_MAC_LEN]; /* its digest with pin_salt */
    uint8_t pin_salt[16];
    CK_SESSION_HANDLE anchor; /* stays open: login is lost with the last */

    atomic_uint epoch;       /* counts connections; object handles are of one */
    atomic_ulong transients; /* see hsm_transients() */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool connected, connecting; /* guarded by lock, like all below */
    unsigned frozen;            /* threads that want nobody inside */
    unsigned busy;              /* sessions that are lent */
    struct hsm_pool pool;       /* for operations */
    /*
     * Session objects die with the session that made them, so these do
     * nothing that could leave an operation active, and are closed only
     * when they are lost.
     */
    struct hsm_pool owners;
};

struct hsm_secret {
    atomic_uint refs;
    struct hsm *hsm;
    CK_OBJECT_HANDLE h; /* or the agent's number */
    unsigned epoch;     /* the connection that it is of */
    size_t len;
    bool token;  /* a token object, not to be destroyed */
    char *label; /* of a token object; or NULL */
};

/* The attributes that every secret gets; room for two more. */
struct hsm_secret_tmpl {
    CK_OBJECT_CLASS cls;
    CK_KEY_TYPE type;
    CK_BBOOL yes, no, extractable;
    CK_ULONG len;
    CK_ATTRIBUTE a[10];
};
/* The number of attributes filled in. */
CK_ULONG hsm_secret_tmpl_fill(struct hsm_secret_tmpl *t, const struct hsm *h,
                              enum hsm_travel travel);
/*
 * The token's RSA public key that may wrap and is equal, or, with wrap_any,
 * one that is made; and to wrap by it.
 */
enum hsm_status hsm_wrapping_key(struct hsm *h, const uint8_t *n, size_t n_len,
                                 const uint8_t *e, size_t e_len,
                                 struct hsm_secret **key) HSM_CHECK;
enum hsm_status hsm_wrap_oaep(struct hsm_secret *key, struct hsm_secret *s,
                              uint8_t *out, size_t *len) HSM_CHECK;
/* For an object that was found or made in a session that is not put yet. */
enum hsm_status hsm_secret_new(struct hsm *h, CK_OBJECT_HANDLE obj, size_t len,
                               struct hsm_secret **out) HSM_CHECK;
/*
 * The secret for an object that a call of status st has made, or not, in
 * session s of hsm_owner_get(), which is put.
 */
enum hsm_status hsm_secret_made(struct hsm *h, CK_SESSION_HANDLE s,
                                enum hsm_status st, CK_OBJECT_HANDLE obj,
                                size_t len, struct hsm_secret **out) HSM_CHECK;
/* hsm_open() as user or security officer. */
enum hsm_status hsm_open_as(const struct hsm_config *cfg, CK_USER_TYPE user,
                            struct hsm **out) HSM_CHECK;

struct hsm_key {
    atomic_uint refs;
    struct hsm *hsm;
    /* The object, and the connection that its handle is of: found again in
     * another one, by what follows.  See hsm_key_handle(). */
    atomic_ulong h;
    atomic_uint epoch;
    CK_OBJECT_CLASS cls;
    CK_KEY_TYPE type;
    uint8_t *id, *label;
    size_t id_len, label_len;
    struct hsm_key_info info; /* a and b are owned by the key */
};

/*
 * Record fn and rv for hsm_last_error(), say what to do about rv, and go back
 * to the mark of HSM_CALL().
 */
enum hsm_status hsm_status_from_ck(const char *fn, CK_RV rv);
/* Record a failure that is not PKCS#11's. */
enum hsm_status hsm_fail(enum hsm_status st, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * A module in this process may use OpenSSL itself, as SoftHSM does, and leave
 * errors of its own on the caller's queue: they are taken off it again.
 */
#define HSM_CALL(hsm, fn, ...) \
    (hsm_call_begin(), hsm_status_from_ck(#fn, (hsm)->p11->fn(__VA_ARGS__)))
void hsm_call_begin(void);
/* The same end for what is not PKCS#11's; gives st. */
enum hsm_status hsm_call_end(const char *what, enum hsm_status st);

/* Is the process at its end?  Then no module may be called. */
bool hsm_exiting(void);

/*
 * Around calls into a module: a client of a process that has died raises
 * SIGPIPE, which must not kill ours; and a module that forks must not wait
 * for itself.  They nest.
 */
void hsm_enter(void);
void hsm_leave(void);

/*
 * Connect if there is no connection.  Caller holds h->lock, which is left
 * meanwhile.
 */
enum hsm_status hsm_connected_locked(struct hsm *h) HSM_CHECK;
/* What was made on the connection is lost.  Caller holds h->lock. */
void hsm_disconnected_locked(struct hsm *h);
/* The module, loaded or brought back, and the token, logged in.  Caller has
 * seen to it that nobody has a session. */
enum hsm_status hsm_module_open(struct hsm *h, bool again) HSM_CHECK;
void hsm_module_close(struct hsm *h);
/* Nobody has a session of any other struct hsm of the module. */
void hsm_others_freeze(const struct hsm *h);
void hsm_others_thaw(const struct hsm *h);
/* In a forked child: all modules are to be initialized again. */
void hsm_modules_forked(void);
/* Load the module, if nobody has. */
enum hsm_status hsm_load(struct hsm *h) HSM_CHECK;
/* The only token that the configured URI names. */
enum hsm_status hsm_token_choose(struct hsm *h) HSM_CHECK;
/* Does the URI match this token, its slot and the module? */
bool hsm_uri_matches(struct hsm *h, P11KitUri *uri, CK_SLOT_ID slot,
                     CK_TOKEN_INFO *info);
/* Log in on the anchor with the PIN that is configured, if one is. */
enum hsm_status hsm_pin_login(struct hsm *h) HSM_CHECK;
/* The first line of a file that must be its owner's alone; wipe it. */
enum hsm_status hsm_pin_read(const char *path, char pin[HSM_PIN_MAX],
                             size_t *len) HSM_CHECK;
bool hsm_pin_init(struct hsm *h, const char *pin);
bool hsm_pin_keep(struct hsm *h, const char *pin);
void hsm_pin_forget(struct hsm *h);

/* The connection of the last session that the thread had, or of hsm_use(). */
extern _Thread_local unsigned hsm_seen;
/* Use the connection, without a session; then hsm_unuse(). */
enum hsm_status hsm_use(struct hsm *h) HSM_CHECK;
/* The same, if it is that one and still there. */
bool hsm_use_of(struct hsm *h, unsigned epoch);
void hsm_unuse(struct hsm *h);
/* That connection is lost, unless somebody has connected anew meanwhile. */
void hsm_lost(struct hsm *h);

/*
 * After a failure with st: might it do now?  True, once, if the session was
 * lost or the connection is; the next session is had on a new one then.
 */
bool hsm_again(struct hsm *h, enum hsm_status st);
/* st = call, twice at the most. */
#define HSM_RETRY(h, st, call)    \
    do {                          \
        (st) = (call);            \
        if (hsm_again((h), (st))) \
            (st) = (call);        \
    } while (0)

/* Borrow a session; blocks while all are in use.  put with s invalid: no-op.
 * A session whose call failed is closed rather than pooled. */
enum hsm_status hsm_session_get(struct hsm *h, CK_SESSION_HANDLE *s) HSM_CHECK;
void hsm_session_put(struct hsm *h, CK_SESSION_HANDLE s, bool ok);
/* The same for one that is to make session objects. */
enum hsm_status hsm_owner_get(struct hsm *h, CK_SESSION_HANDLE *s) HSM_CHECK;
/* st is that of what was done with it: one that is lost is forgotten. */
void hsm_owner_put(struct hsm *h, CK_SESSION_HANDLE s, enum hsm_status st);
bool hsm_pool_init(struct hsm_pool *pool, size_t max);
/* Close what is idle; caller holds hsm.lock or is alone. */
void hsm_pool_drop(struct hsm *h, struct hsm_pool *pool);
/* Caller has a session: is the secret of that connection?  Or HSM_ERR_GONE. */
enum hsm_status hsm_secret_live(const struct hsm_secret *secret) HSM_CHECK;
/* After a failure with st: it may be that the handle is not the key's. */
void hsm_key_doubt(struct hsm_key *key, enum hsm_status st);
/* The key's object on the present connection. */
enum hsm_status hsm_key_handle(struct hsm_key *key, CK_SESSION_HANDLE s,
                               CK_OBJECT_HANDLE *obj) HSM_CHECK;

/* A digest's mechanism, and that of MGF1 with it. */
CK_MECHANISM_TYPE hsm_hash_mech(enum hsm_hash hash);
CK_RSA_PKCS_MGF_TYPE hsm_hash_mgf(enum hsm_hash hash);

/* One of variable length, with an octet more of room; the caller frees *out. */
enum hsm_status hsm_attr_get(struct hsm *h, CK_SESSION_HANDLE s,
                             CK_OBJECT_HANDLE obj, CK_ATTRIBUTE_TYPE type,
                             uint8_t **out, size_t *len) HSM_CHECK;
/* A boolean attribute; false if the object has none such. */
enum hsm_status hsm_flag(struct hsm *h, CK_SESSION_HANDLE s,
                         CK_OBJECT_HANDLE obj, CK_ATTRIBUTE_TYPE type,
                         bool *on) HSM_CHECK;
void hsm_no_leading_zeros(const uint8_t **p, size_t *len);

/* What the token derives with; called once it is open. */
enum hsm_status hsm_rungs_find(struct hsm *h) HSM_CHECK;

/* Parse uri; HSM_ERR_NOT_FOUND if it names a token other than h's. */
enum hsm_status hsm_uri_parse(struct hsm *h, const char *uri,
                              P11KitUri **out) HSM_CHECK;
/* Make the key for object obj of class cls, reading its public part. */
enum hsm_status hsm_key_load(struct hsm *h, CK_SESSION_HANDLE s,
                             CK_OBJECT_HANDLE obj, CK_OBJECT_CLASS cls,
                             struct hsm_key **out) HSM_CHECK;
/* Objects that match the template; *n is the room on entry. */
enum hsm_status hsm_find_handles(struct hsm *h, CK_SESSION_HANDLE s,
                                 CK_ATTRIBUTE *tmpl, size_t n_tmpl,
                                 CK_OBJECT_HANDLE *objs, size_t *n) HSM_CHECK;

/* DER of the curve's name, as CKA_EC_PARAMS has it. */
struct hsm_curve_name {
    enum hsm_key_type type;
    enum hsm_curve curve;
    size_t point_len;
    size_t len;
    uint8_t der[16];
};
extern const struct hsm_curve_name hsm_curve_names[];
extern const size_t hsm_n_curve_names;

#endif
