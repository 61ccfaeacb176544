/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 2048
#define VALUE_MAX    400

static bool plain(const char *s)
{
    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++)
        if (*s <= ' ' || *s >= 0x7f || strchr("\"\\=", *s) != NULL)
            return false;
    return true;
}

void capif_log_escape(const char *value, char *out, size_t room)
{
    size_t n = 0;

    if (plain(value) && strlen(value) < room) {
        memcpy(out, value, strlen(value) + 1);
        return;
    }
    out[n++] = '"';
    for (; *value != '\0' && n + 6 < room; value++) {
        unsigned char c = (unsigned char)*value;

        if (c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, room - n, "\\%c", c);
        else if (c < ' ' || c >= 0x7f)
            n += (size_t)snprintf(out + n, room - n, "\\x%02x", c);
        else
            out[n++] = (char)c;
    }
    out[n++] = '"';
    out[n] = '\0';
}

struct line {
    char text[LINE_MAX_LEN];
    size_t len;
};

static void append(struct line *l, const char *key, const char *value)
{
    char escaped[VALUE_MAX];
    size_t room = sizeof(l->text) - l->len;
    int n;

    capif_log_escape(value != NULL ? value : "-", escaped, sizeof(escaped));
    n = snprintf(l->text + l->len, room, " %s=%s", key, escaped);
    if (n > 0 && (size_t)n < room - 1)
        l->len += (size_t)n;
}

static void begin(struct line *l, const char *event, va_list ap)
{
    time_t now = time(NULL);
    struct tm tm;
    const char *key;

    gmtime_r(&now, &tm);
    l->len = strftime(l->text, sizeof(l->text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    append(l, "event", event);
    while ((key = va_arg(ap, const char *)) != NULL)
        append(l, key, va_arg(ap, const char *));
}

static void end(struct line *l)
{
    l->text[l->len++] = '\n';
    if (write(STDERR_FILENO, l->text, l->len) < 0)
        return; /* nowhere left to complain */
}

void capif_log(const char *event, ...)
{
    struct line l;
    va_list ap;

    va_start(ap, event);
    begin(&l, event, ap);
    va_end(ap);
    end(&l);
}

void capif_log_ssl(const char *event, ...)
{
    char why[VALUE_MAX - 8];
    const char *data = NULL, *reason;
    int flags = 0, shown = 0;
    struct line l;
    unsigned long e;
    va_list ap;

    va_start(ap, event);
    begin(&l, event, ap);
    va_end(ap);
    while ((e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        if (shown++ >= 3)
            continue;
        reason = ERR_reason_error_string(e);
        snprintf(why, sizeof(why), "%s%s%s", reason != NULL ? reason : "?",
                 flags & ERR_TXT_STRING && *data ? ": " : "",
                 flags & ERR_TXT_STRING ? data : "");
        append(&l, "ssl", why);
    }
    end(&l);
}
