/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-hsmd: a token's keys in a process of their own.
 */
#include "agent.h"

#include "conf.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACTIVATED 3 /* the first descriptor that systemd passes on */

static struct agent agent = { .listener = -1, .stop = -1 };
static bool bound; /* the socket is ours to remove */

/* ---- the socket ---- */

/* One that a process which has ended left behind is in the way. */
static bool remove_stale(const struct sockaddr_un *at)
{
    struct stat sb;
    bool stale;
    int fd;

    if (lstat(at->sun_path, &sb) != 0)
        return errno == ENOENT || agent_fail("listen");
    errno = EEXIST;
    if (!S_ISSOCK(sb.st_mode))
        return agent_fail("listen: not a socket");
    if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
        return agent_fail("socket");
    stale = connect(fd, (const struct sockaddr *)at, sizeof(*at)) != 0
            && errno == ECONNREFUSED;
    close(fd);
    errno = EADDRINUSE;
    return stale ? unlink(at->sun_path) == 0 || agent_fail("listen")
                 : agent_fail("listen: somebody else does");
}

/* sd_listen_fds(3), without the library. */
static bool is_activated(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

    return pid != NULL && fds != NULL && strcmp(fds, "1") == 0
           && strtol(pid, NULL, 10) == (long)getpid();
}

static bool nonblocking(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0
           && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/*
 * Anybody may connect: who he is decides, not the file's mode, which the
 * directory's may narrow.
 */
static bool open_listener(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    mode_t mask;
    bool ok;

    if (is_activated()) {
        agent.listener = ACTIVATED;
        return nonblocking(ACTIVATED) || agent_fail("LISTEN_FDS");
    }
    if (strlen(agent.listen) >= sizeof(at.sun_path)) {
        errno = ENAMETOOLONG;
        return agent_fail("listen");
    }
    strcpy(at.sun_path, agent.listen);
    if (!remove_stale(&at))
        return false;
    agent.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    mask = umask(0111);
    ok = agent.listener >= 0
         && bind(agent.listener, (struct sockaddr *)&at, sizeof(at)) == 0;
    umask(mask);
    bound = ok;
    return (ok && nonblocking(agent.listener)
            && listen(agent.listener, SOMAXCONN) == 0)
           || agent_fail("listen");
}

/* ---- the token ---- */

/* Of the file, or the credential of systemd.exec(5); none is no mistake. */
static enum hsm_status read_pin(char pin[HSM_PIN_MAX + 1], bool *there)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    size_t len = 0;
    enum hsm_status st;

    *there = agent.pin_file != NULL || agent.pin_credential != NULL;
    if (!*there)
        return HSM_OK;
    if (agent.pin_credential != NULL && dir == NULL)
        return hsm_fail(HSM_ERR_CONFIG, "pin-credential: there is no "
                                        "CREDENTIALS_DIRECTORY");
    if (agent.pin_credential != NULL)
        snprintf(path, sizeof(path), "%s/%s", dir, agent.pin_credential);
    else
        snprintf(path, sizeof(path), "%s", agent.pin_file);
    if ((st = hsm_pin_read(path, pin, &len)) == HSM_OK)
        pin[len] = '\0';
    return st;
}

/* The PIN is read now, since later its file may be out of reach. */
static bool open_token(void)
{
    struct hsm_config cfg = {
        .module = agent.module,
        .token = agent.token,
        .sessions = agent.sessions,
        .init_args = agent.init_args,
        .transient = true, /* that is what this process is for */
        .wrap_any = strcmp(agent.wrap, "any") == 0,
    };
    char pin[HSM_PIN_MAX + 1];
    bool there;
    enum hsm_status st = read_pin(pin, &there);

    if (there)
        cfg.pin = pin;
    if (st == HSM_OK)
        st = hsm_new(&cfg, &agent.hsm);
    OPENSSL_cleanse(pin, sizeof(pin));
    if (st == HSM_OK)
        return true;
    capif_log("error", "reason", hsm_last_error(), NULL);
    return false;
}

/* A token that is not there is no reason not to start. */
static bool look_at_token(void)
{
    enum hsm_status st = hsm_connect(agent.hsm);

    if (st != HSM_OK)
        capif_log(st == HSM_ERR_PIN || st == HSM_ERR_CONFIG ? "error"
                                                            : "warning",
                  "reason", hsm_last_error(), NULL);
    return st != HSM_ERR_PIN && st != HSM_ERR_CONFIG;
}

/* ---- life ---- */

/* SIGPIPE, too: where it is blocked, hsm_leave() has nothing to put right. */
static void block_signals(sigset_t *set)
{
    sigset_t blocked;

    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    blocked = *set;
    sigaddset(&blocked, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

static void *wait_for_end(void *arg)
{
    const uint64_t one = 1;
    int sig;

    sigwait(arg, &sig);
    if (write(agent.stop, &one, sizeof(one)) < 0)
        (void)agent_fail("eventfd");
    return NULL;
}

static bool many_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return agent_fail("RLIMIT_NOFILE");
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) == 0 || agent_fail("RLIMIT_NOFILE");
}

static bool run(void)
{
    static sigset_t set;
    pthread_t waiter;
    bool ok;

    block_signals(&set); /* in all threads, a module's, too */
    (void)signal(SIGPIPE, SIG_IGN);
    agent.stop = eventfd(0, EFD_CLOEXEC);
    if (agent.stop < 0 || !many_files() || !agent_harden(&agent)
        || !open_token() || !open_listener() || !agent_become(&agent)
        || !look_at_token() || !agent_confine(&agent)
        || pthread_create(&waiter, NULL, wait_for_end, &set) != 0)
        return false;
    ok = agent_serve(&agent);
    pthread_kill(waiter, SIGTERM); /* if that was not the end's reason */
    pthread_join(waiter, NULL);
    return ok;
}

int main(int argc, char **argv)
{
    struct capif_conf *conf;
    bool ok;

    if (argc != 2 || argv[1][0] == '-') {
        bool help = argc == 2 && strcmp(argv[1], "--help") == 0;

        fprintf(help ? stdout : stderr, "usage: capif-hsmd CONFIG\n");
        return help ? EXIT_SUCCESS : 2;
    }
    if ((conf = capif_conf_open(argv[1])) == NULL)
        return EXIT_FAILURE;
    ok = agent_configure(&agent, conf) && run();
    hsm_close(agent.hsm);
    if (bound)
        (void)unlink(agent.listen);
    agent_unconfigure(&agent);
    capif_conf_free(conf);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
