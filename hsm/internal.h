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
 * Lock order: hsm_pool.lock, then nothing.  No lock is held across a C_*()
 * call.
 */
struct hsm_pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    CK_SESSION_HANDLE *idle; /* guarded by lock, like the next two */
    size_t n_idle;
    size_t n_open;
    size_t max;
};

struct hsm {
    struct hsm_module *module; /* owns C_Initialize() and C_Finalize() */
    void *dl;                  /* a second reference to the loaded module */
    CK_FUNCTION_LIST *p11;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO token; /* to compare URIs with */
    enum hsm_rung rung;
    bool has_pipeline; /* CKM_SP800_108_DOUBLE_PIPELINE_KDF */
    bool has_extract;  /* CKM_HKDF_DERIVE */
    bool transient, wrap_any;
    pid_t pid;                /* owner; all of the above are set by
                                 hsm_open(), then read-only */
    CK_SESSION_HANDLE anchor; /* stays open: login is lost with the last */
    atomic_ulong transients;  /* see hsm_transients() */
    struct hsm_pool pool;     /* for operations */
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
    CK_OBJECT_HANDLE h;
    size_t len;
    bool token; /* a token object, not to be destroyed */
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
enum hsm_status hsm_secret_new(struct hsm *h, CK_OBJECT_HANDLE obj, size_t len,
                               struct hsm_secret **out) HSM_CHECK;
void hsm_object_destroy(struct hsm *h, CK_OBJECT_HANDLE obj);
/* hsm_open() as user or security officer. */
enum hsm_status hsm_open_as(const struct hsm_config *cfg, CK_USER_TYPE user,
                            struct hsm **out) HSM_CHECK;

struct hsm_key {
    atomic_uint refs;
    struct hsm *hsm;
    CK_OBJECT_HANDLE h;
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
    (ERR_set_mark(), hsm_status_from_ck(#fn, (hsm)->p11->fn(__VA_ARGS__)))

/* May the module be called: not in a forked child, nor while exiting. */
bool hsm_alive(const struct hsm *h);

/* Borrow a session; blocks while all are in use.  put with s invalid: no-op.
 * A session whose call failed is closed rather than pooled. */
enum hsm_status hsm_session_get(struct hsm *h, CK_SESSION_HANDLE *s) HSM_CHECK;
void hsm_session_put(struct hsm *h, CK_SESSION_HANDLE s, bool ok);
/* The same for one that is to make session objects. */
enum hsm_status hsm_owner_get(struct hsm *h, CK_SESSION_HANDLE *s) HSM_CHECK;
/* st is that of what was done with it: one that is lost is forgotten. */
void hsm_owner_put(struct hsm *h, CK_SESSION_HANDLE s, enum hsm_status st);
void hsm_sessions_close(struct hsm *h);
bool hsm_pool_init(struct hsm_pool *pool, size_t max);
void hsm_pool_clear(struct hsm_pool *pool);

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
