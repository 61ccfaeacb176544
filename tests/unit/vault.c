/* SPDX-License-Identifier: Apache-2.0 */
/* See vault.h. */
#include "vault.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECRETS_MAX 4096
#define WRAPPED_MAX 72

struct vault vaults[N_VAULTS] = {
    { .name = "SoftHSM",
      .label = "unit",
      .derive = "transient",
      .uri = "pkcs11:token=unit" },
    { .name = "NSS",
      .label = "NSS Certificate DB",
      .derive = "in-token",
      .uri = "pkcs11:token=NSS%20Certificate%20DB" },
    { .name = "agent", .label = "agent", .uri = "pkcs11:token=agent" },
};

const uint8_t vault_kek[32] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

/* ---- set-up ---- */

/* The module's path; NULL if there is none. */
static const char *nss_path(void)
{
    static const char *const paths[] = {
        "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
        "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
        "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
        "/usr/lib/aarch64-linux-gnu/nss/libsoftokn3.so",
        "/usr/lib64/libsoftokn3.so",
    };
    const char *given = getenv("NSS_MODULE");

    for (size_t i = 0; given == NULL && i < sizeof(paths) / sizeof(paths[0]);
         i++)
        if (access(paths[i], R_OK) == 0)
            given = paths[i];
    return given != NULL && given[0] != '\0' ? given : NULL;
}

static void find_nss(struct vault *v)
{
    const char *given = nss_path();
    char db[64], pin[80];
    const char *const make[] = { "certutil", "-N", "-d", db, "-f", pin, NULL };

    if (given == NULL)
        return;
    assert_true(strlen(given) < sizeof(v->module));
    strcpy(v->module, given);
    snprintf(pin, sizeof(pin), "%s/nss", v->dir->dir);
    assert_int_equal(mkdir(pin, 0700), 0);
    snprintf(db, sizeof(db), "sql:%s/nss", v->dir->dir);
    snprintf(pin, sizeof(pin), "%s", v->dir->pin_file);
    assert_int_equal(token_run(make), 0);
    snprintf(v->init_args, sizeof(v->init_args),
             "configdir='%s' certPrefix='' keyPrefix='' secmod='secmod.db' "
             "flags=",
             db);
    v->there = true;
}

/* Known to the test, unlike what `capif-hsm kek` makes. */
void vault_make_kek(const struct vault *v)
{
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE t[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_TOKEN, &yes, sizeof(yes) },
        { CKA_SENSITIVE, &yes, sizeof(yes) },
        { CKA_WRAP, &yes, sizeof(yes) },
        { CKA_UNWRAP, &yes, sizeof(yes) },
        { CKA_LABEL, (void *)(uintptr_t) "kek", 3 },
        { CKA_VALUE, (void *)(uintptr_t)vault_kek, sizeof(vault_kek) },
    };
    CK_SESSION_HANDLE s = vault_session(v);
    CK_OBJECT_HANDLE o;

    assert_int_equal(v->p11->C_CreateObject(s, t, sizeof(t) / sizeof(t[0]), &o),
                     CKR_OK);
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
}

/* Each gets a shim of its own: a copy, which is loaded as another module. */
void vault_shim(const struct vault *v, const char *module, char path[128])
{
    const char *shim = getenv("SHIM_P11");
    const char *const cp[] = { "cp", shim, path, NULL };

    assert_non_null(shim);
    assert_int_equal(setenv("SHIM_P11_MODULE", module, 1), 0);
    snprintf(path, 128, "%s/shim-%s.so", v->dir->dir, v->name);
    assert_int_equal(token_run(cp), 0);
}

