/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Needles and their patterns.  Whatever is made of a secret lies in memory
 * that is wiped before it is freed.
 */
#include "needle_index.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Of each whole and half: raw, reversed, hex twice, base64 twice at three
 * alignments.
 */
#define PATTERNS_MAX (3 * (4 + 2 * 3))

static const char base64url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const char *needle_form_name(unsigned form)
{
    static const char *const names[NEEDLE_FORMS] = {
        "raw",
        "reversed",
        "hex",
        "hex-upper",
        "base64url",
        "base64",
        "raw-half",
        "reversed-half",
        "hex-half",
        "hex-upper-half",
        "base64url-half",
        "base64-half",
    };

    return form < NEEDLE_FORMS ? names[form] : "?";
}

size_t needles_count(const struct needles *n)
{
    return n->n;
}

const char *needles_name(const struct needles *n, size_t i)
{
    return n->name[i];
}

size_t needles_longest(const struct needles *n)
{
    return n->longest;
}

void needles_free(struct needles *n)
{
    if (n == NULL)
        return;
    for (size_t i = 0; i < n->n_patterns; i++)
        OPENSSL_clear_free(n->pattern[i].octets, n->pattern[i].len);
    if (n->block != NULL)
        OPENSSL_cleanse(n->block, n->n_blocks * sizeof(*n->block));
    free(n->block);
    free(n->pattern);
    free(n->name);
    OPENSSL_cleanse(n, sizeof(*n)); /* the filter tells of blocks */
    free(n);
}

/* ---- patterns ---- */

/* One octet repeated: padding and erased memory look like that. */
static bool constant(const uint8_t *in, size_t len)
{
    return memcmp(in, in + 1, len - 1) == 0;
}

/* Takes octets, also when there is such a pattern or it fails. */
static bool pattern_add(struct needles *n, uint8_t *octets, size_t len,
                        uint32_t form)
{
    const uint32_t needle = (uint32_t)n->n;
    struct pattern *p = n->pattern + n->n_patterns;

    if (octets == NULL)
        return false;
    for (struct pattern *q = p; q > n->pattern && q[-1].needle == needle; q--) {
        if (q[-1].len == len && memcmp(q[-1].octets, octets, len) == 0) {
            OPENSSL_clear_free(octets, len);
            return true;
        }
    }
    *p = (struct pattern){ octets, len, needle, form };
    n->n_patterns++;
    if (len > n->longest)
        n->longest = len;
    if (n->shortest == 0 || len < n->shortest)
        n->shortest = len;
    return true;
}

static bool add_plain(struct needles *n, const uint8_t *in, size_t len,
                      uint32_t half)
{
    uint8_t *raw = OPENSSL_malloc(len), *reversed = OPENSSL_malloc(len);

    for (size_t i = 0; raw != NULL && reversed != NULL && i < len; i++) {
        raw[i] = in[i];
        reversed[i] = in[len - 1 - i];
    }
    /* Both are taken, whatever becomes of the other. */
    return pattern_add(n, raw, len, half + NEEDLE_RAW)
           & pattern_add(n, reversed, len, half + NEEDLE_REVERSED);
}

static bool add_hex(struct needles *n, const uint8_t *in, size_t len,
                    uint32_t form, const char *digits)
{
    uint8_t *out = OPENSSL_malloc(2 * len);

    for (size_t i = 0; out != NULL && i < len; i++) {
        out[2 * i] = (uint8_t)digits[in[i] >> 4];
        out[2 * i + 1] = (uint8_t)digits[in[i] & 15];
    }
    return pattern_add(n, out, 2 * len, form);
}

/*
 * With `before` octets in front of it, up to a multiple of three: of the
 * characters those that nothing else has a part in (RFC 4648, 4).
 */
static bool add_base64(struct needles *n, const uint8_t *in, size_t len,
                       size_t before, uint32_t form, const char *alphabet)
{
    const size_t first = (8 * before + 5) / 6, end = 8 * (before + len) / 6;
    uint8_t *out = OPENSSL_malloc(end - first);

    for (size_t i = first; out != NULL && i < end; i++) {
        size_t bit = 6 * i - 8 * before, k = bit / 8;
        unsigned two = (unsigned)in[k] << 8 | (k + 1 < len ? in[k + 1] : 0U);

        out[i - first] = (uint8_t)alphabet[two >> (10 - bit % 8) & 63];
    }
    return pattern_add(n, out, end - first, form);
}

