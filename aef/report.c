/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reporting calls to the CCF (TS 29.222 8.7): the files of journal.c, one
 * after the other, in a request for each invoker.  What was accepted is noted
 * in the file, and a request that may have been goes again with the same
 * Idempotency-Key: each call is logged once, whoever dies when.
 */
#include "visit.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS     250 /* for new files */
#define FOUND_MAX   64
#define CALL_MS     10000L
#define ANSWER_MAX  (2 * 1024 * 1024)
#define BACKOFF_MAX 30000 /* ms */

/* What begins a line that is no call: N of a batch, see read_file(). */
#define ACCEPTED '+'
#define REFUSED  '-'

/* Calls of one invoker, as they will be sent. */
struct batch {
    struct batch *next; /* in the order of their first lines */
    size_t nth;
    char name[AEF_NAME_MAX + 1]; /* "ccfId apiInvokerId" */
    FILE *f;                     /* that writes text */
    char *text;
    size_t len;
    bool over; /* accepted, or refused for good */
};

struct aef_reporter {
    struct aef *aef;
    struct capif_client *client;
    struct event *timer;
    char file[NAME_MAX + 1];     /* that is being reported; "": none */
    char (*found)[NAME_MAX + 1]; /* files to come, FOUND_MAX at most */
    size_t n_found, at;          /* at: the next one */
    time_t looked;               /* for them; all from before are on the disk */
    struct batch *batches;       /* of file */
    struct batch *sending;
    bool refused;         /* one of them was */
    struct timespec sent; /* the last one */
    long backoff;         /* ms; 0: that one went well */
};

static void go_on_in(struct aef_reporter *r, long ms)
{
    const struct timeval when = { ms / 1000, ms % 1000 * 1000 };

    event_add(r->timer, &when);
}

/* ---- a file ---- */

static int open_in(const struct aef_reporter *r, const char *name, int flags)
{
    return openat(r->aef->state_fd, name, flags | O_CLOEXEC);
}

static bool is_log(const char *name)
{
    const size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".log") == 0;
}

static void drop_file(struct aef_reporter *r)
{
    struct batch *b;

    while ((b = r->batches) != NULL) {
        r->batches = b->next;
        if (b->f != NULL)
            fclose(b->f);
        free(b->text);
        free(b);
    }
    r->sending = NULL;
    r->refused = false;
    r->file[0] = '\0';
}

/* The beginning of an InvocationLog (TS 29.222 8.7.4.2.2). */
static void batch_begin(const struct aef *aef, struct batch *b)
{
    const char *id = strchr(b->name, ' ') + 1;
    const size_t len = (size_t)(id - 1 - b->name);

    fprintf(b->f, "{\"aefId\":\"%s\",\"apiInvokerId\":\"%s\",", aef->aef_id,
            id);
    if (strlen(aef->ccf_id) != len || strncmp(b->name, aef->ccf_id, len) != 0)
        fprintf(b->f, "\"" AEF_VS "\":{\"ccfId\":\"%.*s\"},", (int)len,
                b->name);
    fputs("\"logs\":[", b->f);
}

static struct batch *batch_of(struct aef_reporter *r, const char *name,
                              size_t len)
{
    struct batch **p = &r->batches, *b;
    size_t nth = 0;

    for (; (b = *p) != NULL; p = &b->next, nth++)
        if (strncmp(b->name, name, len) == 0 && b->name[len] == '\0')
            return b;
    if ((b = calloc(1, sizeof(*b))) == NULL)
        return NULL;
    *p = b;
    b->nth = nth;
    snprintf(b->name, sizeof(b->name), "%.*s", (int)len, name);
    if ((b->f = open_memstream(&b->text, &b->len)) == NULL)
        return NULL;
    batch_begin(r->aef, b);
    return b;
}

/*
 * A line is a call, or says what became of the Nth batch.  One that was cut
 * off is of a call that was not answered.  false: out of memory.
 */
