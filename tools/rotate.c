/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-hsm rotate: a new key in the place of the one that a CCF uses.  The
 * key and its certificate are made first; then one rename() puts the new
 * configuration into the place of the old, so that it is one or the other.
 */
#include "hsm_tool.h"

#include "cert.h"
#include "officer.h"
#include "seal.h"
#include "tls.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION   "ccf"
#define KEYS_MAX  8 /* as in ccf.cnf(5) */
#define NAMES_MAX 999
#define TEXT_MAX  4096

struct rotation {
    const struct options *o;
    const char *option;      /* whose line names the key */
    const char *was;         /* its value: a URI or some */
    char first[TEXT_MAX];    /* the URI in use */
    char uri[TEXT_MAX + 16]; /* the new one */
    char *text;              /* of the configuration, as it is to be */
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "error: %s: %s\n", what, why);
    return 1;
}

/* ---- files ---- */

static char *file_read(const char *path)
{
    FILE *f = fopen(path, "r");
    struct stat st;
    char *text = NULL;
    size_t n;

    if (f != NULL && fstat(fileno(f), &st) == 0
        && (text = malloc((size_t)st.st_size + 1)) != NULL) {
        n = fread(text, 1, (size_t)st.st_size, f);
        text[n] = '\0';
        if (n != (size_t)st.st_size || strlen(text) != n) {
            free(text);
            text = NULL;
        }
    }
    if (f != NULL)
        fclose(f);
    return text;
}

static bool sync_folder(const char *path)
{
    char *copy = strdup(path);
    int fd = copy != NULL ? open(dirname(copy), O_RDONLY | O_DIRECTORY) : -1;
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    free(copy);
    return ok;
}

/* All or nothing; like is the file whose owner and mode it gets. */
static bool file_replace(const char *path, const char *like, const char *text)
{
    char temp[TEXT_MAX];
    struct stat st;
    size_t len = strlen(text);
    int fd = -1, n = snprintf(temp, sizeof(temp), "%s.XXXXXX", path);
    bool ok = n > 0 && (size_t)n < sizeof(temp) && stat(like, &st) == 0
              && (fd = mkstemp(temp)) >= 0;

    if (ok) {
        /* An owner that can't be set is who runs this. */
        if (fchown(fd, st.st_uid, st.st_gid) != 0)
            errno = 0;
        ok = fchmod(fd, st.st_mode & 0777) == 0
             && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
        ok = close(fd) == 0 && ok;
        ok = ok && rename(temp, path) == 0 && sync_folder(path);
        if (!ok)
            (void)unlink(temp);
    }
    if (!ok)
        (void)fail(path, strerror(errno));
    return ok;
}

/* ---- one line of the configuration ---- */

