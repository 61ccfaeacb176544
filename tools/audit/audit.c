/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `capif-hsm audit`: which of the secrets that are known here are in the
 * memory of processes, or in files?
 */
#include "audit.h"
#include "../hsm_tool.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define NEEDLES_FILE_MAX ((size_t)1 << 20)
#define PLACES_MAX       100

void audit_fail(struct audit *a, const struct audit_target *t, const char *what,
                const char *why)
{
    fprintf(stderr, "error: %s: %s%s%s\n", t->name, what,
            *what != '\0' && *why != '\0' ? ": " : "", why);
    a->failed = true;
}

/* ---- looking ---- */

bool audit_find(struct audit *a, struct audit_target *t, const uint8_t *buf,
                size_t len, uint64_t at)
{
    if (needles_find(a->needles, buf, len, at, &t->hits))
        return true;
    audit_fail(a, t, "out of memory", "");
    return false;
}

void audit_settle(struct audit *a, struct audit_target *t, const char *where)
{
    needle_hits_settle(&t->hits);
    for (size_t i = 0; i < t->hits.n; i++) {
        const struct needle_hit *h = &t->hits.hit[i];

        t->pass[h->needle].n++;
        t->pass[h->needle].forms |= 1U << h->form;
        if (a->places != NULL && a->n_places++ < PLACES_MAX)
            fprintf(a->places, "  %s, %s: %s at 0x%" PRIx64 " of %s\n",
                    needles_name(a->needles, h->needle), t->name,
                    needle_form_name(h->form), h->at, where);
    }
    t->hits.n = 0;
}

static bool map_look(struct audit *a, struct audit_target *t,
                     struct procmem_map *m)
{
    const size_t keep = needles_longest(a->needles) - 1;
    enum procmem_status st = PROCMEM_OK;
    uint8_t *const chunk = a->buf + AUDIT_LEAD;
    size_t len, before = 0;

    for (uint64_t at = m->start; at < m->end; at += len) {
        len = AUDIT_BUF - AUDIT_LEAD;
        len = at + len > m->end ? (size_t)(m->end - at) : len;
        st = procmem_read(t->p, m, at, chunk, len, NULL);
        if (st != PROCMEM_OK)
            break;
        t->octets += len;
        if (!audit_find(a, t, chunk - before, before + len, at - before))
            return false;
        before = keep < before + len ? keep : before + len;
        memmove(chunk - before, chunk + len - before, before);
    }
    if (st == PROCMEM_ERROR)
        audit_fail(a, t, m->name, strerror(errno));
    return st == PROCMEM_OK;
}

bool audit_process(struct audit *a, struct audit_target *t, bool constant)
{
    enum procmem_status st = procmem_reopen(t->p);
    struct procmem_map *map = NULL;
    size_t n = 0, unreadable = 0;
    bool ok = true;

    if (st == PROCMEM_OK)
        st = procmem_maps(t->p, &map, &n);
    if (st == PROCMEM_ERROR)
        audit_fail(a, t, "its memory", strerror(errno));
    t->ended = st == PROCMEM_ENDED;
    for (size_t i = 0; ok && i < n; i++) {
        if (!map[i].readable || (constant && map[i].writable))
            continue;
        ok = map_look(a, t, &map[i]);
        if (!map[i].failed || t->looks > 0)
            continue; /* once is enough */
        unreadable++;
        fprintf(stderr,
                "warning: %s: can't read all of %" PRIx64 "-%" PRIx64 " %s\n",
                t->name, map[i].start, map[i].end, map[i].name);
    }
    if (unreadable > 0)
        fprintf(stderr, "warning: %s: mappings that can't be read: %zu\n",
                t->name, unreadable);
    return ok && st == PROCMEM_OK;
}

bool audit_input_ended(void)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    char skipped[256];
    ssize_t got;

    while (poll(&in, 1, 0) > 0) {
        got = read(STDIN_FILENO, skipped, sizeof(skipped));
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return true;
    }
    return false;
}

static void target_look(struct audit *a, struct audit_target *t)
{
    if (t->path != NULL) {
        audit_path(a, t);
    } else {
        bool whole = audit_process(a, t, false);

        if (t->ended && a->continuously)
            fprintf(stderr, "%s: ended\n", t->name);
        else if (!whole && !a->continuously && !a->failed)
            audit_fail(a, t, "it ended", "");
        audit_settle(a, t, "its memory");
        if (t->ended)
            return;
    }
    t->looks++;
}

