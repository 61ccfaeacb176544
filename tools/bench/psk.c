/* SPDX-License-Identifier: Apache-2.0 */
/*
 * psk-bench: handshakes of TLS 1.3 with PSKs against servers that take turns.
 *
 * Standard input has a server a line: PORT IDENTITY KEY, the key in
 * hexadecimal.  There is a line of output a round: the microseconds from
 * connect() to the end of the client's handshake, for each server.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SERVERS_MAX 4
#define KEY_LEN     32

struct server {
    uint16_t port;
    char identity[512];
    unsigned char key[KEY_LEN];
};

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id,
                   size_t *id_len, SSL_SESSION **out)
{
    static const unsigned char suite[] = { 0x13, 0x01 };
    const struct server *s = SSL_get_app_data(ssl);
    SSL_SESSION *session = SSL_SESSION_new();

    (void)md;
    if (session == NULL || !SSL_SESSION_set1_master_key(session, s->key, 32)
        || !SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite))
        || !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
        SSL_SESSION_free(session);
        return 0;
    }
    *id = (const unsigned char *)s->identity;
    *id_len = strlen(s->identity);
    *out = session;
    return 1;
}

static SSL_CTX *client(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION)
        || !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256")
        || !SSL_CTX_set1_groups_list(ctx, "X25519")) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_psk_use_session_callback(ctx, use_psk);
    return ctx;
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Microseconds, or less than 0 if there was no handshake by the PSK. */
static double shake(SSL_CTX *ctx, struct server *s)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(s->port),
                                    .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *ssl = SSL_new(ctx);
    double began = now_us(), took = -1;

    if (fd >= 0 && ssl != NULL && SSL_set_app_data(ssl, s)
        && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0
        && SSL_set_fd(ssl, fd) && SSL_connect(ssl) == 1
        && SSL_session_reused(ssl)) {
        took = now_us() - began;
        (void)SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    if (fd >= 0)
        close(fd);
    return took;
}

static bool read_server(const char *line, struct server *s)
{
    char hex[2 * KEY_LEN + 1];
    size_t len;

    return sscanf(line, "%hu %511s %64s", &s->port, s->identity, hex) == 3
           && OPENSSL_hexstr2buf_ex(s->key, KEY_LEN, &len, hex, '\0')
           && len == KEY_LEN;
}

static bool rounds(SSL_CTX *ctx, struct server *servers, size_t n, long count)
{
    double took[SERVERS_MAX];

    for (long r = 0; r < count; r++) {
        for (size_t i = 0; i < n; i++) {
            const size_t which = (i + (size_t)r) % n;

            took[which] = shake(ctx, &servers[which]);
            if (took[which] < 0) {
                fprintf(stderr, "psk-bench: no handshake with port %d\n",
                        servers[which].port);
                ERR_print_errors_fp(stderr);
                return false;
            }
        }
        for (size_t i = 0; i < n; i++)
            printf("%.1f%c", took[i], i + 1 < n ? ' ' : '\n');
    }
    return true;
}

int main(int argc, char **argv)
{
    struct server servers[SERVERS_MAX];
    SSL_CTX *ctx = client();
    long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    char line[1024];
    size_t n = 0;
    bool ok = ctx != NULL && count > 0;

    while (ok && fgets(line, sizeof(line), stdin) != NULL)
        ok = n < SERVERS_MAX && read_server(line, &servers[n++]);
    if (!ok)
        fprintf(stderr, "usage: psk-bench ROUNDS < SERVERS\n");
    ok = ok && rounds(ctx, servers, n, count);
    SSL_CTX_free(ctx);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