static void map(struct vault *v, bool shimmed)
{
    CK_C_GetFunctionList get;
    char path[128];

    if (shimmed) {
        vault_shim(v, v->module, path);
        strcpy(v->module, path);
    }
    /* Once unmapped, LSan could not name the module, nor lsan.supp. */
    v->mapped = dlopen(v->module, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    assert_non_null(v->mapped);
    *(void **)&get = dlsym(v->mapped, "C_GetFunctionList");
    assert_true(get != NULL && get(&v->p11) == CKR_OK);
    *(void **)&v->calls = dlsym(v->mapped, "shim_count");
    *(void **)&v->calls_reset = dlsym(v->mapped, "shim_reset");
    *(void **)&v->hide = dlsym(v->mapped, "shim_hide");
    assert_int_equal(v->calls != NULL && v->calls_reset != NULL, shimmed);
}

static void vault_open(struct vault *v, bool shimmed)
{
    uint8_t handle[sizeof(vault_kek)];
    struct hsm_config cfg;
    struct hsm *h = NULL;
    struct section s;

    if (v == &vaults[AGENT]) {
        vault_agent_open(v);
    } else {
        map(v, shimmed);
        cfg = vault_config(v);
        assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
        vault_make_kek(v);
        hsm_close(h);
    }
    s = vault_section(v);
    s.secrets = "travel";
    v->ctx = token_load(v->dir, &s);
    /* The provider opens the token at its first use. */
    vault_seal(v, vault_kek, sizeof(vault_kek), 60, handle);
    assert_true(vault_release(v->ctx, handle, sizeof(handle)));
    vault_expect(v, 0);
}

/* A group's state would stand in the way of the tests' own. */
static void *dir;

static int setup(bool shimmed)
{
    assert_int_equal(token_setup(&dir), 0);
    for (size_t i = 0; i < N_VAULTS; i++) {
        vaults[i].dir = dir;
        strcpy(vaults[i].pin_file, vaults[i].dir->pin_file);
    }
    strcpy(vaults[SOFTHSM].module, vaults[SOFTHSM].dir->softhsm);
    vaults[SOFTHSM].there = true;
    find_nss(&vaults[NSS]);
    vault_agent_token(&vaults[AGENT]);
    for (size_t i = 0; i < N_VAULTS; i++)
        if (vaults[i].there)
            vault_open(&vaults[i], shimmed);
    return 0;
}

int vaults_setup(void **state)
{
    (void)state;
    return setup(false);
}

int vaults_setup_shimmed(void **state)
{
    (void)state;
    return setup(true);
}

int vaults_teardown(void **state)
{
    for (size_t i = 0; i < N_VAULTS; i++) {
        OSSL_LIB_CTX_free(vaults[i].ctx);
        if (i == AGENT)
            vault_agent_close(&vaults[i]);
        if (vaults[i].mapped != NULL)
            dlclose(vaults[i].mapped);
    }
    (void)state;
    return token_teardown(&dir);
}

/* cmocka's skip() is a failure in TAP, so they are left out. */
int vaults_run(const char *name, struct CMUnitTest *tests, size_t n,
               CMFixtureFunction set_up)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        if (tests[i].initial_state != &vaults[NSS] || nss_path() != NULL)
            tests[left++] = tests[i];
    if (left < n)
        printf("# no libsoftokn3.so (set NSS_MODULE): %zu tests left out\n",
               n - left);
    return _cmocka_run_group_tests(name, tests, left, set_up, vaults_teardown);
}

struct section vault_section(const struct vault *v)
{
    const struct section behind = { .agent = vault_agent_socket(),
                                    .token = v->uri };
    const struct section s = {
        .module = v->module,
        .token = v->uri,
        .pin_file = v->pin_file,
        .sessions = "4",
        .init_args = v->init_args[0] != '\0' ? v->init_args : NULL,
        .derive = v->derive,
        .wrap = "any",
    };

    return v == &vaults[AGENT] ? behind : s;
}

struct hsm_config vault_config(const struct vault *v)
{
    const struct hsm_config behind = { .agent = vault_agent_socket(),
                                       .token = v->uri,
                                       .sessions = 4 };
    const struct hsm_config cfg = {
        .module = v->module,
        .token = v->uri,
        .pin_file = v->pin_file,
        .sessions = 4,
        .init_args = v->init_args[0] != '\0' ? v->init_args : NULL,
        .transient = v == &vaults[SOFTHSM],
    };

    return v == &vaults[AGENT] ? behind : cfg;
}

/* ---- past hsm/ ---- */

CK_SLOT_ID vault_slot(const struct vault *v)
{
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;
    CK_TOKEN_INFO info;

    assert_int_equal(v->p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    for (CK_ULONG i = 0; i < n; i++) {
        assert_int_equal(v->p11->C_GetTokenInfo(slots[i], &info), CKR_OK);
        if (memcmp(info.label, v->label, strlen(v->label)) == 0)
            return slots[i];
    }
    fail_msg("%s: no token", v->name);
    return 0;
}

CK_SESSION_HANDLE vault_session(const struct vault *v)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;

    assert_int_equal(v->p11->C_OpenSession(vault_slot(v),
                                           CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                           NULL, NULL, &s),
                     CKR_OK);
    return s;
}

