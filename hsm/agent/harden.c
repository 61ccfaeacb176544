/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

bool agent_fail(const char *what)
{
    capif_log("error", "reason", what, "detail", strerror(errno), NULL);
    return false;
}

/* What is locked counts against RLIMIT_MEMLOCK, unless it is root's. */
static bool lock_memory(const struct agent *agent)
{
    if (strcmp(agent->lock_memory, "no") == 0
        || mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
        return true;
    if (strcmp(agent->lock_memory, "yes") == 0)
        return agent_fail(
            "memory can't be locked (RLIMIT_MEMLOCK, lock-memory)");
    capif_log("warning", "reason", "memory is not locked", "detail",
              strerror(errno), NULL);
    return munlockall() == 0 || agent_fail("munlockall");
}

bool agent_harden(const struct agent *agent)
{
    const struct rlimit none = { 0, 0 };
    const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

    if (setrlimit(RLIMIT_CORE, &none) != 0
        || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return agent_fail("no protection against cores and tracers");
    (void)setrlimit(RLIMIT_MEMLOCK, &all); /* root may; for `user` */
    return lock_memory(agent);
}

bool agent_become(const struct agent *agent)
{
    const struct passwd *pw;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return agent_fail("PR_SET_NO_NEW_PRIVS");
    if (agent->user == NULL)
        return true;
    if ((pw = getpwnam(agent->user)) == NULL)
        return agent_fail("there is no such user");
    if (pw->pw_uid == geteuid())
        return true;
    if (setgroups(0, NULL) != 0 || setgid(pw->pw_gid) != 0
        || setuid(pw->pw_uid) != 0)
        return agent_fail("can't become the user that is configured");
    /* The change has made the process traceable again. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return agent_fail("PR_SET_DUMPABLE");
    /* All that is mapped from now on would fail where the limit is low. */
    return lock_memory(agent);
}

/*
 * What the C library, pthreads, and modules that keep their objects in files
 * need.  Not on the list, hence refused (EPERM): to run a program, to trace
 * or to look into another process, to load code into the kernel, to mount,
 * to make namespaces, keys, and, unless `network`, sockets.
 */
static const char *const allowed[] = {
    "accept4",
    "access",
    "arch_prctl",
    "brk",
    "chmod",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchmod",
    "fcntl",
    "fdatasync",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futex",
    "futex_waitv",
    "get_robust_list",
    "getcpu",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "getrlimit",
    "getrusage",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "ioctl",
    "lseek",
    "lstat",
    "madvise",
    "membarrier",
    "mkdir",
    "mkdirat",
    "mlock",
    "mlock2",
    "mmap",
    "mprotect",
    "mremap",
    "munlock",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pause",
    "poll",
    "ppoll",
    "pread64",
    "pselect6",
    "pwrite64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmsg",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sched_getaffinity",
    "sched_yield",
    "select",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "stat",
    "statfs",
    "statx",
    "sysinfo",
    "time",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "utimensat",
    "write",
    "writev",
};

static const char *const networked[] = {
    "bind",     "getpeername", "getsockopt", "listen",
    "recvmmsg", "sendmmsg",    "socket",     "socketpair",
};

static bool allow(scmp_filter_ctx f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(names[i]);

        /* Some are there on some machines only. */
        if (nr != __NR_SCMP_ERROR && nr >= 0
            && seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0) != 0)
            return false;
    }
    return true;
}

/*
 * Threads, but no processes; the C library takes ENOSYS for an answer.  Of
 * what could be done to other processes, only what is done to this one.
 */
static bool allow_own(scmp_filter_ctx f)
{
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid()))
               == 0
           && seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
                               SCMP_A0_64(SCMP_CMP_EQ, 0))
                  == 0
           && seccomp_rule_add(
                  f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                  SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0x10000 /* THREAD */, 0x10000))
                  == 0
           && seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0)
                  == 0;
}

bool agent_confine(const struct agent *agent)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool ok =
        f != NULL && seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1) == 0
        && allow(f, allowed, sizeof(allowed) / sizeof(allowed[0]))
        && (!agent->network
            || allow(f, networked, sizeof(networked) / sizeof(networked[0])))
        && allow_own(f) && seccomp_load(f) == 0;

    seccomp_release(f);
    return ok || agent_fail("seccomp");
}
