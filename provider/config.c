/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider's section: our own names, and those that users of
 * pkcs11-provider know.  A wrong value names its option.
 */
#include "sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_DEFAULT 16
#define TIMEOUT_DEFAULT  30
#define SEALED_DEFAULT   8192 /* aefd's 1024 PSKs take five each */

/* Everything that may be set: our name, and the other's or NULL. */
#define OPTIONS(X)                                          \
    X(module, "pkcs11-module", "pkcs11-module-path")        \
    X(agent, "agent", NULL)                                 \
    X(token, "token", NULL)                                 \
    X(pin_file, "pin-file", NULL)                           \
    X(pin_credential, "pin-credential", NULL)               \
    X(pin, NULL, "pkcs11-module-token-pin")                 \
    X(pin_cache, "pin-cache", "pkcs11-module-cache-pins")   \
    X(login, "login", "pkcs11-module-login-behavior")       \
    X(load, "load", "pkcs11-module-load-behavior")          \
    X(sessions, "sessions", "pkcs11-module-cache-sessions") \
    X(init_args, "init-args", "pkcs11-module-init-args")    \
    X(quirks, "quirks", "pkcs11-module-quirks")             \
    X(derive, "derive", NULL)                               \
    X(wrap, "wrap", NULL)                                   \
    X(secrets, "secrets", NULL)                             \
    X(timeout, "handshake-timeout", NULL)                   \
    X(sealed_max, "sealed-max", NULL)                       \
    X(trace, "trace", NULL)                                 \
    X(export, NULL, "pkcs11-module-allow-export")           \
    X(block, NULL, "pkcs11-module-block-operations")        \
    X(fips, NULL, "pkcs11-module-assume-fips")

enum {
#define X(id, own, other) id,
    OPTIONS(X)
#undef X
        N_OPTIONS
};

struct options {
    const char *name[N_OPTIONS]; /* by which it was set */
    char *text[N_OPTIONS];       /* NULL: it was not */
};

static const char *const names[N_OPTIONS][2] = {
#define X(id, own, other) [id] = { own, other },
    OPTIONS(X)
#undef X
};

/* A number of the configuration; def if it isn't there. */
static bool take_number(const struct prov_ctx *prov, const struct options *o,
                        size_t id, size_t min, size_t max, size_t def,
                        size_t *out)
{
    const char *name = o->name[id], *text = o->text[id];
    char *end = NULL;
    unsigned long n;

    *out = def;
    if (text == NULL)
        return true;
    n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < min || n > max) {
        prov_raise(prov, PROV_E_CONFIG, "%s = %s: must be %zu to %zu", name,
                   text, min, max);
        return false;
    }
    *out = n;
    return true;
}

/* One of two words, the first of which is the default. */
static bool take_word(const struct prov_ctx *prov, const struct options *o,
                      size_t id, const char *const words[2], bool *out)
{
    const char *name = o->name[id], *text = o->text[id];

    *out = text != NULL && strcmp(text, words[1]) == 0;
    if (text == NULL || *out || strcmp(text, words[0]) == 0)
        return true;
    prov_raise(prov, PROV_E_CONFIG, "%s = %s: must be %s or %s", name, text,
               words[0], words[1]);
    return false;
}

static bool wrong(const struct prov_ctx *prov, const struct options *o,
                  size_t id, const char *must)
{
    prov_raise(prov, PROV_E_CONFIG, "%s = %s: must be %s", o->name[id],
               o->text[id], must);
    return false;
}

static bool is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

/* Both names; the first one that is set counts. */
static bool read_options(struct prov_ctx *prov,
                         OSSL_FUNC_core_get_params_fn *get_params,
                         struct options *o)
{
    memset(o, 0, sizeof(*o));
    for (size_t i = 0; i < N_OPTIONS; i++) {
        for (size_t k = 0; k < 2 && o->text[i] == NULL; k++) {
            OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_ptr(names[i][k], &o->text[i], 0),
                OSSL_PARAM_END,
            };

            if (names[i][k] != NULL && !get_params(prov->core, params))
                return false;
            o->name[i] = names[i][k];
        }
    }
    return true;
}

/* ---- one kind after the other ---- */

