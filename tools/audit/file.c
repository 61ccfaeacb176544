/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, read as they are.  Symbolic links are followed for what was named,
 * not below it.
 */
#include "audit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes fd.  Chunks overlap, so that nothing is missed at their borders. */
static void file(struct audit *a, struct audit_target *t, int fd,
                 const char *path)
{
    const size_t keep = needles_longest(a->needles) - 1;
    size_t have = 0;
    uint64_t at = 0;
    ssize_t got;

    while ((got = read(fd, a->buf + have, AUDIT_BUF - have)) > 0) {
        have += (size_t)got;
        t->octets += (uint64_t)got;
        if (have < AUDIT_BUF)
            continue;
        if (!audit_find(a, t, a->buf, have, at))
            break;
        memmove(a->buf, a->buf + have - keep, keep);
        at += have - keep;
        have = keep;
    }
    if (got < 0)
        audit_fail(a, t, path, strerror(errno));
    audit_find(a, t, a->buf, have, at);
    audit_settle(a, t, path);
    close(fd);
}

static void walk(struct audit *a, struct audit_target *t, int fd,
                 const char *path);

static void entry(struct audit *a, struct audit_target *t, int dir,
                  const char *path, const char *name)
{
    const size_t len = strlen(path) + strlen(name) + 2;
    char *full = malloc(len);
    struct stat st;
    int fd;

    if (full == NULL) {
        audit_fail(a, t, name, "out of memory");
        return;
    }
    snprintf(full, len, "%s/%s", path, name);
    /* Not opened before it is known: a FIFO would wait for a writer. */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) /* journals come and go */
            audit_fail(a, t, full, strerror(errno));
    } else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
        fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0)
            walk(a, t, fd, full);
        else if (errno != ENOENT)
            audit_fail(a, t, full, strerror(errno));
    }
    free(full);
}

/* Takes fd. */
static void walk(struct audit *a, struct audit_target *t, int fd,
                 const char *path)
{
    struct stat st;
    struct dirent *e;
    DIR *dir;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        file(a, t, fd, path);
        return;
    }
    if ((dir = fdopendir(fd)) == NULL) {
        audit_fail(a, t, path,
                   errno == ENOTDIR ? "neither a file nor a directory"
                                    : strerror(errno));
        close(fd);
        return;
    }
    while (errno = 0, (e = readdir(dir)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            entry(a, t, dirfd(dir), path, e->d_name);
    if (errno != 0)
        audit_fail(a, t, path, strerror(errno));
    closedir(dir);
}

void audit_path(struct audit *a, struct audit_target *t)
{
    int fd = open(t->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0)
        walk(a, t, fd, t->path);
    else
        audit_fail(a, t, t->path, strerror(errno));
}
