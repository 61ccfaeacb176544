/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line and the table; see tools/bench/run, which prepares a token
 * and a configuration.
 */
#include "bench.h"

#include <getopt.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *f)
{
    fputs("usage: capif-bench --module PATH --label TOKEN [OPTIONS]\n"
          "       capif-bench [OPTIONS] software\n"
          "       capif-bench --module PATH --label TOKEN --remote PATH\n"
          "                   --agent SOCKET --pin-file PATH [OPTIONS] agent\n"
          "\n"
          "  --seconds N     length of a slice (0.25)\n"
          "  --pairs N       slices of each kind (9)\n"
          "  --threads LIST  numbers of threads (1,2,8; software: 1; agent: "
          "1,8)\n"
          "  --only NAME     ecdsa or rsa; for agent: hmac or ecdsa; for "
          "software: digest-fetch,\n"
          "                  digest, ecdsa, ecdsa-init, x25519, p256, rsa, "
          "tls\n"
          "  --module PATH   the PKCS#11 module that OPENSSL_CONF names\n"
          "  --label TOKEN   the token's label; its keys: ecdsa and rsa\n"
          "  --remote PATH   p11-kit's client module; its server has the same "
          "token\n"
          "  --agent SOCKET  capif-hsmd's, with the same token\n"
          "  --pin-file PATH the user PIN of it\n",
          f);
}

bool bench_fail(const char *what)
{
    fprintf(stderr, "error: %s\n", what);
    ERR_print_errors_fp(stderr);
    return false;
}

bool bench_wanted(const struct bench_options *o, const char *name)
{
    return o->only == NULL || strcmp(o->only, name) == 0;
}

void bench_head(const char *reference, const char *measured)
{
    printf("%-18s %-15s %7s %10s %10s %6s  %s\n", "", "", "threads", reference,
           measured, "ratio", "quartiles");
}

void bench_row(const char *title, const char *what, size_t n_threads,
               const struct duel_result *ref, const struct duel_result *r,
               bool has_target)
{
    printf("%-18s %-15s %7zu %10.0f %10.0f %6.3f  %.3f-%.3f%s\n", title, what,
           n_threads, ref->rate, r->rate, r->ratio, r->low, r->high,
           has_target && r->ratio < BENCH_TARGET ? "  under target" : "");
    fflush(stdout);
}

void bench_row_failed(const char *title, const char *what, size_t n_threads)
{
    printf("%-18s %-15s %7zu %10s %10s %6s\n", title, what, n_threads, "-", "-",
           "failed");
    fflush(stdout);
}

static bool take_threads(const char *text, struct bench_options *o)
{
    const char *at = text;
    unsigned long n;
    char *end;

    for (o->n_threads = 0; o->n_threads < BENCH_LIST_MAX; at = end + 1) {
        n = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || n < 1 || n > BENCH_THREADS_MAX)
            return false;
        o->threads[o->n_threads++] = n;
        if (*end != ',')
            return *end == '\0';
    }
    return false;
}

static bool take_pairs(const char *text, size_t *pairs)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    *pairs = n;
    return *text >= '0' && *text <= '9' && *end == '\0' && n >= 1 && n <= 10000;
}

static bool take_seconds(const char *text, double *seconds)
{
    char *end;

    *seconds = strtod(text, &end);
    return end != text && *end == '\0' && *seconds > 0 && *seconds <= 3600;
}

static bool take(int option, const char *text, struct bench_options *o)
{
    switch (option) {
    case 's':
        return take_seconds(text, &o->seconds);
    case 'p':
        return take_pairs(text, &o->pairs);
    case 't':
        return take_threads(text, o);
    case 'o':
        o->only = text;
        return true;
    case 'm':
        o->module = text;
        return true;
    case 'l':
        o->label = text;
        return true;
    case 'r':
        o->remote = text;
        return true;
    case 'a':
        o->agent = text;
        return true;
    case 'i':
        o->pin_file = text;
        return true;
    default:
        return false;
    }
}

/* The function of that name, if all that it needs is there. */
static bool (*mode(const char *name,
                   const struct bench_options *o))(const struct bench_options *)
{
    bool token = o->module != NULL && o->label != NULL;

    if (name == NULL)
        return token ? bench_token : NULL;
    if (strcmp(name, "software") == 0)
        return bench_software;
    if (strcmp(name, "agent") == 0 && token && o->remote != NULL
        && o->agent != NULL && o->pin_file != NULL)
        return bench_agent;
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "seconds", required_argument, NULL, 's' },
        { "pairs", required_argument, NULL, 'p' },
        { "threads", required_argument, NULL, 't' },
        { "only", required_argument, NULL, 'o' },
        { "module", required_argument, NULL, 'm' },
        { "label", required_argument, NULL, 'l' },
        { "remote", required_argument, NULL, 'r' },
        { "agent", required_argument, NULL, 'a' },
        { "pin-file", required_argument, NULL, 'i' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct bench_options o = { .seconds = 0.25, .pairs = 9 };
    bool (*run)(const struct bench_options *);
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'h') {
            usage(stdout);
            return 0;
        }
        if (!take(c, optarg, &o)) {
            usage(stderr);
            return 1;
        }
    }
    run = argc - optind > 1 ? NULL : mode(argv[optind], &o);
    if (run == NULL) {
        usage(stderr);
        return 1;
    }
    return run(&o) ? 0 : 1;
}
