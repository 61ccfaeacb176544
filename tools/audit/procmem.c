/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/{maps,pagemap,mem}, all under one descriptor of /proc/PID: a pid
 * that is used again isn't taken for the process.
 */
#include "procmem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_STEP  65536
#define PAGES_STEP 512
#define FAILS_MAX  64 /* pages in a row: device memory, not a hole */

/* Of an entry in pagemap, Documentation/admin-guide/mm/pagemap.rst. */
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)

struct procmem {
    pid_t pid;
    int dir, mem, pagemap; /* pagemap -1: every page counts as touched */
    char *text;
    size_t text_room;
    struct procmem_map *map;
    size_t n, room;
};

size_t procmem_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

pid_t procmem_pid(const struct procmem *p)
{
    return p->pid;
}

static int file_open(const struct procmem *p, const char *name)
{
    return openat(p->dir, name, O_RDONLY | O_CLOEXEC);
}

static bool over(int err)
{
    return err == ESRCH || err == ENOENT;
}

/* NUL-terminated in p->text. */
static enum procmem_status file_read(struct procmem *p, const char *name)
{
    int fd = file_open(p, name), err;
    size_t n = 0;
    ssize_t got = 0;

    if (fd < 0)
        return over(errno) ? PROCMEM_ENDED : PROCMEM_ERROR;
    for (;;) {
        if (p->text_room - n < 2) {
            char *more = realloc(p->text, p->text_room + TEXT_STEP);

            if (more == NULL) {
                got = -1;
                break;
            }
            p->text = more;
            p->text_room += TEXT_STEP;
        }
        if ((got = read(fd, p->text + n, p->text_room - n - 1)) <= 0)
            break;
        n += (size_t)got;
    }
    err = errno;
    close(fd);
    errno = err;
    if (got < 0)
        return over(err) ? PROCMEM_ENDED : PROCMEM_ERROR;
    p->text[n] = '\0';
    return PROCMEM_OK;
}