static void pass(struct audit *a)
{
    const size_t n = needles_count(a->needles);

    for (size_t i = 0; i < a->n; i++) {
        struct audit_target *t = &a->target[i];

        if (t->ended)
            continue;
        memset(t->pass, 0, n * sizeof(*t->pass));
        target_look(a, t);
        for (size_t k = 0; k < n; k++) {
            t->sum[k].n += a->continuously ? t->pass[k].n > 0 : t->pass[k].n;
            t->sum[k].forms |= t->pass[k].forms;
        }
    }
}

bool audit_all_ended(const struct audit *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (!a->target[i].ended)
            return false;
    return true;
}

static void look(struct audit *a)
{
    if (a->syscalls) {
        audit_trace(a);
        return;
    }
    pass(a);
    if (a->continuously)
        fputs("ready\n", stderr); /* whatever happens now is looked at */
    while (a->continuously && !a->failed && !audit_all_ended(a)
           && !audit_input_ended())
        pass(a);
}

/* ---- what is asked for ---- */

/* The file's text; the caller wipes and frees it. */
static char *file_read(const char *path, size_t *len)
{
    const bool in = strcmp(path, "-") == 0;
    int fd = in ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 ? malloc(NEEDLES_FILE_MAX) : NULL;
    ssize_t got = -1;

    *len = 0;
    while (text != NULL && *len < NEEDLES_FILE_MAX
           && (got = read(fd, text + *len, NEEDLES_FILE_MAX - *len)) > 0)
        *len += (size_t)got;
    if (got != 0) {
        fprintf(stderr, "error: %s: %s\n", path,
                got > 0 ? "too long" : strerror(errno));
        if (text != NULL)
            OPENSSL_cleanse(text, *len);
        free(text);
        text = NULL;
    }
    if (fd >= 0 && !in)
        close(fd);
    return text;
}

static bool needles_load(struct audit *a, const char *path)
{
    char why[128];
    size_t len;
    char *text = file_read(path, &len);

    if (text == NULL)
        return false;
    a->needles = needles_parse(text, len, why, sizeof(why));
    OPENSSL_cleanse(text, len);
    free(text);
    if (a->needles == NULL)
        fprintf(stderr, "error: %s: %s\n", path, why);
    return a->needles != NULL;
}