static bool copy(const char *from, const char **to)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *to != NULL;
}

/* The file that systemd has put the credential in (systemd.exec(5)). */
static bool credential(struct prov_ctx *prov, const struct options *o)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];

    if (strchr(o->text[pin_credential], '/') != NULL)
        return wrong(prov, o, pin_credential, "a name without a slash");
    if (dir == NULL) {
        prov_raise(prov, PROV_E_CONFIG,
                   "pin-credential = %s: there is no CREDENTIALS_DIRECTORY",
                   o->text[pin_credential]);
        return false;
    }
    snprintf(path, sizeof(path), "%s/%s", dir, o->text[pin_credential]);
    return copy(path, &prov->cfg.pin_file);
}

static bool take_pin(struct prov_ctx *prov, const struct options *o)
{
    const char *text = o->text[pin];
    int given = (o->text[pin_file] != NULL) + (o->text[pin_credential] != NULL)
                + (text != NULL);

    if (given > 1) {
        prov_raise(prov, PROV_E_CONFIG,
                   "pin-file, pin-credential, %s: one of these", names[pin][1]);
        return false;
    }
    if (o->text[pin_credential] != NULL)
        return credential(prov, o);
    if (text == NULL)
        return copy(o->text[pin_file], &prov->cfg.pin_file);
    if (strncmp(text, "file:", 5) == 0)
        return copy(text + 5, &prov->cfg.pin_file);
    if (text[0] == '\0' || strlen(text) >= HSM_PIN_MAX) {
        prov_raise(prov, PROV_E_CONFIG, "%s: empty or too long", o->name[pin]);
        return false;
    }
    return copy(text, &prov->cfg.pin);
}

/* Words of pkcs11-provider; what we never do needs no workaround. */
static bool take_quirks(struct prov_ctx *prov, const struct options *o)
{
    static const char *const known[] = { "no-deinit", "no-operation-state",
                                         "no-session-callbacks",
                                         "no-allowed-mechanisms" };
    const char *text = o->text[quirks];
    size_t len, i;

    for (; text != NULL && *text != '\0'; text += strspn(text, " ,")) {
        len = strcspn(text, " ,");
        for (i = 0; i < 4; i++)
            if (strlen(known[i]) == len && strncmp(known[i], text, len) == 0)
                break;
        if (i == 4)
            return wrong(prov, o, quirks,
                         "no-deinit, no-operation-state, "
                         "no-session-callbacks, no-allowed-mechanisms");
        prov->cfg.no_finalize = prov->cfg.no_finalize || i == 0;
        text += len;
    }
    return true;
}

static bool take_behaviour(struct prov_ctx *prov, const struct options *o)
{
    if (o->text[login] != NULL && !is(o->text[login], "auto")
        && !is(o->text[login], "always") && !is(o->text[login], "never"))
        return wrong(prov, o, login, "auto, always or never");
    prov->cfg.no_login = is(o->text[login], "never");
    if (o->text[pin_cache] != NULL && !is(o->text[pin_cache], "cache")
        && !is(o->text[pin_cache], "yes") && !is(o->text[pin_cache], "no"))
        return wrong(prov, o, pin_cache, "yes or no");
    prov->keep_pin =
        o->text[pin_cache] != NULL && !is(o->text[pin_cache], "no");
    if (o->text[load] != NULL && !is(o->text[load], "early")
        && !is(o->text[load], "lazy"))
        return wrong(prov, o, load, "lazy or early");
    /* What would have to be done, and is not. */
    if (o->text[export] != NULL && !is(o->text[export], "0"))
        return wrong(prov, o, export, "0: public keys can be had");
    if (o->text[block] != NULL)
        return wrong(prov, o, block, "left out: nothing is blocked");
    if (o->text[fips] != NULL && !is(o->text[fips], "false"))
        return wrong(prov, o, fips, "false: this is no FIPS module");
    return take_quirks(prov, o);
}

