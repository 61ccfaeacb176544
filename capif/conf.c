/* SPDX-License-Identifier: Apache-2.0 */
#include "conf.h"

#include "log.h"

#include <ctype.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTIONS_MAX 64
#define LISTS_MAX    256

struct capif_conf {
    char *path;
    CONF *nconf;
    void *lists[LISTS_MAX]; /* what capif_opt LISTs point into */
    size_t n_lists;
    const char *sections[SECTIONS_MAX + 1];
};

struct capif_conf *capif_conf_open(const char *path)
{
    OPENSSL_INIT_SETTINGS *settings = OPENSSL_INIT_new();
    bool ok = false;

    if (settings == NULL || !OPENSSL_INIT_set_config_filename(settings, path)) {
        fprintf(stderr, "%s: out of memory\n", path);
    } else {
        OPENSSL_INIT_set_config_file_flags(settings, 0);
        ok = OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, settings) == 1;
        if (!ok) {
            fprintf(stderr, "%s: OpenSSL can't load it:\n", path);
            ERR_print_errors_fp(stderr);
        }
    }
    OPENSSL_INIT_free(settings);
    return ok ? capif_conf_reopen(path) : NULL;
}

struct capif_conf *capif_conf_reopen(const char *path)
{
    struct capif_conf *conf = calloc(1, sizeof(*conf));
    long line = 0;

    if (conf == NULL || (conf->path = strdup(path)) == NULL
        || (conf->nconf = NCONF_new(NULL)) == NULL) {
        fprintf(stderr, "%s: out of memory\n", path);
    } else if (NCONF_load(conf->nconf, path, &line) <= 0) {
        ERR_clear_error();
        fprintf(stderr, "%s:%ld: not OpenSSL's configuration format\n", path,
                line);
    } else {
        return conf;
    }
    capif_conf_free(conf);
    return NULL;
}

void capif_conf_free(struct capif_conf *conf)
{
    if (conf == NULL)
        return;
    for (size_t i = 0; i < conf->n_lists; i++)
        free(conf->lists[i]);
    NCONF_free(conf->nconf);
    free(conf->path);
    free(conf);
}

/* Does the line begin with word, and what follows with one of ends? */
static bool begins(const char *line, const char *word, const char *ends)
{
    size_t len = strlen(word);

    while (isspace((unsigned char)*line))
        line++;
    if (strncmp(line, word, len) != 0)
        return false;
    for (line += len; isspace((unsigned char)*line); line++)
        ;
    return *line != '\0' && strchr(ends, *line) != NULL;
}

/* NCONF does not keep line numbers: look the option up in the file again. */
static int line_of(const char *path, const char *section, const char *name)
{
    char text[1024], head[160];
    FILE *f = fopen(path, "r");
    bool inside = false;
    int line = 0, found = 0;

    if (f == NULL)
        return 0;
    while (fgets(text, sizeof(text), f) != NULL) {
        char *open = strchr(text, '[');

        line++;
        if (open != NULL && strspn(text, " \t") == (size_t)(open - text)) {
            snprintf(head, sizeof(head), "%s", section);
            inside = begins(open + 1, head, "]");
            if (inside)
                found = line;
        } else if (inside && name != NULL && begins(text, name, "=")) {
            found = line;
            break;
        }
    }
    fclose(f);
    return found;
}

void capif_conf_complain(const struct capif_conf *conf, const char *section,
                         const char *name, const char *what)
{
    fprintf(stderr, "%s:%d: [%s]%s%s: %s\n", conf->path,
            line_of(conf->path, section, name), section,
            name != NULL ? " " : "", name != NULL ? name : "", what);
}

static bool choice_ok(const char *choices, const char *text)
{
    size_t len = strlen(text);

    if (choices != NULL && strchr(text, '|') != NULL)
        return false;
    for (const char *p = choices; p != NULL;
         p = strchr(p, '|') != NULL ? strchr(p, '|') + 1 : NULL)
        if (strncmp(p, text, len) == 0 && (p[len] == '|' || p[len] == '\0'))
            return true;
    return choices == NULL;
}

/* Split at commas, white space around the parts dropped; NULL: malformed. */
static const char *const *split(struct capif_conf *conf, const char *text,
                                const char *choices)
{
    size_t parts = 2, n = 0;
    char **list, *copy, *next;

    for (const char *p = text; *p != '\0'; p++)
        parts += *p == ',';
    if (conf->n_lists == LISTS_MAX)
        return NULL;
    list = calloc(1, parts * sizeof(*list) + strlen(text) + 1);
    if (list == NULL)
        return NULL;
    conf->lists[conf->n_lists++] = list;
    copy = strcpy((char *)(list + parts), text);
    for (char *p = *copy != '\0' ? copy : NULL; p != NULL; p = next) {
        if ((next = strchr(p, ',')) != NULL)
            *next++ = '\0';
        p += strspn(p, " \t");
        for (size_t len = strlen(p); len > 0 && strchr(" \t", p[len - 1]);)
            p[--len] = '\0';
        if (*p == '\0' || !choice_ok(choices, p))
            return NULL;
        list[n++] = p;
    }
    return (const char *const *)list;
}

