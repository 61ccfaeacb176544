/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider for the invoker's side of a test: TLS13-KDF and TLS1-PRF of the
 * default provider, every secret that goes through them written to the file
 * that RECORDER_FILE names, as lines of a class, a name and hexadecimal
 * digits.  Both ends of a connection share these values, which is how a test
 * knows what to look for in the other's memory.
 *
 * It offers what libssl uses of a KDF, which gives all parameters with the
 * derivation, and no more.  Its name in the configuration must sort before
 * `default`, for libssl to come here.  RECORDER_TAG=1e says that the peer is a
 * CCF, where a handshake's secrets are of class 2; else they are of class 3
 * (design 2).  With RECORDER_HOLD, the invoker waits once it has a connection's
 * exporter master secret, in the middle of the handshake as the peer sees it,
 * until the file of that name is gone.
 */
#include <fcntl.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX  64
#define NAME_ROOM  64
#define LABEL_MAX  256
#define SECRET_MAX 512
#define KNOWN_MAX  256
#define HOLD_TRIES 2000 /* of 10 ms */

/* What a value is, which says what follows from it. */
enum kind {
    UNKNOWN,
    NO_PSK, /* the early secret of no PSK at all: a constant */
    EARLY,
    BINDER,
    HANDSHAKE,
    MASTER,
    EXP_MASTER,
    EXPORTER,
    TRAFFIC,
};

struct known {
    uint8_t value[VALUE_MAX];
    size_t len;
    enum kind kind;
    char name[NAME_ROOM];
};

struct recorder {
    OSSL_LIB_CTX *libctx; /* its own, of the default provider alone */
    OSSL_PROVIDER *base;
    pthread_mutex_t lock;
    struct known known[KNOWN_MAX]; /* guarded by lock, like the next */
    size_t n_known;                /* ever; the oldest go first */
};

struct octets {
    uint8_t data[SECRET_MAX];
    size_t len;
};

struct kdf {
    struct recorder *rec;
    const char *algorithm;
    EVP_KDF_CTX *soft;
    int mode;
    char md[32], prefix[32], label[LABEL_MAX];
    struct octets key, salt, seed;
};

static OSSL_FUNC_kdf_newctx_fn tls13_newctx, prf_newctx;
static OSSL_FUNC_kdf_freectx_fn kdf_free;
static OSSL_FUNC_kdf_derive_fn tls13_derive, prf_derive;
OSSL_provider_init_fn OSSL_provider_init;

/* ---- what is written ---- */

static void record(char class, const char *name, const uint8_t *value,
                   size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const char *path = getenv("RECORDER_FILE");
    char line[NAME_ROOM + 2 * SECRET_MAX + 8];
    int fd, n;

    if (path == NULL || len < 8 || len > SECRET_MAX)
        return;
    n = snprintf(line, NAME_ROOM + 4, "%c.%s ", class, name);
    for (char *p = line; p < line + n - 1; p++)
        if (*p == ' ')
            *p = '-';
    for (size_t i = 0; i < len; i++) {
        line[n++] = digits[value[i] >> 4];
        line[n++] = digits[value[i] & 15];
    }
    line[n++] = '\n';
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        abort(); /* a test that lacks a secret is worse than none */
    (void)close(fd);
}

/* Of a handshake: of class 2 where a key for other connections follows. */
static char session_class(void)
{
    const char *tag = getenv("RECORDER_TAG");

    return tag != NULL && strcmp(tag, "1e") == 0 ? '2' : '3';
}

static void hold(void)
{
    const char *path = getenv("RECORDER_HOLD");
    const struct timespec pause = { 0, 10000000 };
    int fd, n = 0;

    if (path == NULL)
        return;
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        abort();
    (void)close(fd);
    while (access(path, F_OK) == 0 && n++ < HOLD_TRIES)
        (void)nanosleep(&pause, NULL);
}

/* ---- what is known of a value ---- */

static struct known find(struct recorder *rec, const struct octets *value)
{
    struct known found = { .kind = UNKNOWN };

    pthread_mutex_lock(&rec->lock);
    for (size_t i = 0; i < rec->n_known && i < KNOWN_MAX; i++)
        if (rec->known[i].len == value->len
            && memcmp(rec->known[i].value, value->data, value->len) == 0)
            found = rec->known[i];
    pthread_mutex_unlock(&rec->lock);
    return found;
}

static void learn(struct recorder *rec, enum kind kind, const char *name,
                  const uint8_t *value, size_t len)
{
    struct known *k;

    if (len > VALUE_MAX)
        return;
    pthread_mutex_lock(&rec->lock);
    k = &rec->known[rec->n_known++ % KNOWN_MAX];
    memcpy(k->value, value, len);
    k->len = len;
    k->kind = kind;
    snprintf(k->name, sizeof(k->name), "%.*s", NAME_ROOM - 1, name);
    pthread_mutex_unlock(&rec->lock);
}

