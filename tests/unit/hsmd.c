/* SPDX-License-Identifier: Apache-2.0 */
/* See hsmd.h. */
#include "hsmd.h"

#include "token.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/*
 * LeakSanitizer looks for leaks at the end by a clone() of its process that
 * traces it.  The agent lets itself be traced by nobody, and clone() make
 * threads alone; its leaks show as secrets that stay in the token.
 */
#define NO_LEAKS "detect_leaks=0"

void hsmd_configure(struct hsmd *d, const char *dir, const char *name,
                    const char *module, const char *label, const char *pin_file,
                    const char *more)
{
    FILE *f;

    snprintf(d->conf, sizeof(d->conf), "%s/%s.conf", dir, name);
    snprintf(d->sock, sizeof(d->sock), "%s/%s.sock", dir, name);
    f = fopen(d->conf, "w");
    assert_non_null(f);
    fprintf(f,
            "[hsmd]\nlisten = %s\npkcs11-module = %s\n"
            "token = pkcs11:token=%s\npin-file = %s\n"
            "lock-memory = if-possible\n%s[key *]\nusers = %lu\n"
            "use = sign, derive, wrap, unwrap, generate\n",
            d->sock, module, label, pin_file, more, (unsigned long)getuid());
    assert_int_equal(fclose(f), 0);
}

static void *read_all(void *arg)
{
    struct hsmd *d = arg;
    char buf[1024];
    ssize_t n;

    while ((n = read(d->err, buf, sizeof(buf))) > 0) {
        size_t room;

        pthread_mutex_lock(&d->lock);
        room = sizeof(d->said) - 1 - d->len;
        if ((size_t)n < room)
            room = (size_t)n;
        memcpy(d->said + d->len, buf, room);
        d->len += room;
        d->said[d->len] = '\0';
        pthread_cond_broadcast(&d->more);
        pthread_mutex_unlock(&d->lock);
    }
    pthread_mutex_lock(&d->lock);
    d->over = true;
    pthread_cond_broadcast(&d->more);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* The environment, but for the sanitizer's options. */
static char **environment(void)
{
    const char *old = getenv("ASAN_OPTIONS");
    static char options[1024];
    char **env;
    size_t n = 0, k = 0;

    snprintf(options, sizeof(options), "ASAN_OPTIONS=%s%s" NO_LEAKS,
             old != NULL ? old : "", old != NULL ? ":" : "");
    while (environ[n] != NULL)
        n++;
    env = calloc(n + 2, sizeof(*env));
    assert_non_null(env);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "ASAN_OPTIONS=", 13) != 0)
            env[k++] = environ[i];
    env[k] = options;
    return env;
}

static void spawn(struct hsmd *d)
{
    char *hsmd = getenv("HSMD"), **env = environment();
    char *const argv[] = { hsmd, d->conf, NULL };
    posix_spawn_file_actions_t files;
    int fds[2];

    assert_non_null(hsmd);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&files), 0);
    /* Its standard output would break the TAP. */
    assert_int_equal(
        posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0),
        0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&files, fds[1], 2), 0);
    if (posix_spawn(&d->pid, hsmd, &files, NULL, argv, env) != 0)
        fail_msg("%s: can't be started", hsmd);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    close(fds[1]);
    d->err = fds[0];
}

void hsmd_start(struct hsmd *d)
{
    bool ready;

    d->over = false;
    d->len = 0;
    d->said[0] = '\0';
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->more, NULL);
    spawn(d);
    assert_int_equal(pthread_create(&d->reader, NULL, read_all, d), 0);
    pthread_mutex_lock(&d->lock);
    while (!(ready = strstr(d->said, "event=ready") != NULL) && !d->over)
        pthread_cond_wait(&d->more, &d->lock);
    pthread_mutex_unlock(&d->lock);
    if (!ready)
        fail_msg("the agent ended: %s", d->said);
}

/* Its status. */
static int end(struct hsmd *d, int sig)
{
    int status = -1;

    assert_int_equal(kill(d->pid, sig), 0);
    assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
    d->pid = 0;
    pthread_join(d->reader, NULL);
    close(d->err);
    pthread_cond_destroy(&d->more);
    pthread_mutex_destroy(&d->lock);
    return status;
}

void hsmd_stop(struct hsmd *d)
{
    int status = end(d, SIGTERM);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0
        || strstr(d->said, "event=error") != NULL)
        fail_msg("the agent's status is %#x: %s", (unsigned)status, d->said);
}

void hsmd_kill(struct hsmd *d)
{
    int status = end(d, SIGKILL);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}
