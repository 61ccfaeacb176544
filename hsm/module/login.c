/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PIN: where it comes from, and that none is sent twice that was refused.
 */
#include "../internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum hsm_status hsm_pin_read(const char *path, char pin[HSM_PIN_MAX],
                             size_t *len)
{
    enum hsm_status st = HSM_OK;
    struct stat sb;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return hsm_fail(HSM_ERR_CONFIG, "%s: %s", path, strerror(errno));
    if (fstat(fd, &sb) != 0 || !S_ISREG(sb.st_mode)
        || (sb.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        st = hsm_fail(HSM_ERR_CONFIG,
                      "%s: must be a file that only its owner can read", path);
    } else if ((n = read(fd, pin, HSM_PIN_MAX)) <= 0
               || (size_t)n == HSM_PIN_MAX) {
        st = hsm_fail(HSM_ERR_CONFIG, "%s: empty or too long", path);
    }
    close(fd);
    if (st != HSM_OK)
        return st;
    *len = 0;
    while (*len < (size_t)n && pin[*len] != '\n' && pin[*len] != '\r')
        ++*len;
    if (*len == 0) /* would cost one of the tries */
        return hsm_fail(HSM_ERR_CONFIG, "%s: its first line is empty", path);
    return HSM_OK;
}

/* A PIN that was refused is known by its digest, under a salt of our own. */
static bool digest(struct hsm *h, const char *pin, size_t len,
                   uint8_t out[HSM_MAC_LEN])
{
    uint8_t text[sizeof(h->pin_salt) + HSM_PIN_MAX];
    bool ok;

    memcpy(text, h->pin_salt, sizeof(h->pin_salt));
    memcpy(text + sizeof(h->pin_salt), pin, len);
    ok = EVP_Q_digest(NULL, "SHA256", NULL, text, sizeof(h->pin_salt) + len,
                      out, NULL);
    OPENSSL_cleanse(text, sizeof(text));
    return ok;
}

static enum hsm_status send_pin(struct hsm *h, CK_SESSION_HANDLE s,
                                const char *pin, size_t len)
{
    uint8_t own[HSM_MAC_LEN];
    CK_TOKEN_INFO now;
    enum hsm_status st;

    if (!digest(h, pin, len, own))
        return hsm_fail(HSM_ERR_MEMORY, "no digest of a PIN");
    if (h->pin_refused && memcmp(own, h->refused, sizeof(own)) == 0)
        return hsm_fail(HSM_ERR_PIN, "refused before, not sent again");
    if ((st = HSM_CALL(h, C_GetTokenInfo, h->slot, &now)) != HSM_OK)
        return st;
    if (h->user == CKU_USER && (now.flags & CKF_USER_PIN_FINAL_TRY))
        return hsm_fail(HSM_ERR_PIN, "not sent: one more that is wrong would "
                                     "lock the token");
    st = HSM_CALL(h, C_Login, s, h->user, (CK_UTF8CHAR *)(uintptr_t)pin, len);
    if (st == HSM_ERR_PIN) {
        h->pin_refused = true;
        memcpy(h->refused, own, sizeof(own));
    }
    atomic_store(&h->logged_in, st == HSM_OK);
    return st;
}

enum hsm_status hsm_pin_login(struct hsm *h)
{
    char pin[HSM_PIN_MAX];
    size_t len = 0;
    enum hsm_status st = HSM_OK;

    if (h->pin != NULL) {
        st = send_pin(h, h->anchor, h->pin, strlen(h->pin));
    } else if (h->pin_file != NULL) {
        if ((st = hsm_pin_read(h->pin_file, pin, &len)) == HSM_OK)
            st = send_pin(h, h->anchor, pin, len);
        OPENSSL_cleanse(pin, sizeof(pin)); /* all of it, on every path */
    }
    return st;
}

bool hsm_pin_init(struct hsm *h, const char *pin)
{
    /* Not OpenSSL's: a provider that is being loaded would fix the process's
     * generator before its configuration has been read. */
    return getrandom(h->pin_salt, sizeof(h->pin_salt), 0)
               == (ssize_t)sizeof(h->pin_salt)
           && (pin == NULL || hsm_pin_keep(h, pin));
}

bool hsm_pin_keep(struct hsm *h, const char *pin)
{
    char *copy = strdup(pin);

    if (copy == NULL)
        return false;
    (void)mlock(copy, strlen(copy)); /* as far as the system lets us */
    hsm_pin_forget(h);
    h->pin = copy;
    return true;
}

void hsm_pin_forget(struct hsm *h)
{
    if (h->pin != NULL)
        OPENSSL_cleanse(h->pin, strlen(h->pin));
    free(h->pin);
    h->pin = NULL;
}

/* ---- logging in later ---- */

/* pin-value, or the file of pin-source; HSM_ERR_NOT_FOUND: neither. */
static enum hsm_status uri_pin(P11KitUri *uri, char pin[HSM_PIN_MAX],
                               size_t *len)
{
    const char *value = p11_kit_uri_get_pin_value(uri);
    const char *source = p11_kit_uri_get_pin_source(uri);

    if (value != NULL) {
        *len = strlen(value);
        if (*len < 1 || *len >= HSM_PIN_MAX)
            return hsm_fail(HSM_ERR_PARAM, "pin-value is empty or too long");
        memcpy(pin, value, *len);
        return HSM_OK;
    }
    if (source == NULL)
        return HSM_ERR_NOT_FOUND;
    if (strncmp(source, "file:", 5) == 0)
        source += 5;
    if (source[0] != '/')
        return hsm_fail(HSM_ERR_PARAM, "pin-source must be an absolute path");
    return hsm_pin_read(source, pin, len);
}

static enum hsm_status login_now(struct hsm *h, char pin[HSM_PIN_MAX],
                                 size_t len, bool keep)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st != HSM_OK)
        return st;
    if (!atomic_load(&h->logged_in)) {
        st = send_pin(h, s, pin, len);
        pin[len] = '\0';
        if (st == HSM_OK && keep && !hsm_pin_keep(h, pin))
            st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
    }
    hsm_session_put(h, s, st == HSM_OK);
    return st;
}

enum hsm_status module_unlock(struct hsm *h, const char *text, hsm_ask_fn *ask,
                              void *arg, bool keep)
{
    char pin[HSM_PIN_MAX], label[sizeof(h->token.label) + 1];
    size_t len = 0;
    P11KitUri *uri = NULL;
    enum hsm_status st = hsm_uri_parse(h, text, &uri);

    if (st != HSM_OK)
        return st;
    if (h->no_login || atomic_load(&h->logged_in)
        || !(h->token.flags & CKF_LOGIN_REQUIRED))
        goto out;
    st = uri_pin(uri, pin, &len);
    if (st == HSM_OK)
        st = login_now(h, pin, len, true); /* the URI's is no secret of ours */
    if (st != HSM_ERR_NOT_FOUND)
        goto out;
    st = HSM_OK; /* what is public can be had without */
    memcpy(label, h->token.label, sizeof(h->token.label));
    label[sizeof(h->token.label)] = '\0';
    if (ask != NULL && ask(arg, label, pin, HSM_PIN_MAX - 1, &len) && len > 0)
        st = login_now(h, pin, len, keep);
out:
    OPENSSL_cleanse(pin, sizeof(pin));
    p11_kit_uri_free(uri);
    return st;
}
