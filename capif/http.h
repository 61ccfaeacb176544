/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif http: requests of HTTP/1.1 as they come (RFC 9112), read strictly.
 * What somebody before or behind us might understand as another request or
 * another body is refused: bare CR or LF, folded lines, two lengths, a
 * length and chunks, codings other than chunked, chunk extensions.
 */
#ifndef CAPIF_HTTP_H
#define CAPIF_HTTP_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPIF_HEAD_MAX   16384 /* octets, with the empty line at its end */
#define CAPIF_FIELDS_MAX 100

struct capif_field {
    const char *name, *value; /* without white space around it */
};

/* All strings are in text, which is owned. */
struct capif_head {
    char *text;
    const char *method, *target; /* target begins with a slash, or is "*" */
    struct capif_field fields[CAPIF_FIELDS_MAX];
    size_t n_fields;
    bool old;       /* HTTP/1.0 */
    bool close;     /* no request after this one */
    bool expects;   /* 100-continue */
    bool chunked;   /* else: */
    int64_t length; /* of the body */
};

/*
 * Takes over text: len octets and a NUL, up to and with an empty line.
 * 0, or the status to refuse it with.  capif_head_clear() in any case.
 */
int capif_head_parse(struct capif_head *head, char *text, size_t len);
void capif_head_clear(struct capif_head *head);
/* The first of that name, or NULL. */
const char *capif_head_field(const struct capif_head *head, const char *name);

/* A body in chunks (RFC 9112 7.1); starts as { 0 }. */
struct capif_chunks {
    enum {
        CAPIF_CHUNK_SIZE,
        CAPIF_CHUNK_DATA,
        CAPIF_CHUNK_END, /* of data: CR LF */
        CAPIF_CHUNK_TRAILER,
        CAPIF_CHUNK_LAST, /* all of it is read */
    } at;
    uint64_t left;  /* of the chunk */
    size_t trailer; /* octets of it */
};

/*
 * Move up to max octets of the body from in to out; false: malformed.
 * A trailer is read and dropped.
 */
bool capif_chunks_read(struct capif_chunks *c, struct evbuffer *in,
                       struct evbuffer *out, size_t max);

/* "OK" for 200, and so on; "" if there is none. */
const char *capif_reason(int status);

#endif