static bool add_all(struct needles *n, const uint8_t *in, size_t len,
                    uint32_t half)
{
    bool ok =
        add_plain(n, in, len, half)
        && add_hex(n, in, len, half + NEEDLE_HEX, "0123456789abcdef")
        && add_hex(n, in, len, half + NEEDLE_HEX_UPPER, "0123456789ABCDEF");

    for (size_t before = 0; ok && before < 3; before++)
        ok = add_base64(n, in, len, before, half + NEEDLE_BASE64URL, base64url)
             && add_base64(n, in, len, before, half + NEEDLE_BASE64, base64);
    return ok;
}

static bool needle_add(struct needles *n, const uint8_t *in, size_t len)
{
    const size_t cut = len / 2;

    if (!add_all(n, in, len, 0))
        return false;
    if (cut >= NEEDLE_MIN && !constant(in, cut)
        && !add_all(n, in, cut, NEEDLE_ENCODINGS))
        return false;
    return len - cut < NEEDLE_MIN || constant(in + cut, len - cut)
           || add_all(n, in + cut, len - cut, NEEDLE_ENCODINGS);
}

/* ---- the file ---- */

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* NULL, or what is wrong. */
static const char *name_add(struct needles *n, const char *name, size_t len)
{
    if (len > NEEDLE_NAME_MAX)
        return "the name is too long";
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return "the name is not of printable ASCII";
    memcpy(n->name[n->n], name, len);
    n->name[n->n][len] = '\0';
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->name[i], n->name[n->n]) == 0)
            return "the name was there before";
    return NULL;
}

static const char *secret_add(struct needles *n, const char *hex, size_t len,
                              uint8_t *secret)
{
    for (size_t i = 0; i < len; i++)
        if (digit(hex[i]) < 0)
            return "not NAME HEX";
    if (len % 2 != 0)
        return "the secret has half an octet";
    if (len / 2 > NEEDLE_MAX)
        return "the secret has more than 4096 octets";
    for (size_t i = 0; i < len; i += 2)
        secret[i / 2] = (uint8_t)(digit(hex[i]) << 4 | digit(hex[i + 1]));
    if (len / 2 < NEEDLE_MIN)
        return "a secret of less than 8 octets would be found by chance";
    if (constant(secret, len / 2))
        return "one octet repeated would be found by chance";
    return needle_add(n, secret, len / 2) ? NULL : "out of memory";
}

static const char *line_add(struct needles *n, const char *line, size_t len)
{
    uint8_t secret[NEEDLE_MAX];
    const char *wrong;
    size_t name, hex;

    while (len > 0 && blank(line[len - 1]))
        len--;
    while (len > 0 && blank(*line)) {
        line++;
        len--;
    }
    if (len == 0 || *line == '#')
        return NULL;
    for (name = 0; name < len && !blank(line[name]);)
        name++;
    for (hex = name; hex < len && blank(line[hex]);)
        hex++;
    if (hex == len)
        return "not NAME HEX";
    if ((wrong = name_add(n, line, name)) == NULL)
        wrong = secret_add(n, line + hex, len - hex, secret);
    OPENSSL_cleanse(secret, sizeof(secret));
    if (wrong == NULL)
        n->n++;
    return wrong;
}

struct needles *needles_parse(const char *text, size_t len, char *why,
                              size_t why_len)
{
    struct needles *n = calloc(1, sizeof(*n));
    const char *wrong = NULL, *end = text + len, *eol;
    size_t lines = 1, number = 0;

    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    if (n == NULL || (n->name = calloc(lines, sizeof(*n->name))) == NULL
        || (n->pattern = calloc(lines * PATTERNS_MAX, sizeof(*n->pattern)))
               == NULL)
        wrong = "out of memory";
    for (; wrong == NULL && text < end; text = eol + (eol < end)) {
        number++;
        if ((eol = memchr(text, '\n', (size_t)(end - text))) == NULL)
            eol = end;
        wrong = line_add(n, text, (size_t)(eol - text));
    }
    if (wrong != NULL) {
        snprintf(why, why_len, "line %zu: %s", number, wrong);
    } else if (n->n == 0) {
        snprintf(why, why_len, "no secret in it");
    } else if (!needle_index(n)) {
        snprintf(why, why_len, "out of memory");
    } else {
        return n;
    }
    needles_free(n);
    return NULL;
}