static char *skip(char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* The value in this line, if it is the option's; *len without blanks. */
static char *value_at(char *line, const char *option, size_t *len)
{
    char *p = skip(line);
    size_t n = strlen(option);

    if (strncmp(p, option, n) != 0 || *(p = skip(p + n)) != '=')
        return NULL;
    p = skip(p + 1);
    n = strcspn(p, "\r\n");
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    *len = n;
    return p;
}

/* Where the section's last line of that option has its value; or NULL. */
static char *value_find(char *text, const char *option, size_t *len)
{
    char *found = NULL, *p, *value;
    bool inside = false;
    size_t n;

    for (char *line = text; *line != '\0'; line += strcspn(line, "\n")) {
        line += *line == '\n';
        p = skip(line);
        if (*p == '[') {
            p = skip(p + 1);
            inside = strncmp(p, SECTION, strlen(SECTION)) == 0
                     && *skip(p + strlen(SECTION)) == ']';
        } else if (inside && (value = value_at(line, option, &n)) != NULL) {
            found = value;
            *len = n;
        }
    }
    return found;
}

/*
 * Put another value there.  What the file says must be what it means, so a
 * value with quotes, variables or in two lines is left to the operator.
 */
static bool value_set(struct rotation *r, const char *option, const char *value)
{
    const char *was = capif_conf_get(r->o->conf, SECTION, option);
    size_t len = 0, room = strlen(r->text) + strlen(value) + 1;
    char *at = value_find(r->text, option, &len), *text;

    if (at == NULL || was == NULL || strlen(was) != len
        || memcmp(at, was, len) != 0) {
        (void)fail(option, "not written plainly in one line: change it "
                           "by hand");
        return false;
    }
    if ((text = malloc(room)) == NULL)
        return false;
    snprintf(text, room, "%.*s%s%s", (int)(at - r->text), r->text, value,
             at + len);
    free(r->text);
    r->text = text;
    return true;
}

/* ---- the new key's name ---- */

/* uri with its object's name ending in -number; false: it has none. */
static bool uri_numbered(const char *uri, unsigned number, char *out,
                         size_t size)
{
    const char *name = strstr(uri, "object="), *end;
    size_t base, len;
    int n;

    if (strncmp(uri, "pkcs11:", 7) != 0 || name == NULL
        || (name[-1] != ':' && name[-1] != ';') || strstr(uri, ":id=") != NULL
        || strstr(uri, ";id=") != NULL)
        return false;
    name += strlen("object=");
    end = name + strcspn(name, ";?");
    len = base = (size_t)(end - name);
    while (base > 0 && isdigit((unsigned char)name[base - 1]))
        base--;
    base = base < len && base > 1 && name[base - 1] == '-' ? base - 1 : len;
    n = snprintf(out, size, "%.*s-%u%s", (int)(name - uri + (long)base), uri,
                 number, end);
    return base > 0 && n > 0 && (size_t)n < size;
}

static bool is_there(const struct rotation *r, const char *uri)
{
    EVP_PKEY *key = NULL;
    bool there;

    if (strcmp(r->option, "kek") == 0)
        there = capif_kek_there(uri);
    else
        there = (key = capif_key_load(uri)) != NULL;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return there;
}

/* NAME-2, NAME-3, ...: the first that is in neither list nor token. */
static int choose_name(struct rotation *r, unsigned *number)
{
    for (*number = 2; *number <= NAMES_MAX; ++*number) {
        if (!uri_numbered(r->first, *number, r->uri, sizeof(r->uri)))
            return fail(r->first, "not a pkcs11: URI that names its key by "
                                  "`object' alone");
        if (strstr(r->was, r->uri) == NULL && !is_there(r, r->uri))
            return 0;
    }
    return fail(r->first, "no free name");
}

static int begin(struct rotation *r)
{
    size_t n = 1;

    r->was = capif_conf_get(r->o->conf, SECTION, r->option);
    if (r->was == NULL || *r->was == '\0')
        return fail(r->option, "is not in the configuration");
    for (const char *p = r->was; *p != '\0'; p++)
        n += *p == ',';
    if (n >= KEYS_MAX)
        return fail(r->option, "the list is full: take out the oldest");
    n = strcspn(r->was, ", \t");
    if (n >= sizeof(r->first))
        return fail(r->option, "too long");
    snprintf(r->first, sizeof(r->first), "%.*s", (int)n, r->was);
    if ((r->text = file_read(r->o->config)) == NULL)
        return fail(r->o->config, "can't be read");
    return 0;
}

/* ---- keys ---- */

/* As `capif-hsm keygen --type` has it. */
static const char *type_of(EVP_PKEY *key, char room[16])
{
    char group[16] = "";

    if (EVP_PKEY_is_a(key, "ED25519"))
        return "ed25519";
    if (EVP_PKEY_is_a(key, "RSA")) {
        snprintf(room, 16, "rsa%d", EVP_PKEY_get_bits(key));
        return room;
    }
    (void)EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
    return strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0
               ? "p384"
           : strcmp(group, "secp521r1") == 0 || strcmp(group, "P-521") == 0
               ? "p521"
               : "p256";
}

/* A key pair of the same type, unless --type says another. */
static EVP_PKEY *make_pair(const struct rotation *r)
{
    EVP_PKEY *old = capif_key_load(r->first), *key = NULL;
    const char *type = r->o->type;
    char room[16];

    if (old != NULL) {
        if (type == NULL)
            type = type_of(old, room);
        key = hsm_tool_generate(type, r->uri);
    }
    EVP_PKEY_free(old);
    if (key == NULL)
        (void)hsm_tool_fail(old == NULL ? r->first : r->uri);
    return key;
}

static int commit(struct rotation *r)
{
    if (!file_replace(r->o->config, r->o->config, r->text))
        return 1;
    printf("%s: %s\nsend SIGHUP to ccfd\n", r->option, r->uri);
    return 0;
}

/* The new one before the others. */
static int commit_list(struct rotation *r)
{
    size_t room = strlen(r->uri) + strlen(r->was) + 3;
    char *value = malloc(room);
    int status = 1;

    if (value != NULL) {
        snprintf(value, room, "%s, %s", r->uri, r->was);
        if (value_set(r, r->option, value))
            status = commit(r);
    }
    free(value);
    return status;
}

/* ---- what can be rotated ---- */

static int rotate_jws(struct rotation *r)
{
    EVP_PKEY *key = make_pair(r);

    EVP_PKEY_free(key);
    return key != NULL ? commit_list(r) : 1;
}

/* Behind an agent, the officer's module is in the agent's configuration. */
static int rotate_kek(struct rotation *r)
{
    struct capif_conf *other = NULL;
    struct officer so = { r->o->conf, "sealed_provider", r->o->so_pin_file };
    int status;

    if (r->o->so_pin_file == NULL) {
        fputs("error: rotate kek needs --so-pin-file\n", stderr);
        return 2;
    }
    if (r->o->hsm_config != NULL) {
        if ((other = capif_conf_reopen(r->o->hsm_config)) == NULL)
            return 1;
        so.conf = other;
        so.section = "hsmd";
    }
    status = officer_kek(&so, r->uri);
    capif_conf_free(other);
    if (status != 0)
        return status;
    if (!capif_kek_there(r->uri))
        return hsm_tool_fail("the new KEK can't be used by the CCF");
    return commit_list(r);
}

/* NAME-NUMBER.EXT beside NAME.EXT; a number that is there goes. */
static bool path_numbered(const char *path, unsigned number, char out[TEXT_MAX])
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    const char *end = dot != NULL && (slash == NULL || dot > slash + 1)
                          ? dot
                          : path + strlen(path);
    const char *base = end;
    int n;

    while (base > path && isdigit((unsigned char)base[-1]))
        base--;
    if (base == end || base == path || base[-1] != '-')
        base = end;
    else
        base--;
    n = snprintf(out, TEXT_MAX, "%.*s-%u%s", (int)(base - path), path, number,
                 end);
    return n > 0 && n < TEXT_MAX;
}

