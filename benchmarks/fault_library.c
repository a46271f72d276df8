/* Faults of the system, for a process that is started with this library in LD_PRELOAD.

   Operations on files below FAULT_PLACE are counted in each process, and a letter for each is
   appended to FAULT_TALLY: w if it takes space (write, sync, new file, folder), o if it changes
   something else (rename, link, removal, truncation), r if it reads (for the last two actions).

   FAULT_ACTION=kill    the process kills itself before operation FAULT_AT (w and o count)
   FAULT_ACTION=stop    it stops there until it is sent SIGCONT
   FAULT_ACTION=full    from operation FAULT_AT on, all of w fail: no space left on device
   FAULT_ACTION=broken  FAULT_FOR reads from FAULT_AT on fail: input/output error
   FAULT_ACTION=crash   at read FAULT_AT the process crashes, as a faulty decoder would

   CLOCK_JUMP is added to the time of day; with CLOCK_WILD, added and taken off by turns. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int is(const char *action) {
    const char *text = getenv("FAULT_ACTION");
    return text && !strcmp(text, action);
}

static int reads(void) { return is("broken") || is("crash"); }

static int below(int folder, const char *path) {
    char link[64], found[4096];
    const char *place = getenv("FAULT_PLACE");
    if (!place) return 0;
    if (path && path[0] == '/') return !strncmp(path, place, strlen(place));
    if (folder < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t n = readlink(link, found, sizeof found - 1);
    if (n < 0) return 0;
    found[n] = 0;
    return !strncmp(found, place, strlen(place));
}

static void tally(char kind) {
    const char *file = getenv("FAULT_TALLY");
    if (!file) return;
    int fd = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (fd >= 0) {
        syscall(SYS_write, fd, &kind, 1);
        syscall(SYS_close, fd);
    }
}

static int fails(char kind) { /* count an operation; whether it is to fail, by errno */
    static long count;
    int error = errno;
    tally(kind);
    if ((kind == 'r') != reads() || (is("full") && kind == 'o')) return errno = error, 0;
    long at = number("FAULT_AT"), n = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    errno = error;
    if (!at || n < at) return 0;
    if (n == at && is("kill")) kill(getpid(), SIGKILL);
    if (n == at && is("stop")) kill(getpid(), SIGSTOP);
    if (n == at && is("crash")) kill(getpid(), SIGSEGV);
    if (is("full")) return errno = ENOSPC, 1;
    if (is("broken") && n < at + number("FAULT_FOR")) return errno = EIO, 1;
    return 0;
}

#define GUARD(kind, folder, path) if (below(folder, path) && fails(kind)) return -1

ssize_t write(int fd, const void *data, size_t n) {
    GUARD('w', fd, 0);
    return REAL(write)(fd, data, n);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    GUARD('w', fd, 0);
    return REAL(pwrite)(fd, data, n, at);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    GUARD('w', fd, 0);
    return REAL(pwrite64)(fd, data, n, at);
}
ssize_t writev(int fd, const struct iovec *data, int n) {
    GUARD('w', fd, 0);
    return REAL(writev)(fd, data, n);
}
int fsync(int fd) {
    GUARD('w', fd, 0);
    return REAL(fsync)(fd);
}
int fdatasync(int fd) {
    GUARD('w', fd, 0);
    return REAL(fdatasync)(fd);
}
int mkdir(const char *path, mode_t mode) {
    GUARD('w', -1, path);
    return REAL(mkdir)(path, mode);
}

#define OPEN(name, before, folder)                                        \
    va_list more;                                                         \
    va_start(more, flags);                                                \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                         \
    if (flags & O_CREAT && access(path, F_OK)) GUARD('w', folder, path);  \
    return REAL(name) before
int open(const char *path, int flags, ...) { OPEN(open, (path, flags, mode), -1); }
int open64(const char *path, int flags, ...) { OPEN(open64, (path, flags, mode), -1); }
int openat(int f, const char *path, int flags, ...) { OPEN(openat, (f, path, flags, mode), f); }
int openat64(int f, const char *path, int flags, ...) {
    OPEN(openat64, (f, path, flags, mode), f);
}

int rename(const char *from, const char *to) {
    GUARD('o', -1, to);
    return REAL(rename)(from, to);
}
int renameat(int f, const char *from, int t, const char *to) {
    GUARD('o', t, to);
    return REAL(renameat)(f, from, t, to);
}
int renameat2(int f, const char *from, int t, const char *to, unsigned flags) {
    GUARD('o', t, to);
    return REAL(renameat2)(f, from, t, to, flags);
}
int linkat(int f, const char *from, int t, const char *to, int flags) {
    GUARD('o', t, to);
    return REAL(linkat)(f, from, t, to, flags);
}
int link(const char *from, const char *to) {
    GUARD('o', -1, to);
    return REAL(link)(from, to);
}
int unlink(const char *path) {
    GUARD('o', -1, path);
    return REAL(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    GUARD('o', folder, path);
    return REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) {
    GUARD('o', -1, path);
    return REAL(rmdir)(path);
}
int ftruncate(int fd, off_t size) {
    GUARD('o', fd, 0);
    return REAL(ftruncate)(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    GUARD('o', fd, 0);
    return REAL(ftruncate64)(fd, size);
}
int truncate(const char *path, off_t size) {
    GUARD('o', -1, path);
    return REAL(truncate)(path, size);
}

ssize_t read(int fd, void *data, size_t n) {
    if (reads()) GUARD('r', fd, 0);
    return REAL(read)(fd, data, n);
}
ssize_t pread64(int fd, void *data, size_t n, off64_t at) {
    if (reads()) GUARD('r', fd, 0);
    return REAL(pread64)(fd, data, n, at);
}

static long jump(void) {
    static long count;
    long seconds = number("CLOCK_JUMP");
    return getenv("CLOCK_WILD") && __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) & 4
        ? -seconds : seconds;
}
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = REAL(clock_gettime);
    int status = real(id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) t->tv_sec += jump();
    return status;
}
time_t time(time_t *at) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (at) *at = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    at->tv_sec = t.tv_sec;
    at->tv_usec = t.tv_nsec / 1000;
    return 0;
}