/* ---- TLS 1.3 ---- */

static bool all_zero(const struct octets *o)
{
    uint8_t acc = 0;

    for (size_t i = 0; i < o->len; i++)
        acc |= o->data[i];
    return acc == 0;
}

/* The default provider's derivation makes and wipes this inside. */
static void record_derived(const struct kdf *k, const struct known *salt,
                           size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(k->rec->libctx, k->algorithm, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    uint8_t hash[EVP_MAX_MD_SIZE], out[EVP_MAX_MD_SIZE];
    size_t hash_len = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)k->md,
                                         0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)k->salt.data, k->salt.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, "derived", 7),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, hash, len),
        OSSL_PARAM_construct_end(),
    };

    if (ctx == NULL
        || !EVP_Q_digest(k->rec->libctx, k->md, NULL, "", 0, hash, &hash_len)
        || hash_len != len || EVP_KDF_derive(ctx, out, len, params) <= 0)
        abort();
    if (salt->kind == EARLY)
        record('1', "psk-derived", out, len);
    else
        record(session_class(), "tls13-derived", out, len);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

static void extracted(const struct kdf *k, const uint8_t *out, size_t len)
{
    struct known salt = find(k->rec, &k->salt);

    if (k->salt.len == 0 && all_zero(&k->key)) {
        learn(k->rec, NO_PSK, "", out, len);
    } else if (k->salt.len == 0) {
        record('1', "AEFPSK", k->key.data, k->key.len);
        record('1', "psk-early", out, len);
        learn(k->rec, EARLY, "", out, len);
    } else if (salt.kind == EARLY || salt.kind == NO_PSK) {
        if (salt.kind == EARLY)
            record_derived(k, &salt, len);
        record('3', "ecdhe", k->key.data, k->key.len);
        record(session_class(), "tls13-handshake", out, len);
        learn(k->rec, HANDSHAKE, "", out, len);
    } else if (salt.kind == HANDSHAKE) {
        record_derived(k, &salt, len);
        record(session_class(), "tls13-master", out, len);
        learn(k->rec, MASTER, "", out, len);
    }
}

static void expanded(const struct kdf *k, const uint8_t *out, size_t len)
{
    struct known from = find(k->rec, &k->key);
    char name[NAME_ROOM + LABEL_MAX];

    switch (from.kind) {
    case EARLY:
        record('1', "psk-binder", out, len);
        learn(k->rec, BINDER, "", out, len);
        break;
    case BINDER:
        record('1', "psk-finished", out, len);
        break;
    case MASTER:
        if (strcmp(k->label, "exp master") == 0) {
            record(session_class(), "tls13-exp-master", out, len);
            learn(k->rec, EXP_MASTER, "", out, len);
            hold();
            break;
        }
        if (strcmp(k->label, "res master") == 0) {
            record(session_class(), "tls13-res-master", out, len);
            break;
        }
        /* fall through */
    case HANDSHAKE:
        record('3', k->label, out, len);
        learn(k->rec, TRAFFIC, k->label, out, len);
        break;
    case EXP_MASTER:
        record(session_class(), "tls13-exporter", out, len);
        /* What follows from this label is public by RFC 9266. */
        if (strcmp(k->label, "EXPORTER-Channel-Binding") != 0)
            learn(k->rec, EXPORTER, "", out, len);
        break;
    case EXPORTER:
        record(session_class(), "tls13-exported", out, len);
        break;
    case TRAFFIC:
        snprintf(name, sizeof(name), "%s %s", from.name, k->label);
        record('3', name, out, len);
        break;
    case UNKNOWN:
    case NO_PSK:
        break;
    }
}

static bool take(struct kdf *k, const OSSL_PARAM params[]);

static int tls13_derive(void *vk, unsigned char *out, size_t len,
                        const OSSL_PARAM params[])
{
    struct kdf *k = vk;

    if (!take(k, params) || EVP_KDF_derive(k->soft, out, len, params) <= 0)
        return 0;
    if (k->mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
        extracted(k, out, len);
    else if (k->mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY)
        expanded(k, out, len);
    return 1;
}

/* ---- TLS 1.2 ---- */

static bool labelled(const struct kdf *k, const char *label)
{
    size_t len = strlen(label);

    return k->seed.len >= len && memcmp(k->seed.data, label, len) == 0;
}

static int prf_derive(void *vk, unsigned char *out, size_t len,
                      const OSSL_PARAM params[])
{
    struct kdf *k = vk;

    if (!take(k, params) || EVP_KDF_derive(k->soft, out, len, params) <= 0)
        return 0;
    if (labelled(k, "extended master secret") || labelled(k, "master secret")) {
        record('3', "tls12-premaster", k->key.data, k->key.len);
        record(session_class(), "tls12-master", out, len);
        hold();
    } else if (labelled(k, "key expansion")) {
        record('3', "tls12-key-block", out, len);
    }
    return 1;
}

/* ---- what both have ---- */

static bool take_octets(const OSSL_PARAM params[], const char *name,
                        struct octets *o)
{
    const OSSL_PARAM *p = params;
    const void *data;
    bool first = true;
    size_t n;

    /* Several seeds are one. */
    while ((p = OSSL_PARAM_locate_const(p, name)) != NULL) {
        if (first)
            o->len = 0;
        first = false;
        if (!OSSL_PARAM_get_octet_string_ptr(p++, &data, &n)
            || n > sizeof(o->data) - o->len)
            return false;
        if (n > 0)
            memcpy(o->data + o->len, data, n);
        o->len += n;
    }
    return true;
}

static bool take_label(const OSSL_PARAM params[], char *out, size_t room)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_LABEL);
    const void *data = NULL;
    size_t n = 0;

    if (p == NULL)
        return true;
    if (!OSSL_PARAM_get_octet_string_ptr(p, &data, &n) || n >= room)
        return false;
    memcpy(out, data, n);
    out[n] = '\0';
    return true;
}