static X509 *issue(const struct rotation *r, EVP_PKEY *key)
{
    const struct capif_conf *conf = r->o->conf;
    const char *ca_uri = capif_conf_get(conf, SECTION, "ca-key");
    const char *ca_file = capif_conf_get(conf, SECTION, "ca-certificate");
    const char *ccf_id = capif_conf_get(conf, SECTION, "ccf-id");
    struct capif_cert_spec spec = { .public_key = key,
                                    .who.role = CAPIF_CCF,
                                    .dns_name = ccf_id,
                                    .days = r->o->days };
    STACK_OF(X509) *cas = ca_file != NULL ? capif_certs_load(ca_file) : NULL;
    EVP_PKEY *ca_key = NULL;
    char first[TEXT_MAX];
    X509 *cert = NULL;

    if (ca_uri != NULL) {
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(ca_uri, ", \t"),
                 ca_uri);
        ca_key = capif_key_load(first);
    }
    if (cas != NULL && ca_key != NULL && ccf_id != NULL
        && capif_ccf_id_ok(ccf_id)
        && X509_check_private_key(sk_X509_value(cas, 0), ca_key)) {
        strcpy(spec.who.ccf_id, ccf_id);
        strcpy(spec.who.id, ccf_id);
        cert = capif_cert_issue(&spec, sk_X509_value(cas, 0), ca_key);
    }
    sk_X509_pop_free(cas, X509_free);
    EVP_PKEY_free(ca_key);
    return cert;
}

