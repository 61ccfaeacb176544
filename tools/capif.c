/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif: the API invoker's and the operator's command line.
 */
#include "tool.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    OPT_CCF = 1,
    OPT_CA,
    OPT_ENROLMENT,
    OPT_KEY,
    OPT_KEK,
    OPT_API,
    OPT_AEF,
    OPT_METHODS,
    OPT_METHOD,
    OPT_DATA,
    OPT_CONNECT,
    OPT_EXCHANGE,
};

static const struct option long_options[] = {
    { "dir", required_argument, NULL, 'd' },
    { "ccf", required_argument, NULL, OPT_CCF },
    { "ca", required_argument, NULL, OPT_CA },
    { "enrolment", required_argument, NULL, OPT_ENROLMENT },
    { "key", required_argument, NULL, OPT_KEY },
    { "kek", required_argument, NULL, OPT_KEK },
    { "api", required_argument, NULL, OPT_API },
    { "aef", required_argument, NULL, OPT_AEF },
    { "methods", required_argument, NULL, OPT_METHODS },
    { "method", required_argument, NULL, OPT_METHOD },
    { "data", required_argument, NULL, OPT_DATA },
    { "connect", required_argument, NULL, OPT_CONNECT },
    { "exchange", no_argument, NULL, OPT_EXCHANGE },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static void usage_of(FILE *f, const struct tool_command *c)
{
    for (; c->name != NULL; c++)
        fprintf(f, "  capif %-10s %s\n      %s\n", c->name, c->args, c->what);
}

static int usage(FILE *f)
{
    fputs("usage: capif COMMAND [--dir DIR] [--connect "
          "HOST:PORT:ADDRESS:PORT]... [OPTION]...\n\n"
          "As an API invoker:\n",
          f);
    usage_of(f, tool_invoker_commands);
    fputs("\nAs an API provider:\n", f);
    usage_of(f, tool_operator_commands);
    fputs("\n  --dir      where this invoker's or provider's files are\n"
          "  --connect  where HOST:PORT is, if DNS does not say\n"
          "Keys may be pkcs11: URIs; OPENSSL_CONF names the file that loads "
          "the provider.\n",
          f);
    return f == stdout ? 0 : 2;
}

static const struct tool_command *find(const struct tool_command *c,
                                       const char *name)
{
    for (; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static bool set(struct tool_options *o, int opt, const char *value)
{
    const char **const members[] = { [OPT_CCF] = &o->ccf,
                                     [OPT_CA] = &o->ca,
                                     [OPT_ENROLMENT] = &o->enrolment,
                                     [OPT_KEY] = &o->key,
                                     [OPT_KEK] = &o->kek,
                                     [OPT_API] = &o->api,
                                     [OPT_AEF] = &o->aef,
                                     [OPT_METHODS] = &o->methods,
                                     [OPT_METHOD] = &o->method,
                                     [OPT_DATA] = &o->data };

    if (opt == 'd') {
        o->dir = value;
    } else if (opt == OPT_CONNECT) {
        if (o->n_connect == TOOL_CONNECTS)
            return false;
        o->connect[o->n_connect++] = value;
    } else if (opt == OPT_EXCHANGE) {
        o->exchange = true;
    } else if (opt >= OPT_CCF && opt <= OPT_DATA) {
        *members[opt] = value;
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct tool_options o = { .dir = "." };
    const struct tool_command *c;
    int opt;

    if (argc >= 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc < 2)
        return usage(stderr);
    if ((c = find(tool_invoker_commands, argv[1])) == NULL
        && (c = find(tool_operator_commands, argv[1])) == NULL)
        return usage(stderr);
    optind = 2;
    while ((opt = getopt_long(argc, argv, "d:h", long_options, NULL)) != -1) {
        if (opt == 'h')
            return usage(stdout);
        if (!set(&o, opt, optarg))
            return usage(stderr);
    }
    o.args = argv + optind;
    o.n_args = argc - optind;
    (void)signal(SIGPIPE, SIG_IGN);
    return c->run(&o);
}