static bool add_line(struct aef_reporter *r, const char *line, size_t len)
{
    const char *id = strchr(line, ' ');
    const char *log = id != NULL ? strchr(id + 1, ' ') : NULL;
    struct batch *b;
    char mark;
    size_t n;

    if (sscanf(line, "%c%zu", &mark, &n) == 2
        && (mark == ACCEPTED || mark == REFUSED)) {
        r->refused |= mark == REFUSED;
        for (b = r->batches; b != NULL; b = b->next)
            b->over |= b->nth == n;
        return true;
    }
    if (log == NULL || log[1] != '{' || strcmp(line + len - 2, "}\n") != 0
        || (size_t)(log - line) > AEF_NAME_MAX)
        return true;
    b = batch_of(r, line, (size_t)(log - line));
    return b != NULL
           && fprintf(b->f, "%.*s,", (int)(line + len - log) - 2, log + 1) > 0;
}

/* The last comma becomes the end. */
static bool batches_end(struct aef_reporter *r)
{
    bool ok = true;

    for (struct batch *b = r->batches; b != NULL; b = b->next) {
        ok &= fseek(b->f, -1, SEEK_CUR) == 0 && fputs("]}", b->f) >= 0;
        ok &= fclose(b->f) == 0;
        b->f = NULL;
    }
    return ok;
}

static bool read_file(struct aef_reporter *r, const char *name)
{
    int fd = open_in(r, name, O_RDONLY);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    bool ok = f != NULL;
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    while (ok && (len = getline(&line, &room, f)) > 0)
        ok = add_line(r, line, (size_t)len);
    ok = ok && batches_end(r);
    free(line);
    if (!ok)
        capif_log("report-failed", "file", name, "why", strerror(errno), NULL);
    if (f != NULL)
        fclose(f);
    else if (fd >= 0)
        close(fd);
    if (ok)
        snprintf(r->file, sizeof(r->file), "%s", name);
    else
        drop_file(r);
    return ok;
}

static void note(const struct aef_reporter *r, char what)
{
    int fd = open_in(r, r->file, O_WRONLY | O_APPEND);

    if (fd < 0 || dprintf(fd, "\n%c%zu\n", what, r->sending->nth) < 0)
        capif_log("report-failed", "file", r->file, "why", strerror(errno),
                  NULL);
    if (fd >= 0)
        close(fd);
}

/* It is done with; what the CCF did not want stays for the operator. */
static void end_file(struct aef_reporter *r)
{
    char to[NAME_MAX + 16];
    const int dir = r->aef->state_fd;
    bool ok;

    snprintf(to, sizeof(to), "%s.refused", r->file);
    ok = (r->refused ? renameat(dir, r->file, dir, to)
                     : unlinkat(dir, r->file, 0))
         == 0;
    if (!ok)
        capif_log("report-failed", "file", r->file, "why", strerror(errno),
                  NULL);
    drop_file(r);
    go_on_in(r, ok ? 0 : BACKOFF_MAX); /* there may be another one */
}

/* ---- sending ---- */

bool aef_status_final(int status)
{
    return status >= 400 && status < 500 && status != 401 && status != 408
           && status != 429;
}

static void on_answer(const struct capif_answer *a, void *arg)
{
    struct aef_reporter *r = arg;
    char status[16];

    if (a->status != 201) {
        snprintf(status, sizeof(status), "%d", a->status);
        capif_log(aef_status_final(a->status) ? "report-refused"
                                              : "report-failed",
                  "file", r->file, "status", status, "why", a->error, NULL);
    }
    if (a->status == 201 || aef_status_final(a->status)) {
        r->refused |= a->status != 201;
        r->backoff = 0;
        note(r, a->status == 201 ? ACCEPTED : REFUSED);
        r->sending->over = true;
        /* The CCF has other things to do: as long as this took. */
        go_on_in(r, aef_ms_since(&r->sent));
        return;
    }
    r->backoff = r->backoff == 0 ? 1000 : 2 * r->backoff;
    if (r->backoff > BACKOFF_MAX)
        r->backoff = BACKOFF_MAX;
    drop_file(r);
    if (a->status == 0) /* not this one's fault: begin anew */
        r->at = r->n_found = 0;
    go_on_in(r, r->backoff);
}