static bool take_secrets(struct prov_ctx *prov, const struct options *o,
                         size_t *entries)
{
    static const char *const derive_words[] = { "in-token", "transient" };
    static const char *const wrap_words[] = { "trusted", "any" };
    static const char *const secret_words[] = { "stay", "travel" };
    size_t seconds = 0;
    bool travel = false;

    if (!take_number(prov, o, timeout, 1, 3600, TIMEOUT_DEFAULT, &seconds)
        || !take_number(prov, o, sealed_max, 16, 1048576, SEALED_DEFAULT,
                        entries)
        || !take_word(prov, o, derive, derive_words, &prov->cfg.transient)
        || !take_word(prov, o, wrap, wrap_words, &prov->cfg.wrap_any)
        || !take_word(prov, o, secrets, secret_words, &travel))
        return false;
    prov->tls_seconds = (unsigned)seconds;
    prov->travel = travel ? HSM_TRAVEL_WRAPPED : HSM_TRAVEL_NEVER;
    return true;
}

/* What is the agent's to say, or to do (capif-hsmd.cnf(5)). */
static bool agent_alone(const struct prov_ctx *prov, const struct options *o)
{
    static const unsigned char theirs[] = {
        module, pin_file,  pin_credential, pin,  pin_cache,
        login,  init_args, quirks,         wrap, sessions
    };

    for (size_t i = 0; i < sizeof(theirs); i++) {
        if (o->text[theirs[i]] == NULL)
            continue;
        prov_raise(prov, PROV_E_CONFIG, "%s: with an agent, it is the agent's",
                   o->name[theirs[i]]);
        return false;
    }
    if (is(o->text[derive], "transient"))
        return wrong(prov, o, derive, "left out: the agent derives");
    return true;
}

static bool take_token(struct prov_ctx *prov, const struct options *o)
{
    size_t from = o->text[agent] != NULL ? agent : module;

    if (from == agent && !agent_alone(prov, o))
        return false;
    if (o->text[from] == NULL || o->text[from][0] != '/') {
        prov_raise(prov, PROV_E_CONFIG,
                   from == agent
                       ? "agent must be an absolute path"
                       : "pkcs11-module must be an absolute path, or agent");
        return false;
    }
    prov->any_token = from == module && o->text[token] == NULL;
    return copy(o->text[module], &prov->cfg.module)
           && copy(o->text[agent], &prov->cfg.agent)
           && copy(o->text[token] == NULL ? "pkcs11:" : o->text[token],
                   &prov->cfg.token)
           && copy(o->text[init_args], &prov->cfg.init_args);
}

bool prov_configure(struct prov_ctx *prov,
                    OSSL_FUNC_core_get_params_fn *get_params)
{
    struct options o;
    size_t entries = 0;

    if (!read_options(prov, get_params, &o) || !take_token(prov, &o)
        || !take_number(prov, &o, sessions,
                        is(o.name[sessions], names[sessions][1]) ? 0 : 1, 1024,
                        SESSIONS_DEFAULT, &prov->cfg.sessions)
        || !take_secrets(prov, &o, &entries) || !take_behaviour(prov, &o)
        || !take_pin(prov, &o)
        || (o.text[trace] != NULL && !hsm_trace_to(o.text[trace])
            && !wrong(prov, &o, trace, "stderr or a file to write to")))
        return false;
    if (prov->cfg.sessions == 0) /* they would keep none; we have to */
        prov->cfg.sessions = 1;
    if (hsm_new(&prov->cfg, &prov->hsm) != HSM_OK
        || (prov->tokens = prov_tokens_new()) == NULL
        || (prov->sealed = sealed_table_new(prov->soft, entries)) == NULL) {
        prov_raise(prov, PROV_E_MEMORY, "in OSSL_provider_init()");
        return false;
    }
    /* Asked for early, a token that is not there is no reason to fail. */
    if (is(o.text[load], "early"))
        (void)!hsm_connect(prov->hsm);
    return true;
}

static void drop(const char *text)
{
    if (text != NULL)
        OPENSSL_cleanse((void *)(uintptr_t)text, strlen(text));
    free((void *)(uintptr_t)text);
}

void prov_config_free(struct prov_ctx *prov)
{
    drop(prov->cfg.module);
    drop(prov->cfg.agent);
    drop(prov->cfg.token);
    drop(prov->cfg.pin_file);
    drop(prov->cfg.pin);
    drop(prov->cfg.init_args);
}
