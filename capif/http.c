/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LENGTH_DIGITS 18
#define SIZE_DIGITS   15
#define TRAILER_MAX   8192

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_tchar(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* The octets of a token at the beginning. */
static size_t token(const char *text)
{
    size_t n = 0;

    while (is_tchar(text[n]))
        n++;
    return n;
}

static bool value_ok(const char *value)
{
    for (const unsigned char *p = (const unsigned char *)value; *p != 0; p++)
        if ((*p < ' ' && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

/* ---- the head ---- */

/* Cut off the line at *p, which ends with CR LF; NULL: it doesn't. */
static char *next_line(char **p)
{
    char *line = *p, *end = strchr(line, '\n');

    if (end == NULL || end == line || end[-1] != '\r')
        return NULL;
    end[-1] = '\0';
    *p = end + 1;
    return strchr(line, '\r') == NULL ? line : NULL;
}

/* method SP request-target SP HTTP-version */
static int request_line(struct capif_head *head, char *line)
{
    char *target, *version;
    size_t n = token(line);

    if (n == 0 || line[n] != ' ')
        return 400;
    line[n] = '\0';
    target = line + n + 1;
    n = strcspn(target, " ");
    if (target[n] != ' ')
        return 400;
    target[n] = '\0';
    version = target + n + 1;
    for (const char *p = target; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '#')
            return 400;
    if (target[0] != '/' && strcmp(target, "*") != 0)
        return 400;
    head->method = line;
    head->target = target;
    head->old = strcmp(version, "HTTP/1.0") == 0;
    if (head->old || strcmp(version, "HTTP/1.1") == 0)
        return 0;
    return strlen(version) == 8 && strncmp(version, "HTTP/", 5) == 0
                   && is_digit(version[5]) && version[6] == '.'
                   && is_digit(version[7])
               ? 505
               : 400;
}

static int field_line(struct capif_head *head, char *line)
{
    size_t n = token(line), len;
    char *value;

    if (n == 0 || line[n] != ':')
        return 400;
    if (head->n_fields == CAPIF_FIELDS_MAX)
        return 431;
    line[n] = '\0';
    value = line + n + 1;
    value += strspn(value, " \t");
    len = strlen(value);
    while (len > 0 && strchr(" \t", value[len - 1]) != NULL)
        len--;
    value[len] = '\0';
    if (!value_ok(value))
        return 400;
    head->fields[head->n_fields++] = (struct capif_field){ line, value };
    return 0;
}

/* Is word one of a list's elements? */
static bool list_names(const char *list, const char *word)
{
    size_t len = strlen(word), n;

    for (; *list != '\0'; list += n) {
        list += strspn(list, ", \t");
        n = strcspn(list, ", \t");
        if (n == len && strncasecmp(list, word, len) == 0)
            return true;
    }
    return false;
}

static bool read_length(const char *text, int64_t *out)
{
    size_t n = strspn(text, "0123456789");

    if (n == 0 || n > LENGTH_DIGITS || text[n] != '\0')
        return false;
    *out = strtoll(text, NULL, 10);
    return true;
}

/* What the fields say of the message itself (RFC 9112 3.2, 6 and 9). */
static int framing(struct capif_head *head)
{
    size_t hosts = 0, lengths = 0, codings = 0;

    head->close = head->old;
    for (size_t i = 0; i < head->n_fields; i++) {
        const char *name = head->fields[i].name;
        const char *value = head->fields[i].value;

        if (strcasecmp(name, "Host") == 0) {
            hosts++;
        } else if (strcasecmp(name, "Content-Length") == 0) {
            if (lengths++ > 0 || !read_length(value, &head->length))
                return 400;
        } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
            if (codings++ > 0)
                return 400;
            if (strcasecmp(value, "chunked") != 0)
                return 501;
            head->chunked = true;
        } else if (strcasecmp(name, "Connection") == 0) {
            head->close = head->close || list_names(value, "close");
        } else if (strcasecmp(name, "Expect") == 0) {
            if (strcasecmp(value, "100-continue") != 0)
                return 417;
            head->expects = !head->old;
        }
    }
    if (lengths + codings > 1 || (codings > 0 && head->old) || hosts > 1
        || (hosts == 0 && !head->old))
        return 400;
    return 0;
}

int capif_head_parse(struct capif_head *head, char *text, size_t len)
{
    char *p = text, *line;
    int status;

    memset(head, 0, sizeof(*head));
    head->text = text;
    head->method = head->target = "";
    if (strlen(text) != len || (line = next_line(&p)) == NULL)
        return 400;
    if ((status = request_line(head, line)) != 0)
        return status;
    for (;;) {
        if ((line = next_line(&p)) == NULL)
            return 400;
        if (line[0] == '\0')
            break;
        if ((status = field_line(head, line)) != 0)
            return status;
    }
    return framing(head);
}

void capif_head_clear(struct capif_head *head)
{
    free(head->text);
    memset(head, 0, sizeof(*head));
}

const char *capif_head_field(const struct capif_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_fields; i++)
        if (strcasecmp(head->fields[i].name, name) == 0)
            return head->fields[i].value;
    return NULL;
}

/* ---- chunks ---- */

enum line { LINE_NONE, LINE_BAD, LINE_OK };

/* Take a line of up to max octets, with its CR LF, out of in. */
static enum line take_line(struct evbuffer *in, char *out, size_t max,
                           size_t *len)
{
    struct evbuffer_ptr at = evbuffer_search(in, "\n", 1, NULL);

    if (at.pos < 0)
        return evbuffer_get_length(in) > max ? LINE_BAD : LINE_NONE;
    *len = (size_t)at.pos + 1;
    if (*len > max || *len < 2)
        return LINE_BAD;
    evbuffer_remove(in, out, *len);
    if (out[*len - 2] != '\r')
        return LINE_BAD;
    out[*len - 2] = '\0';
    return strlen(out) == *len - 2 && value_ok(out) ? LINE_OK : LINE_BAD;
}

static enum line read_size(struct capif_chunks *c, struct evbuffer *in)
{
    char text[SIZE_DIGITS + 3];
    size_t len, n;
    enum line found = take_line(in, text, SIZE_DIGITS + 2, &len);

    if (found != LINE_OK)
        return found;
    n = strspn(text, "0123456789abcdefABCDEF");
    if (n == 0 || text[n] != '\0')
        return LINE_BAD;
    c->left = strtoull(text, NULL, 16);
    c->at = c->left > 0 ? CAPIF_CHUNK_DATA : CAPIF_CHUNK_TRAILER;
    return LINE_OK;
}

static enum line read_trailer(struct capif_chunks *c, struct evbuffer *in)
{
    char text[TRAILER_MAX];
    size_t len;
    enum line found = take_line(in, text, TRAILER_MAX - c->trailer, &len);

    if (found != LINE_OK)
        return found;
    c->trailer += len;
    if (text[0] == '\0')
        c->at = CAPIF_CHUNK_LAST;
    else if (token(text) == 0 || text[token(text)] != ':')
        return LINE_BAD;
    return LINE_OK;
}

static enum line read_end(struct capif_chunks *c, struct evbuffer *in)
{
    char text[2];

    if (evbuffer_get_length(in) < 2)
        return LINE_NONE;
    evbuffer_remove(in, text, 2);
    c->at = CAPIF_CHUNK_SIZE;
    return memcmp(text, "\r\n", 2) == 0 ? LINE_OK : LINE_BAD;
}

/* LINE_NONE: there is no more now, or no room. */
static enum line read_data(struct capif_chunks *c, struct evbuffer *in,
                           struct evbuffer *out, size_t *room)
{
    size_t n = evbuffer_get_length(in);

    if (n > c->left)
        n = (size_t)c->left;
    if (n > *room)
        n = *room;
    if (n == 0)
        return LINE_NONE;
    if (evbuffer_remove_buffer(in, out, n) != (int)n)
        return LINE_BAD;
    *room -= n;
    if ((c->left -= n) == 0)
        c->at = CAPIF_CHUNK_END;
    return LINE_OK;
}

bool capif_chunks_read(struct capif_chunks *c, struct evbuffer *in,
                       struct evbuffer *out, size_t max)
{
    enum line found = LINE_OK;

    while (found == LINE_OK && c->at != CAPIF_CHUNK_LAST) {
        switch (c->at) {
        case CAPIF_CHUNK_SIZE:
            found = read_size(c, in);
            break;
        case CAPIF_CHUNK_DATA:
            found = read_data(c, in, out, &max);
            break;
        case CAPIF_CHUNK_END:
            found = read_end(c, in);
            break;
        case CAPIF_CHUNK_TRAILER:
        case CAPIF_CHUNK_LAST:
            found = read_trailer(c, in);
            break;
        }
    }
    return found != LINE_BAD;
}

/* ---- answers ---- */

const char *capif_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } known[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].status == status)
            return known[i].reason;
    return "";
}
