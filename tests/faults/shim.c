/* Faults of the machine for one process: a disk that refuses or is slow, a clock that jumps.
 *
 *     cc -shared -fPIC -O2 -o shim.so shim.c -ldl
 *     LD_PRELOAD=shim.so FAULTS_CONTROL=file FAULTS_SCOPE=/directory program
 *
 * The control file is shared memory (struct control below): whoever writes to it changes what happens to
 * the running program from its next call on. Disk faults hold for files below the scope only, so that
 * logs and sockets elsewhere go on working. Calls that do not go through libc are not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, OPEN = 4, READ = 8, NAME = 16 };

/* The same layout is in machine.py. */
struct control {
    int64_t clock_seconds; /* added to the time of day */
    int64_t fail_calls;    /* which kinds of calls fail */
    int64_t fail_errno;
    int64_t fail_one_in;   /* every how many of them */
    int64_t delay_calls;   /* which kinds are slow */
    int64_t delay_usec;
    _Atomic int64_t counted;
    _Atomic int64_t failed;
    _Atomic int64_t delayed;
};

static struct control nothing;
static struct control *volatile control = &nothing;
static char scope[4096];
static size_t scope_length;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAULTS_CONTROL"), *below = getenv("FAULTS_SCOPE");
    if (!file || !below || strlen(below) >= sizeof scope)
        return;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return;
    strcpy(scope, below);
    scope_length = strlen(scope);
    control = at;
}

static int in_scope(const char *path) {
    return scope_length && strncmp(path, scope, scope_length) == 0;
}

static int fd_in_scope(int fd) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return in_scope(path);
}

/* Waits and fails as it was told to; 0 when the call is to be made. */
static int strike(int kind, int here) {
    if (!here)
        return 0;
    if (control->delay_calls & kind) {
        atomic_fetch_add(&control->delayed, 1);
        struct timespec pause = {control->delay_usec / 1000000, control->delay_usec % 1000000 * 1000};
        nanosleep(&pause, NULL);
    }
    int64_t one_in = control->fail_one_in;
    if (!(control->fail_calls & kind) || one_in < 1)
        return 0;
    if ((atomic_fetch_add(&control->counted, 1) + 1) % one_in)
        return 0;
    atomic_fetch_add(&control->failed, 1);
    errno = (int)control->fail_errno;
    return 1;
}

static int armed(int kind) {
    return ((control->fail_calls | control->delay_calls) & kind) != 0;
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) \
        next = dlsym(RTLD_NEXT, #name)

#define ON_FD(kind, fd) \
    if (armed(kind) && strike(kind, fd_in_scope(fd))) \
        return -1

#define ON_PATH(kind, path) \
    if (armed(kind) && strike(kind, in_scope(path))) \
        return -1

ssize_t write(int fd, const void *data, size_t size) {
    NEXT(write);
    ON_FD(WRITE, fd);
    return next(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    NEXT(writev);
    ON_FD(WRITE, fd);
    return next(fd, pieces, count);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    NEXT(pwrite64);
    ON_FD(WRITE, fd);
    return next(fd, data, size, at);
}

int ftruncate64(int fd, off64_t size) {
    NEXT(ftruncate64);
    ON_FD(WRITE, fd);
    return next(fd, size);
}

int fsync(int fd) {
    NEXT(fsync);
    ON_FD(SYNC, fd);
    return next(fd);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    ON_FD(SYNC, fd);
    return next(fd);
}

int syncfs(int fd) {
    NEXT(syncfs);
    ON_FD(SYNC, fd);
    return next(fd);
}

ssize_t read(int fd, void *data, size_t size) {
    NEXT(read);
    ON_FD(READ, fd);
    return next(fd, data, size);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
    NEXT(pread64);
    ON_FD(READ, fd);
    return next(fd, data, size, at);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    ON_PATH(NAME, path);
    return next(path, mode);
}

int unlink(const char *path) {
    NEXT(unlink);
    ON_PATH(NAME, path);
    return next(path);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    ON_PATH(NAME, to);
    return next(from, to);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    NEXT(linkat);
    ON_PATH(NAME, to);
    return next(from_at, from, to_at, to, flags);
}

/* Only what is opened for writing: a disk that refuses to be written can still be read. */
#define OPENING(name) \
    NEXT(name); \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    } \
    if (flags & (O_WRONLY | O_RDWR | O_CREAT)) \
        ON_PATH(OPEN, path); \
    return next(path, flags, mode)

int open(const char *path, int flags, ...) { OPENING(open); }

int open64(const char *path, int flags, ...) { OPENING(open64); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    NEXT(clock_gettime);
    int result = next(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += control->clock_seconds;
    return result;
}