static CK_ULONG find(const struct vault *v, CK_SESSION_HANDLE s,
                     CK_KEY_TYPE type, CK_OBJECT_HANDLE *out, CK_ULONG max)
{
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_ATTRIBUTE t[] = { { CKA_CLASS, &cls, sizeof(cls) },
                         { CKA_KEY_TYPE, &type, sizeof(type) } };
    CK_ULONG n = 0, more = 1;

    assert_int_equal(v->p11->C_FindObjectsInit(s, t, 2), CKR_OK);
    for (; more > 0 && n < max; n += more)
        assert_int_equal(v->p11->C_FindObjects(s, out + n, max - n, &more),
                         CKR_OK);
    assert_int_equal(v->p11->C_FindObjectsFinal(s), CKR_OK);
    return n;
}

CK_OBJECT_HANDLE vault_token_secret(const struct vault *v, CK_SESSION_HANDLE s,
                                    const uint8_t *value, size_t len)
{
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE t[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_TOKEN, &yes, sizeof(yes) },
        { CKA_SENSITIVE, &yes, sizeof(yes) },
        { CKA_EXTRACTABLE, &yes, sizeof(yes) },
        { CKA_SIGN, &yes, sizeof(yes) },
        { CKA_DERIVE, &yes, sizeof(yes) },
        { CKA_LABEL, (void *)(uintptr_t) "key", 3 },
        { CKA_VALUE, (void *)(uintptr_t)value, len },
    };
    CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

    assert_int_equal(v->p11->C_CreateObject(s, t, sizeof(t) / sizeof(t[0]), &o),
                     CKR_OK);
    return o;
}

CK_ULONG vault_secrets(const struct vault *v, CK_OBJECT_HANDLE *out,
                       CK_ULONG max)
{
    CK_SESSION_HANDLE s = vault_session(v);
    CK_ULONG n = find(v, s, CKK_GENERIC_SECRET, out, max);

    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    return n;
}

CK_ULONG vault_count(const struct vault *v)
{
    CK_OBJECT_HANDLE all[SECRETS_MAX];

    return vault_secrets(v, all, SECRETS_MAX)
           + (v->live != NULL ? v->live(NULL, 0) : 0);
}

/* As in vault.h, between least and most; three seconds at the longest. */
static void expect(const struct vault *v, CK_ULONG least, CK_ULONG most)
{
    const struct timespec wait = { 0, 1000000 };
    CK_ULONG n = vault_count(v);

    for (int i = 0; v->live != NULL && (n < least || n > most) && i < 3000;
         i++) {
        nanosleep(&wait, NULL);
        n = vault_count(v);
    }
    assert_in_range(n, least, most);
}

void vault_expect(const struct vault *v, CK_ULONG n)
{
    expect(v, n, n);
}

void vault_expect_most(const struct vault *v, CK_ULONG max)
{
    expect(v, 0, max);
}

static bool is_wrapped(const uint8_t *wrapped, size_t n, const uint8_t *value,
                       size_t len)
{
    uint8_t got[WRAPPED_MAX];

    return n == len + 8 && vault_unwrap(wrapped, n, got)
           && memcmp(got, value, len) == 0;
}

static bool agent_holds(const struct vault *v, const uint8_t *value, size_t len)
{
    static struct shim_secret all[64];
    CK_ULONG n = v->live(all, 64);
    bool found = false;

    assert_in_range(n, 0, 64);
    for (CK_ULONG i = 0; i < n && !found; i++)
        found = is_wrapped(all[i].wrapped, all[i].len, value, len);
    return found;
}

bool vault_holds(const struct vault *v, const uint8_t *value, size_t len)
{
    CK_MECHANISM m = { CKM_AES_KEY_WRAP, NULL, 0 };
    CK_SESSION_HANDLE s = vault_session(v);
    CK_OBJECT_HANDLE all[64], kek = CK_INVALID_HANDLE;
    uint8_t wrapped[WRAPPED_MAX];
    CK_ULONG n = find(v, s, CKK_GENERIC_SECRET, all, 64);
    bool found = v->live != NULL && agent_holds(v, value, len);

    assert_int_equal(find(v, s, CKK_AES, &kek, 1), 1);
    for (CK_ULONG i = 0; i < n && !found; i++) {
        CK_ULONG room = sizeof(wrapped);

        found = v->p11->C_WrapKey(s, &m, kek, all[i], wrapped, &room) == CKR_OK
                && is_wrapped(wrapped, room, value, len);
    }
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    return found;
}

CK_BBOOL vault_flag(const struct vault *v, CK_OBJECT_HANDLE obj,
                    CK_ATTRIBUTE_TYPE type)
{
    CK_SESSION_HANDLE s = vault_session(v);
    CK_BBOOL flag = 0x77;
    CK_ATTRIBUTE a = { type, &flag, sizeof(flag) };

    assert_int_equal(v->p11->C_GetAttributeValue(s, obj, &a, 1), CKR_OK);
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    return flag;
}