bool procmem_comm(const struct procmem *p, char *out, size_t len)
{
    int fd = file_open(p, "comm");
    ssize_t got = fd >= 0 ? read(fd, out, len - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return false;
    out[got] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return true;
}

/* The process that a thread belongs to; 0 if that can't be said. */
static pid_t group(struct procmem *p)
{
    const char *line;

    if (file_read(p, "status") != PROCMEM_OK
        || (line = strstr(p->text, "\nTgid:")) == NULL)
        return 0;
    return (pid_t)strtol(line + 6, NULL, 10);
}

enum procmem_status procmem_reopen(struct procmem *p)
{
    int mem = file_open(p, "mem");

    if (mem < 0)
        return over(errno) ? PROCMEM_ENDED : PROCMEM_ERROR;
    if (p->mem >= 0)
        close(p->mem);
    if (p->pagemap >= 0)
        close(p->pagemap);
    p->mem = mem;
    p->pagemap = file_open(p, "pagemap");
    return PROCMEM_OK;
}

static bool dir_open(struct procmem *p, pid_t pid)
{
    char path[32];

    if (p->dir >= 0)
        close(p->dir);
    snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
    p->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return p->dir >= 0;
}

struct procmem *procmem_open(pid_t pid)
{
    struct procmem *p = calloc(1, sizeof(*p));
    int err;

    if (p == NULL)
        return NULL;
    p->dir = p->mem = p->pagemap = -1;
    if (dir_open(p, pid) && (p->pid = group(p)) != 0 && dir_open(p, p->pid)
        && procmem_reopen(p) == PROCMEM_OK)
        return p;
    err = over(errno) ? ESRCH : errno;
    procmem_close(p);
    errno = err;
    return NULL;
}

void procmem_close(struct procmem *p)
{
    if (p == NULL)
        return;
    if (p->dir >= 0)
        close(p->dir);
    if (p->mem >= 0)
        close(p->mem);
    if (p->pagemap >= 0)
        close(p->pagemap);
    free(p->text);
    free(p->map);
    free(p);
}

/* ---- mappings ---- */

/* "START-END rwxp OFFSET DEV INODE   NAME", proc(5); false: not wanted. */
static bool map_parse(char *line, struct procmem_map *m)
{
    char *at = line;
    const char *mode, *name;
    size_t len;

    *m = (struct procmem_map){ .start = strtoull(at, &at, 16) };
    if (*at++ != '-')
        return false;
    m->end = strtoull(at, &at, 16);
    if (*at++ != ' ' || strlen(at) < 5)
        return false;
    mode = at;
    m->readable = mode[0] == 'r';
    m->writable = mode[1] == 'w';
    strtoull(at + 5, &at, 16); /* offset */
    at += strspn(at, " ");
    at += strcspn(at, " "); /* device */
    m->anonymous = mode[3] == 'p' && strtoull(at, &at, 10) == 0;
    at += strspn(at, " 0123456789");
    name = at;
    /* The kernel's own, the same for all: no process writes there. */
    if (strncmp(name, "[vvar", 5) == 0 || strcmp(name, "[vsyscall]") == 0)
        return false;
    len = strlen(name);
    if (len >= sizeof(m->name))
        name += len - sizeof(m->name) + 1;
    strcpy(m->name, name);
    return true;
}

static bool map_add(struct procmem *p, char *line)
{
    struct procmem_map m;

    if (!map_parse(line, &m))
        return true;
    if (p->n == p->room) {
        size_t room = p->room == 0 ? 256 : 2 * p->room;
        void *more = realloc(p->map, room * sizeof(*p->map));

        if (more == NULL)
            return false;
        p->map = more;
        p->room = room;
    }
    p->map[p->n++] = m;
    return true;
}

enum procmem_status procmem_maps(struct procmem *p, struct procmem_map **maps,
                                 size_t *n)
{
    enum procmem_status st = file_read(p, "maps");
    char *line, *eol;

    if (st != PROCMEM_OK)
        return st;
    p->n = 0;
    for (line = p->text; *line != '\0'; line = eol + 1) {
        if ((eol = strchr(line, '\n')) == NULL)
            break;
        *eol = '\0';
        if (!map_add(p, line))
            return PROCMEM_ERROR;
    }
    *maps = p->map;
    *n = p->n;
    return p->n > 0 ? PROCMEM_OK : PROCMEM_ENDED; /* a zombie has none */
}

/* ---- reading ---- */

/* Was it unmapped meanwhile?  Then there is nothing that could be read. */
static bool still_there(const struct procmem *p, uint64_t at)
{
    struct procmem again = { .dir = p->dir };
    struct procmem_map *m;
    bool there = false;
    size_t n;

    if (procmem_maps(&again, &m, &n) == PROCMEM_OK)
        for (size_t i = 0; !there && i < n; i++)
            there = m[i].readable && m[i].start <= at && at < m[i].end;
    free(again.text);
    free(again.map);
    return there;
}

static enum procmem_status run_read(struct procmem *p, struct procmem_map *m,
                                    uint64_t at, uint8_t *buf, size_t len)
{
    const size_t page = procmem_page();
    size_t done = 0;
    unsigned fails = 0;

    while (done < len) {
        ssize_t got = pread(p->mem, buf + done, len - done, (off_t)(at + done));

        if (got > 0) {
            done += (size_t)got;
            fails = 0;
            continue;
        }
        if (got == 0)
            return PROCMEM_ENDED;
        if (errno != EIO && errno != EFAULT)
            return over(errno) ? PROCMEM_ENDED : PROCMEM_ERROR;
        m->failed = m->failed || still_there(p, at + done);
        if (++fails == FAILS_MAX) {
            memset(buf + done, 0, len - done);
            return PROCMEM_OK;
        }
        /* It stops at borders of pages: the rest of this one is no page. */
        got = (ssize_t)(page - (size_t)((at + done) % page));
        memset(buf + done, 0, (size_t)got);
        done += (size_t)got;
    }
    return PROCMEM_OK;
}

/* Where that is not known, all of them may be. */
static void touched_pages(const struct procmem *p, uint64_t at, size_t n,
                          bool *touched)
{
    uint64_t entry[PAGES_STEP];
    const size_t page = procmem_page();
    ssize_t got = p->pagemap < 0 ? -1
                                 : pread(p->pagemap, entry, n * sizeof(*entry),
                                         (off_t)(at / page * sizeof(*entry)));

    for (size_t i = 0; i < n; i++)
        touched[i] = got != (ssize_t)(n * sizeof(*entry))
                     || (entry[i] & (PAGE_PRESENT | PAGE_SWAPPED)) != 0;
}

/* At most PAGES_STEP pages. */
static enum procmem_status pages_read(struct procmem *p, struct procmem_map *m,
                                      uint64_t at, uint8_t *buf, size_t n,
                                      bool *touched, bool zeros)
{
    const size_t page = procmem_page();
    enum procmem_status st = PROCMEM_OK;
    size_t i = 0, k;

    if (m->anonymous)
        touched_pages(p, at, n, touched);
    else
        memset(touched, true, n);
    for (; st == PROCMEM_OK && i < n; i = k) {
        for (k = i; k < n && touched[k] == touched[i];)
            k++;
        if (touched[i])
            st = run_read(p, m, at + i * page, buf + i * page, (k - i) * page);
        else if (zeros)
            memset(buf + i * page, 0, (k - i) * page);
    }
    return st;
}

enum procmem_status procmem_read(struct procmem *p, struct procmem_map *m,
                                 uint64_t at, uint8_t *buf, size_t len,
                                 bool *touched)
{
    const size_t page = procmem_page();
    enum procmem_status st = PROCMEM_OK;
    bool mine[PAGES_STEP];

    for (size_t i = 0; st == PROCMEM_OK && i < len / page; i += PAGES_STEP) {
        size_t n = len / page - i;

        n = n < PAGES_STEP ? n : PAGES_STEP;
        st = pages_read(p, m, at + i * page, buf + i * page, n,
                        touched != NULL ? touched + i : mine, touched == NULL);
    }
    return st;
}
