/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's head, and what follows it as a body in chunks: in one piece or
 * octet by octet, the same comes out.
 */
#include "http.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The body; *ok: well formed so far. */
static struct evbuffer *read_all(const uint8_t *data, size_t size, size_t piece,
                                 bool *ok, bool *last)
{
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    struct capif_chunks c = { 0 };

    if (in == NULL || out == NULL)
        abort();
    *ok = true;
    for (size_t i = 0; *ok && i < size; i += piece) {
        evbuffer_add(in, data + i, size - i < piece ? size - i : piece);
        *ok = capif_chunks_read(&c, in, out, SIZE_MAX);
    }
    *last = c.at == CAPIF_CHUNK_LAST;
    evbuffer_free(in);
    return out;
}

static void check_chunks(const uint8_t *data, size_t size)
{
    bool ok[2], last[2];
    struct evbuffer *a = read_all(data, size, size, &ok[0], &last[0]);
    struct evbuffer *b = read_all(data, size, 1, &ok[1], &last[1]);
    size_t len = evbuffer_get_length(a);

    if (ok[0] != ok[1] || last[0] != last[1])
        abort();
    if (ok[0]
        && (evbuffer_get_length(b) != len
            || (len > 0
                && memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), len)
                       != 0)))
        abort();
    evbuffer_free(a);
    evbuffer_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct capif_head head;
    char *text = malloc(size + 1);

    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (capif_head_parse(&head, text, size) == 0) {
        if (head.target[0] != '/' && strcmp(head.target, "*") != 0)
            abort();
        if (head.chunked && capif_head_field(&head, "Content-Length") != NULL)
            abort();
        for (size_t i = 0; i < head.n_fields; i++)
            if (strpbrk(head.fields[i].value, "\r\n") != NULL)
                abort();
    }
    capif_head_clear(&head);
    if (size > 0)
        check_chunks(data, size);
    return 0;
}
