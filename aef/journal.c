/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be reported to the CCF, until it has been (report.c): a line for
 * each call, in files of the state directory.  A worker writes into one of its
 * own, NAME.open, and closes it after a while to NAME.log.  A line is there,
 * in the kernel, before the call is answered, so no call is lost with the
 * process.
 */
#include "visit.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct aef_journal {
    const char *dir;
    int fd; /* -1: none is open */
    char name[AEF_JOURNAL_NAME_MAX];
    size_t lines, octets;
    time_t begun;
};

struct aef_journal *aef_journal_new(const char *dir)
{
    struct aef_journal *j = calloc(1, sizeof(*j));

    if (j == NULL)
        return NULL;
    j->dir = dir;
    j->fd = -1;
    return j;
}

static bool failed(const struct aef_journal *j, const char *what)
{
    capif_log("journal-failed", "directory", j->dir, "what", what, "why",
              strerror(errno), NULL);
    return false;
}

bool aef_journal_ready(struct aef_journal *j)
{
    char path[PATH_MAX];
    uint8_t random[8];
    struct timespec now;

    if (j->fd >= 0)
        return true;
    clock_gettime(CLOCK_REALTIME, &now);
    if (RAND_bytes(random, sizeof(random)) != 1)
        return false;
    /* In the order of time; unique, since the CCF knows batches by it. */
    snprintf(j->name, sizeof(j->name), "%011lld%09ld-", (long long)now.tv_sec,
             now.tv_nsec);
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(j->name + 21 + 2 * i, 3, "%02x", random[i]);
    snprintf(path, sizeof(path), "%s/%s.open", j->dir, j->name);
    j->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC,
                 S_IRUSR | S_IWUSR);
    j->lines = j->octets = 0;
    j->begun = now.tv_sec;
    return j->fd >= 0 || failed(j, "open");
}

static void close_file(struct aef_journal *j)
{
    char from[PATH_MAX], to[PATH_MAX];

    if (j->fd < 0)
        return;
    close(j->fd);
    j->fd = -1;
    snprintf(from, sizeof(from), "%s/%s.open", j->dir, j->name);
    snprintf(to, sizeof(to), "%s/%s.log", j->dir, j->name);
    if ((j->lines == 0 ? unlink(from) : rename(from, to)) != 0)
        (void)failed(j, "close");
}

void aef_journal_free(struct aef_journal *j)
{
    if (j == NULL)
        return;
    close_file(j);
    free(j);
}

void aef_journal_turn(struct aef_journal *j, time_t seconds)
{
    if (j->lines > 0 && time(NULL) >= j->begun + seconds)
        close_file(j);
}

/* ---- a line ---- */

long aef_ms_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - then->tv_sec) * 1000
           + (now.tv_nsec - then->tv_nsec) / 1000000;
}

/*
 * The path alone: parameters are the invoker's and the API's matter.  Of what
 * passes path_safe() in gateway.c, JSON escapes the quotation mark alone.
 */
static void put_uri(FILE *f, const char *target)
{
    const size_t len = strcspn(target, "?");

    for (size_t i = 0; i < len && i < AEF_URI_MAX; i++) {
        if (target[i] == '"')
            putc_unlocked('\\', f);
        putc_unlocked(target[i], f);
    }
}

static void put_time(FILE *f, const struct timespec *at)
{
    const time_t sec = at->tv_sec;
    char text[32];
    struct tm tm;

    gmtime_r(&sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(f, "%s.%06ldZ", text, at->tv_nsec / 1000);
}

/* "ccfId apiInvokerId Log" (TS 29.222 8.7.4.2.3) */
static void put_line(FILE *f, const struct capif_req *req,
                     const struct aef_visit *v, int status)
{
    const char *method = capif_req_method(req), *names = v->resource->names;

    fprintf(f, "%s %s %.*s,\"apiId\":\"%s\",\"protocol\":\"HTTP_1_1\",",
            v->who.ccf_id, v->who.id, (int)strlen(names) - 1, names, v->api_id);
    if (aef_operation_known(method))
        fprintf(f, "\"operation\":\"%s\",", method);
    fprintf(f, "\"result\":\"%d\",\"uri\":\"", status);
    put_uri(f, capif_req_target(req));
    fputs("\",\"invocationTime\":\"", f);
    put_time(f, &v->at);
    fprintf(f,
            "\",\"invocationLatency\":%ld,\"srcInterface\":{\"%s\":\"%s\","
            "\"securityMethods\":[\"%s\"]}}\n",
            aef_ms_since(&v->begun),
            strchr(v->peer, ':') != NULL ? "ipv6Addr" : "ipv4Addr", v->peer,
            v->method);
}

bool aef_journal_add(struct aef_journal *j, const struct capif_req *req,
                     const struct aef_visit *visit, int status)
{
    char *text = NULL;
    size_t len = 0;
    bool ok = false;
    FILE *f;

    if (visit->api_id[0] == '\0')
        return true;
    if ((f = open_memstream(&text, &len)) != NULL)
        put_line(f, req, visit, status);
    if (f != NULL && fclose(f) == 0 && aef_journal_ready(j)) {
        errno = 0;
        ok = write(j->fd, text, len) == (ssize_t)len || failed(j, "write");
        /* Half a line would spoil the next one. */
        if (!ok && ftruncate(j->fd, (off_t)j->octets) != 0)
            close_file(j);
    }
    free(text);
    if (!ok)
        return false;
    j->lines++;
    j->octets += len;
    if (j->lines >= AEF_JOURNAL_LINES || j->octets >= AEF_JOURNAL_OCTETS)
        close_file(j);
    return true;
}

/* ---- the directory ---- */

/* Files that a process before this one was still writing. */
static void close_old(int dir_fd, const char *name)
{
    char to[NAME_MAX + 1];
    const size_t len = strlen(name);

    if (len < 6 || len > NAME_MAX || strcmp(name + len - 5, ".open") != 0)
        return;
    snprintf(to, sizeof(to), "%.*s.log", (int)(len - 5), name);
    if (renameat(dir_fd, name, dir_fd, to) != 0)
        capif_log("journal-failed", "file", name, "why", strerror(errno), NULL);
}

int aef_journal_claim(const char *dir)
{
    int fd;
    DIR *d;
    const struct dirent *e;

    if (mkdir(dir, S_IRWXU) != 0 && errno != EEXIST)
        return -1;
    if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || faccessat(fd, ".", W_OK, 0) != 0
        || (d = opendir(dir)) == NULL) {
        close(fd);
        return -1;
    }
    while ((e = readdir(d)) != NULL)
        close_old(fd, e->d_name);
    closedir(d);
    return fd;
}