static bool take(struct kdf *k, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p;
    char *md = k->md;

    if (params == NULL)
        return true;
    p = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_DIGEST);
    if (p != NULL && !OSSL_PARAM_get_utf8_string(p, &md, sizeof(k->md)))
        return false;
    p = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MODE);
    if (p != NULL && !OSSL_PARAM_get_int(p, &k->mode))
        return false;
    return take_octets(params, OSSL_KDF_PARAM_KEY, &k->key)
           && take_octets(params, OSSL_KDF_PARAM_SECRET, &k->key)
           && take_octets(params, OSSL_KDF_PARAM_SALT, &k->salt)
           && take_octets(params, OSSL_KDF_PARAM_SEED, &k->seed)
           && take_label(params, k->label, sizeof(k->label));
}

static struct kdf *kdf_new(struct recorder *rec, const char *algorithm)
{
    struct kdf *k = calloc(1, sizeof(*k));
    EVP_KDF *kdf = EVP_KDF_fetch(rec->libctx, algorithm, NULL);

    if (k != NULL) {
        k->rec = rec;
        k->algorithm = algorithm;
        k->soft = EVP_KDF_CTX_new(kdf);
    }
    EVP_KDF_free(kdf);
    if (k == NULL || k->soft != NULL)
        return k;
    free(k);
    return NULL;
}

static void *tls13_newctx(void *rec)
{
    return kdf_new(rec, OSSL_KDF_NAME_TLS1_3_KDF);
}

static void *prf_newctx(void *rec)
{
    return kdf_new(rec, OSSL_KDF_NAME_TLS1_PRF);
}

static void kdf_free(void *vk)
{
    struct kdf *k = vk;

    if (k == NULL)
        return;
    EVP_KDF_CTX_free(k->soft);
    OPENSSL_cleanse(k, sizeof(*k));
    free(k);
}

static const OSSL_DISPATCH tls13_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))tls13_newctx },
    { OSSL_FUNC_KDF_FREECTX, (void (*)(void))kdf_free },
    { OSSL_FUNC_KDF_DERIVE, (void (*)(void))tls13_derive },
    { 0, NULL },
};

static const OSSL_DISPATCH prf_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))prf_newctx },
    { OSSL_FUNC_KDF_FREECTX, (void (*)(void))kdf_free },
    { OSSL_FUNC_KDF_DERIVE, (void (*)(void))prf_derive },
    { 0, NULL },
};

static const OSSL_ALGORITHM kdfs[] = {
    { OSSL_KDF_NAME_TLS1_3_KDF, "provider=recorder", tls13_functions,
      "TLS13-KDF, recorded" },
    { OSSL_KDF_NAME_TLS1_PRF, "provider=recorder", prf_functions,
      "TLS1-PRF, recorded" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM *query(void *vrec, int operation, int *no_cache)
{
    (void)vrec;
    *no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static void teardown(void *vrec)
{
    struct recorder *rec = vrec;

    OSSL_PROVIDER_unload(rec->base);
    OSSL_LIB_CTX_free(rec->libctx);
    pthread_mutex_destroy(&rec->lock);
    free(rec);
}

static const OSSL_DISPATCH recorder_functions[] = {
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
    { OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown },
    { 0, NULL },
};

int OSSL_provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **provctx)
{
    struct recorder *rec = calloc(1, sizeof(*rec));

    (void)core;
    (void)in;
    if (rec == NULL)
        return 0;
    pthread_mutex_init(&rec->lock, NULL);
    rec->libctx = OSSL_LIB_CTX_new();
    rec->base =
        rec->libctx != NULL ? OSSL_PROVIDER_load(rec->libctx, "default") : NULL;
    if (rec->base == NULL) {
        teardown(rec);
        return 0;
    }
    *out = recorder_functions;
    *provctx = rec;
    return 1;
}
