/* SPDX-License-Identifier: Apache-2.0 */
/* See net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    struct net *net = arg;

    (void)fd;
    (void)what;
    net->stuck = true;
    event_base_loopbreak(net->base);
}

void net_free_address(char address[32])
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    snprintf(address, 32, "127.0.0.1:%d", ntohs(in.sin_port));
}

static struct capif_credentials member_of(enum capif_role role, const char *dns,
                                          X509 *ca, EVP_PKEY *ca_key)
{
    struct capif_credentials cred = { soft_key(NULL, 0), NULL, NULL };
    const struct capif_cert_spec spec = {
        .public_key = cred.key,
        .who = { role, "ccf.a.example", "m-1" },
        .dns_name = dns,
        .days = 7,
    };

    cred.cert = capif_cert_issue(&spec, ca, ca_key);
    assert_non_null(cred.cert);
    return cred;
}

void net_open(struct net *net, struct capif_server_config *cfg)
{
    const struct timeval limit = { 5, 0 };
    X509 *ca;
    char *pem;

    memset(net, 0, sizeof(*net));
    (void)signal(SIGPIPE, SIG_IGN); /* as capif_harden() does */
    net->ca_key = soft_key("P-256", 0);
    ca = capif_cert_ca("CA", net->ca_key, 7);
    net->server_cred = member_of(CAPIF_AEF, NET_HOST, ca, net->ca_key);
    net->client_cred = member_of(CAPIF_INVOKER, NULL, ca, net->ca_key);
    snprintf(net->ca_file, sizeof(net->ca_file), "/tmp/net-test-%d.pem",
             (int)getpid());
    (void)unlink(net->ca_file);
    pem = capif_cert_pem(ca);
    soft_write(net->ca_file, pem);
    free(pem);
    X509_free(ca);
    net_free_address(net->address);
    snprintf(net->origin, sizeof(net->origin), "https://" NET_HOST "%s",
             strchr(net->address, ':'));
    net->base = event_base_new();
    assert_non_null(net->base);
    net->tls = capif_tls_server(SSL_CTX_new(TLS_server_method()), false,
                                &net->server_cred, NULL);
    assert_non_null(net->tls);
    cfg->listen = net->address;
    cfg->tls = net->tls;
    net->server = capif_server_new(net->base, cfg);
    net->client = capif_client_new(net->base);
    net->watchdog = event_new(net->base, -1, 0, on_watchdog, net);
    assert_non_null(net->server);
    assert_non_null(net->client);
    assert_int_equal(event_add(net->watchdog, &limit), 0);
}

/* In the daemons' order: the base goes last. */
void net_close(struct net *net)
{
    capif_client_free(net->client);
    capif_server_free(net->server);
    event_free(net->watchdog);
    event_base_free(net->base);
    SSL_CTX_free(net->tls);
    capif_credentials_clear(&net->server_cred);
    capif_credentials_clear(&net->client_cred);
    EVP_PKEY_free(net->ca_key);
    (void)unlink(net->ca_file);
}

void net_turn(struct net *net)
{
    event_base_dispatch(net->base);
    assert_false(net->stuck);
}

void net_result_done(const struct capif_answer *a, void *arg)
{
    struct result *r = arg;

    assert_false(r->done); /* exactly once */
    r->done = true;
    r->status = a->status;
    r->timed_out = a->timed_out;
    r->refused = a->refused;
    r->body_len = a->body_len;
    assert_true(a->body_len < sizeof(r->body));
    if (a->body_len > 0)
        memcpy(r->body, a->body, a->body_len);
    r->body[a->body_len] = '\0';
    snprintf(r->type, sizeof(r->type), "%s",
             a->content_type != NULL ? a->content_type : "");
    snprintf(r->error, sizeof(r->error), "%s",
             a->error != NULL ? a->error : "");
    event_base_loopbreak(r->net->base);
}

struct capif_call net_call(struct net *net, const char *method, const char *url,
                           struct result *r)
{
    const struct capif_call call = {
        .method = method,
        .url = url,
        .address = net->address,
        .ca_file = net->ca_file,
        .timeout_ms = 4000,
        .answer_max = sizeof(r->body) - 1,
        .done = net_result_done,
        .arg = r,
    };

    memset(r, 0, sizeof(*r));
    r->net = net;
    return call;
}

int net_fetch(struct net *net, const struct capif_call *call)
{
    struct result *r = call->arg;

    assert_non_null(capif_client_send(net->client, call));
    assert_false(r->done); /* never from within send */
    net_turn(net);
    assert_true(r->done);
    assert_int_equal(r->status == 0, r->error[0] != '\0');
    return r->status;
}

int net_get(struct net *net, const char *method, const char *path,
            struct result *r)
{
    struct capif_call call;
    char url[512];

    snprintf(url, sizeof(url), "%s%s", net->origin, path);
    call = net_call(net, method, url, r);
    return net_fetch(net, &call);
}