/* key and certificate change together, so the latter is a new file. */
static int rotate_tls(struct rotation *r, unsigned number)
{
    const char *file = capif_conf_get(r->o->conf, SECTION, "certificate");
    char path[TEXT_MAX], *pem = NULL;
    EVP_PKEY *key;
    X509 *cert = NULL;
    int status = 1;

    if (file == NULL || !path_numbered(file, number, path)
        || access(path, F_OK) == 0)
        return fail("certificate", "no free name beside it");
    if ((key = make_pair(r)) == NULL)
        return 1;
    if ((cert = issue(r, key)) == NULL || (pem = capif_cert_pem(cert)) == NULL)
        (void)hsm_tool_fail("no certificate made");
    else if (value_set(r, "key", r->uri) && value_set(r, "certificate", path)
             && file_replace(path, file, pem))
        status = commit(r);
    free(pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return status;
}

/* "NAME NUMBER": two CAs of one name would be hard to tell apart. */
static void name_numbered(const char *cn, unsigned number, char *out,
                          size_t size)
{
    size_t len = strlen(cn), base = len;

    while (base > 0 && isdigit((unsigned char)cn[base - 1]))
        base--;
    if (base == len || base < 2 || cn[base - 1] != ' ')
        base = len + 1;
    snprintf(out, size, "%.*s %u", (int)(base - 1), cn, number);
}

/* The new certificate comes first in the file; the old ones stay trusted. */
static int add_ca(struct rotation *r, const char *file, EVP_PKEY *key,
                  unsigned number)
{
    STACK_OF(X509) *cas = capif_certs_load(file);
    char cn[256] = "", name[300], *pem = NULL, *was = file_read(file), *all;
    X509 *cert;
    size_t room;
    int status = 1;

    if (cas != NULL)
        (void)X509_NAME_get_text_by_NID(
            X509_get_subject_name(sk_X509_value(cas, 0)), NID_commonName, cn,
            sizeof(cn));
    if (r->o->name != NULL)
        snprintf(name, sizeof(name), "%s", r->o->name);
    else
        name_numbered(cn, number, name, sizeof(name));
    cert = was != NULL && *cn != '\0' ? capif_cert_ca(name, key, r->o->days)
                                      : NULL;
    if (cert == NULL || (pem = capif_cert_pem(cert)) == NULL) {
        (void)hsm_tool_fail("no certificate made");
    } else {
        room = strlen(pem) + strlen(was) + 1;
        if ((all = malloc(room)) != NULL) {
            snprintf(all, room, "%s%s", pem, was);
            status = file_replace(file, file, all) ? commit_list(r) : 1;
        }
        free(all);
    }
    free(pem);
    free(was);
    X509_free(cert);
    sk_X509_pop_free(cas, X509_free);
    return status;
}

static int rotate_ca(struct rotation *r, unsigned number)
{
    const char *file = capif_conf_get(r->o->conf, SECTION, "ca-certificate");
    EVP_PKEY *key;
    int status;

    if (file == NULL)
        return fail("ca-certificate", "is not in the configuration");
    if ((key = make_pair(r)) == NULL)
        return 1;
    status = add_ca(r, file, key, number);
    EVP_PKEY_free(key);
    return status;
}

int hsm_tool_rotate(struct options *o)
{
    static const struct {
        const char *what, *option;
    } kinds[] = { { "jws", "jws-key" },
                  { "kek", "kek" },
                  { "tls", "key" },
                  { "ca", "ca-key" } };
    struct rotation *r;
    unsigned number = 0;
    size_t i = 0;
    int status;

    while (i < 4 && (o->n_args != 1 || strcmp(o->args[0], kinds[i].what) != 0))
        i++;
    if (i == 4 || o->conf == NULL) {
        fputs("error: rotate needs --config and one of jws, kek, tls, ca\n",
              stderr);
        return 2;
    }
    if ((r = calloc(1, sizeof(*r))) == NULL)
        return 1;
    r->o = o;
    r->option = kinds[i].option;
    status = begin(r);
    if (status == 0)
        status = choose_name(r, &number);
    if (status == 0)
        status = i == 0   ? rotate_jws(r)
                 : i == 1 ? rotate_kek(r)
                 : i == 2 ? rotate_tls(r, number)
                          : rotate_ca(r, number);
    free(r->text);
    free(r);
    return status;
}