/* In one column, whatever it is made of; the end of it if it is too long. */
static void name_set(struct audit_target *t, const char *name, size_t len)
{
    if (len > AUDIT_NAME_MAX) {
        name += len - AUDIT_NAME_MAX;
        len = AUDIT_NAME_MAX;
    }
    memcpy(t->name, name, len);
    t->name[len] = '\0';
    for (char *c = t->name; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
}

static bool process_set(struct audit *a, struct audit_target *t,
                        const char *arg)
{
    char *end = NULL, comm[32] = "", name[64];
    long pid = strtol(arg, &end, 10);

    if (!isdigit((unsigned char)*arg) || *end != '\0' || pid < 1
        || pid > INT32_MAX) {
        audit_fail(a, t, "neither a process nor a path with a '/'", "");
        return false;
    }
    if ((t->p = procmem_open((pid_t)pid)) == NULL) {
        audit_fail(a, t, arg, strerror(errno));
        return false;
    }
    if (procmem_pid(t->p) == getpid()) {
        audit_fail(a, t, "that is this process, which has the secrets", "");
        return false;
    }
    if (t->name[0] == '\0') {
        procmem_comm(t->p, comm, sizeof(comm));
        snprintf(name, sizeof(name), "%s %s", comm, arg);
        name_set(t, name, strlen(name));
    }
    for (struct audit_target *o = a->target; o < t; o++) {
        if (o->p != NULL && procmem_pid(o->p) == procmem_pid(t->p)) {
            audit_fail(a, t, "it is also ", o->name);
            return false;
        }
    }
    return true;
}

/* [NAME=]PID or [NAME=]PATH */
static bool target_set(struct audit *a, struct audit_target *t, const char *arg)
{
    const char *slash = strchr(arg, '/'), *eq = strchr(arg, '=');
    const size_t n = needles_count(a->needles);

    t->pass = calloc(n, sizeof(*t->pass));
    t->sum = calloc(n, sizeof(*t->sum));
    if (t->pass == NULL || t->sum == NULL) {
        audit_fail(a, t, "out of memory", "");
        return false;
    }
    if (eq != NULL && eq > arg && (slash == NULL || eq < slash)) {
        name_set(t, arg, (size_t)(eq - arg));
        arg = eq + 1;
    }
    if (slash == NULL)
        return process_set(a, t, arg);
    t->path = arg;
    if (t->name[0] == '\0')
        name_set(t, arg, strlen(arg));
    if (a->syscalls)
        audit_fail(a, t, "--syscalls is about processes", "");
    return !a->syscalls;
}

static bool options_ok(const struct options *o)
{
    const char *wrong = NULL;

    if (o->needles == NULL || o->n_args < 1)
        wrong = "audit needs --needles and targets";
    else if (o->continuously && o->syscalls)
        wrong = "one of --continuously and --syscalls";
    else if ((o->continuously || o->syscalls) && strcmp(o->needles, "-") == 0)
        wrong = "standard input can't be both needles and the end";
    else if (o->format != NULL && strcmp(o->format, "tsv") != 0
             && strcmp(o->format, "table") != 0)
        wrong = "--format is table or tsv";
    else if (o->phase != NULL && strpbrk(o->phase, "\t\n") != NULL)
        wrong = "--phase is one word or more on one line";
    if (wrong != NULL)
        fprintf(stderr, "error: %s\n", wrong);
    return wrong == NULL;
}

/* It has all secrets: nobody may look into this process, nor its core. */
static bool protect(void)
{
    const struct rlimit none = { 0, 0 };

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
        && setrlimit(RLIMIT_CORE, &none) == 0)
        return true;
    fprintf(stderr, "error: can't protect itself: %s\n", strerror(errno));
    return false;
}

static void clear(struct audit *a)
{
    for (size_t i = 0; i < a->n; i++) {
        procmem_close(a->target[i].p);
        needle_hits_clear(&a->target[i].hits);
        free(a->target[i].pass);
        free(a->target[i].sum);
    }
    free(a->target);
    OPENSSL_clear_free(a->buf, AUDIT_BUF);
    needles_free(a->needles);
}

static int status(const struct audit *a)
{
    bool found = false;

    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < needles_count(a->needles); k++)
            found = found || a->target[i].sum[k].n > 0;
    if (a->failed)
        return 2;
    return found ? 1 : 0;
}

static bool prepare(struct audit *a, const struct options *o)
{
    if (!protect() || !needles_load(a, o->needles))
        return false;
    a->buf = OPENSSL_malloc(AUDIT_BUF);
    a->target = calloc((size_t)o->n_args, sizeof(*a->target));
    if (a->buf == NULL || a->target == NULL) {
        fputs("error: out of memory\n", stderr);
        return false;
    }
    for (; a->n < (size_t)o->n_args; a->n++)
        if (!target_set(a, &a->target[a->n], o->args[a->n])) {
            a->n++;
            return false;
        }
    return true;
}

int hsm_tool_audit(struct options *o)
{
    struct audit a = { .phase = o->phase != NULL ? o->phase : "-",
                       .tsv =
                           o->format != NULL && strcmp(o->format, "tsv") == 0,
                       .continuously = o->continuously,
                       .syscalls = o->syscalls };
    char *places = NULL;
    size_t places_len;
    int st = 2;

    if (!options_ok(o))
        return 2;
    if (prepare(&a, o)) {
        if (!a.tsv && !a.continuously)
            a.places = open_memstream(&places, &places_len);
        look(&a);
        audit_report(&a);
        if (a.places != NULL && fclose(a.places) == 0 && places_len > 0)
            printf("\nwhere:\n%s", places);
        if (a.n_places > PLACES_MAX)
            printf("  and %zu more\n", a.n_places - PLACES_MAX);
        free(places);
        st = status(&a);
    }
    clear(&a);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "error: standard output: %s\n", strerror(errno));
        st = 2;
    }
    return st;
}