static const char *store(struct capif_conf *conf, const struct capif_opt *opt,
                         const char *text, void *base)
{
    void *at = (char *)base + opt->offset;
    const char *const *list;
    char *end = NULL;
    unsigned long n;

    if (opt->def == NULL && text[0] == '\0')
        return "must not be empty";
    switch (opt->type) {
    case CAPIF_OPT_STR:
        if (!choice_ok(opt->choices, text))
            return "not one of the possible values";
        *(const char **)at = text[0] != '\0' ? text : NULL;
        return NULL;
    case CAPIF_OPT_UINT:
        n = strtoul(text, &end, 10);
        if (!isdigit((unsigned char)text[0]) || *end != '\0' || n < opt->min
            || n > opt->max)
            return "not a number in range";
        *(size_t *)at = n;
        return NULL;
    case CAPIF_OPT_BOOL:
        if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
            return "must be yes or no";
        *(bool *)at = text[0] == 'y';
        return NULL;
    case CAPIF_OPT_LIST:
        if ((list = split(conf, text, opt->choices)) == NULL)
            return "not a list of possible values";
        *(const char *const **)at = list;
        return NULL;
    }
    return "unknown type";
}

static bool known(const struct capif_opt *opts, const char *name)
{
    for (; opts->name != NULL; opts++)
        if (strcmp(opts->name, name) == 0)
            return true;
    return false;
}

bool capif_conf_read(struct capif_conf *conf, const char *section,
                     const struct capif_opt *opts, void *base)
{
    STACK_OF(CONF_VALUE) *values = NCONF_get_section(conf->nconf, section);
    const char *text, *why;
    bool ok = true;

    if (values == NULL) {
        ERR_clear_error();
        capif_conf_complain(conf, section, NULL, "section missing");
        return false;
    }
    for (int i = 0; i < sk_CONF_VALUE_num(values); i++) {
        const char *name = sk_CONF_VALUE_value(values, i)->name;

        if (!known(opts, name)) {
            capif_conf_complain(conf, section, name, "unknown option");
            ok = false;
        }
    }
    for (; opts->name != NULL; opts++) {
        text = NULL;
        for (int i = 0; i < sk_CONF_VALUE_num(values); i++)
            if (strcmp(sk_CONF_VALUE_value(values, i)->name, opts->name) == 0)
                text = sk_CONF_VALUE_value(values, i)->value;
        if (text == NULL)
            text = opts->def;
        why = text == NULL ? "required option missing"
                           : store(conf, opts, text, base);
        if (why != NULL) {
            capif_conf_complain(conf, section, opts->name, why);
            ok = false;
        }
    }
    return ok;
}

const char *capif_conf_get(const struct capif_conf *conf, const char *section,
                           const char *name)
{
    const char *text = NCONF_get_string(conf->nconf, section, name);

    if (text == NULL)
        ERR_clear_error();
    return text;
}

const char *const *capif_conf_sections(struct capif_conf *conf,
                                       const char *prefix)
{
    STACK_OF(OPENSSL_CSTRING) *names = NCONF_get_section_names(conf->nconf);
    size_t n = 0, at;
    const char *name;

    for (int i = 0; i < sk_OPENSSL_CSTRING_num(names) && n < SECTIONS_MAX;
         i++) {
        name = sk_OPENSSL_CSTRING_value(names, i);
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        for (at = n++; at > 0
                       && line_of(conf->path, conf->sections[at - 1], NULL)
                              > line_of(conf->path, name, NULL);
             at--)
            conf->sections[at] = conf->sections[at - 1];
        conf->sections[at] = name;
    }
    sk_OPENSSL_CSTRING_free(names);
    conf->sections[n] = NULL;
    return conf->sections;
}

bool capif_list_has(const char *const *list, const char *text)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

bool capif_connect_ok(const struct capif_conf *conf, const char *section,
                      const char *const *connect)
{
    const char *eq;

    for (; *connect != NULL; connect++) {
        eq = strchr(*connect, '=');
        if (eq == NULL || memchr(*connect, ':', (size_t)(eq - *connect)) == NULL
            || strchr(eq, ':') == NULL) {
            capif_conf_complain(conf, section, "connect",
                                "HOST:PORT=ADDRESS:PORT");
            return false;
        }
    }
    return true;
}

const char *capif_connect_of(const char *const *connect, const char *url)
{
    const char *host = url + strlen("https://");
    size_t len = strcspn(host, "/?#");
    char origin[300];

    snprintf(origin, sizeof(origin), "%.*s%s", (int)len, host,
             memchr(host, ':', len) != NULL ? "" : ":443");
    len = strlen(origin);
    for (; *connect != NULL; connect++)
        if (strncmp(*connect, origin, len) == 0 && (*connect)[len] == '=')
            return *connect + len + 1;
    return NULL;
}