static void send_batch(struct aef_reporter *r, struct batch *b)
{
    const struct aef *aef = r->aef;
    char url[1024], key[NAME_MAX + 64];
    const char *headers[] = { key, NULL };
    const struct capif_call call = {
        .method = "POST",
        .url = url,
        .address = aef->ccf_address,
        .cred = &aef->cred,
        .ca_file = aef->ca_file,
        .headers = headers,
        .content_type = "application/json",
        .body = b->text,
        .body_len = b->len,
        .timeout_ms = CALL_MS,
        .answer_max = ANSWER_MAX,
        .done = on_answer,
        .arg = r,
    };
    const struct capif_answer none = { .error = "out of memory" };

    snprintf(url, sizeof(url), "%s/api-invocation-logs/v1/%s/logs",
             aef->ccf_url, aef->aef_id);
    snprintf(key, sizeof(key), "Idempotency-Key: %s-%zu", r->file, b->nth);
    r->sending = b;
    clock_gettime(CLOCK_MONOTONIC, &r->sent);
    if (capif_client_send(r->client, &call) == NULL)
        on_answer(&none, r);
}

static void send_next(struct aef_reporter *r)
{
    struct batch *b = r->batches;

    while (b != NULL && b->over)
        b = b->next;
    if (b != NULL)
        send_batch(r, b);
    else
        end_file(r);
}

/* ---- the directory ---- */

/* One that has got its name since we looked, or may have, goes to the disk. */
static bool sync_new(const struct aef_reporter *r, const char *name,
                     const struct stat *st)
{
    int fd;

    if (st->st_ctime + 1 < r->looked || (fd = open_in(r, name, O_RDONLY)) < 0)
        return false;
    (void)fdatasync(fd);
    close(fd);
    return true;
}

/* Keep it, if it is among the oldest. */
static void add_found(struct aef_reporter *r, const char *name)
{
    size_t i = r->n_found;

    while (i > 0 && strcmp(name, r->found[i - 1]) < 0)
        i--;
    if (i == FOUND_MAX)
        return;
    if (r->n_found < FOUND_MAX)
        r->n_found++;
    memmove(&r->found[i + 1], &r->found[i],
            (r->n_found - i - 1) * sizeof(*r->found));
    snprintf(r->found[i], sizeof(*r->found), "%s", name);
}

static void look(struct aef_reporter *r)
{
    const time_t now = time(NULL);
    const struct dirent *e;
    struct stat st;
    int fd = open_in(r, ".", O_RDONLY | O_DIRECTORY);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool fresh = false;

    r->n_found = r->at = 0;
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (!is_log(e->d_name)
            || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0
            || !S_ISREG(st.st_mode))
            continue;
        fresh |= sync_new(r, e->d_name, &st);
        add_found(r, e->d_name);
    }
    if (fresh)
        (void)fsync(fd);
    r->looked = now;
    if (d != NULL)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

/* The next file, and its batches; false: there is none that can be read. */
static bool next_file(struct aef_reporter *r)
{
    if (r->at == r->n_found)
        look(r);
    return r->at < r->n_found && read_file(r, r->found[r->at++]);
}

static void go_on(evutil_socket_t fd, short what, void *arg)
{
    struct aef_reporter *r = arg;

    (void)fd;
    (void)what;
    if (r->file[0] != '\0' || next_file(r))
        send_next(r);
    else
        go_on_in(r, LOOK_MS);
}

struct aef_reporter *aef_reporter_new(struct aef *aef, struct event_base *base,
                                      struct capif_client *client)
{
    struct aef_reporter *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->aef = aef;
    r->client = client;
    r->found = calloc(FOUND_MAX, sizeof(*r->found));
    if (r->found == NULL || (r->timer = evtimer_new(base, go_on, r)) == NULL) {
        aef_reporter_free(r);
        return NULL;
    }
    go_on_in(r, 0);
    return r;
}

void aef_reporter_free(struct aef_reporter *r)
{
    if (r == NULL)
        return;
    if (r->timer != NULL)
        event_free(r->timer);
    drop_file(r);
    free(r->found);
    free(r);
}
