/* Counts the input and output calls of processes on some folders, and lets the N-th of them fail.

   Built and loaded (LD_PRELOAD) by benchmarks/injection/shim.py. All processes share one file,
   which they map: whoever writes `armed` there begins the count. Calls on other paths, pipes and
   sockets are neither counted nor disturbed. What fails is not done, but for close. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PLACES = 4, LENGTH = 1024 };
enum {
    OPEN = 1, CREATE = 2, READ = 4, WRITE = 8, SYNC = 16, CLOSE = 32, ADD = 64, REMOVE = 128,
    LOOK = 256, LIST = 512, LOCK = 1024, START = 2048
};

/* As STATE in shim.py. */
struct state {
    int64_t armed, at, error, stays, kinds, count, failed;
    char places[PLACES][LENGTH];
    char what[2 * LENGTH];
};

static struct state *state;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAILING_CALLS");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (file < 0) return;
    void *there = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (there != MAP_FAILED) state = there;
}

static int ours(const char *path) {
    for (int n = 0; n < PLACES; n++) {
        size_t length = strlen(state->places[n]);
        if (length && !strncmp(path, state->places[n], length)
            && (path[length] == '/' || path[length] == 0)) return 1;
    }
    return 0;
}

/* Whether this call is to fail; then errno is set. */
static int counted(int kind, const char *name, const char *path) {
    if (kind != START && !ours(path)) return 0;
    int64_t number = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    int64_t at = state->at;
    if (!at || number < at || (number > at && !state->stays)) return 0;
    if (number == at) snprintf(state->what, sizeof state->what, "%s %s", name, path);
    __atomic_add_fetch(&state->failed, 1, __ATOMIC_SEQ_CST);
    errno = (int)state->error;
    return 1;
}

static int wanted(int kind) { return state && state->armed && (state->kinds & kind); }

static int fails_file(int kind, const char *name, int file) {
    char link[64], path[LENGTH];
    if (!wanted(kind) || file < 0) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    errno = before;
    if (length <= 0 || path[0] != '/') return 0;
    path[length] = 0;
    return counted(kind, name, path);
}

static int fails_path(int kind, const char *name, int folder, const char *path) {
    char whole[2 * LENGTH], link[64];
    if (!wanted(kind) || !path) return 0;
    if (path[0] == '/') return counted(kind, name, path);
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/%s", "cwd");
    if (folder != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, LENGTH - 1);
    errno = before;
    if (length <= 0) return 0;
    snprintf(whole + length, LENGTH, "/%s", path);
    return counted(kind, name, whole);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define ON_FILE(kind, result, bad, name, parameters, file, given) \
    result name parameters { \
        REAL(name); \
        return fails_file(kind, #name, file) ? (bad) : real given; \
    }
#define ON_PATH(kind, result, bad, name, parameters, folder, path, given) \
    result name parameters { \
        REAL(name); \
        return fails_path(kind, #name, folder, path) ? (bad) : real given; \
    }

static int opening(int flags) {
    return flags & (O_CREAT | O_TRUNC) || (flags & O_ACCMODE) != O_RDONLY ? CREATE : OPEN;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = mode_of(flags, rest); \
        va_end(rest); \
        return fails_path(opening(flags), #name, AT_FDCWD, path) ? -1 : real(path, flags, mode); \
    }
#define OPENS_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = mode_of(flags, rest); \
        va_end(rest); \
        if (fails_path(opening(flags), #name, folder, path)) return -1; \
        return real(folder, path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

#define STREAM(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(name); \
        int kind = strpbrk(mode, "wa+") ? CREATE : OPEN; \
        return fails_path(kind, #name, AT_FDCWD, path) ? NULL : real(path, mode); \
    }
STREAM(fopen)
STREAM(fopen64)

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
    REAL(fwrite);
    return fails_file(WRITE, "fwrite", fileno(stream)) ? 0 : real(data, size, count, stream);
}
size_t fread(void *data, size_t size, size_t count, FILE *stream) {
    REAL(fread);
    return fails_file(READ, "fread", fileno(stream)) ? 0 : real(data, size, count, stream);
}
int fclose(FILE *stream) {
    REAL(fclose);
    int fails = fails_file(CLOSE, "fclose", fileno(stream)), error = errno, done = real(stream);
    if (!fails) return done;
    errno = error;
    return EOF;
}
int close(int file) {
    REAL(close);
    int fails = fails_file(CLOSE, "close", file), error = errno, done = real(file);
    if (!fails) return done;
    errno = error;
    return -1;
}

#define READS(name, at) \
    ON_FILE(READ, ssize_t, -1, name, (int f, void *d, size_t n, at o), f, (f, d, n, o))
#define WRITES(name, at) \
    ON_FILE(WRITE, ssize_t, -1, name, (int f, const void *d, size_t n, at o), f, (f, d, n, o))
ON_FILE(READ, ssize_t, -1, read, (int f, void *d, size_t n), f, (f, d, n))
READS(pread, off_t)
READS(pread64, off64_t)
ON_FILE(READ, ssize_t, -1, readv, (int f, const struct iovec *v, int n), f, (f, v, n))
ON_FILE(WRITE, ssize_t, -1, write, (int f, const void *d, size_t n), f, (f, d, n))
WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)
ON_FILE(WRITE, ssize_t, -1, writev, (int f, const struct iovec *v, int n), f, (f, v, n))
ON_FILE(WRITE, ssize_t, -1, sendfile, (int o, int i, off_t *at, size_t n), o, (o, i, at, n))
ON_FILE(WRITE, ssize_t, -1, sendfile64, (int o, int i, off64_t *at, size_t n), o, (o, i, at, n))
ON_FILE(WRITE, ssize_t, -1, copy_file_range,
        (int i, off64_t *a, int o, off64_t *b, size_t n, unsigned f), o, (i, a, o, b, n, f))
ON_FILE(WRITE, int, -1, ftruncate, (int f, off_t n), f, (f, n))
ON_FILE(WRITE, int, -1, ftruncate64, (int f, off64_t n), f, (f, n))
ON_FILE(WRITE, int, ENOSPC, posix_fallocate, (int f, off_t a, off_t n), f, (f, a, n))
ON_FILE(SYNC, int, -1, fsync, (int f), f, (f))
ON_FILE(SYNC, int, -1, fdatasync, (int f), f, (f))
ON_FILE(SYNC, int, -1, syncfs, (int f), f, (f))
ON_FILE(LOCK, int, -1, flock, (int f, int how), f, (f, how))

ON_PATH(ADD, int, -1, rename, (const char *a, const char *b), AT_FDCWD, b, (a, b))
ON_PATH(ADD, int, -1, renameat, (int c, const char *a, int d, const char *b), d, b, (c, a, d, b))
ON_PATH(ADD, int, -1, renameat2, (int c, const char *a, int d, const char *b, unsigned f), d, b,
        (c, a, d, b, f))
ON_PATH(ADD, int, -1, link, (const char *a, const char *b), AT_FDCWD, b, (a, b))
ON_PATH(ADD, int, -1, linkat, (int c, const char *a, int d, const char *b, int f), d, b,
        (c, a, d, b, f))
ON_PATH(ADD, int, -1, symlink, (const char *a, const char *b), AT_FDCWD, b, (a, b))
ON_PATH(ADD, int, -1, symlinkat, (const char *a, int d, const char *b), d, b, (a, d, b))
ON_PATH(ADD, int, -1, mkdir, (const char *p, mode_t m), AT_FDCWD, p, (p, m))
ON_PATH(ADD, int, -1, mkdirat, (int d, const char *p, mode_t m), d, p, (d, p, m))
ON_PATH(REMOVE, int, -1, rmdir, (const char *p), AT_FDCWD, p, (p))
ON_PATH(REMOVE, int, -1, unlink, (const char *p), AT_FDCWD, p, (p))
ON_PATH(REMOVE, int, -1, unlinkat, (int d, const char *p, int f), d, p, (d, p, f))
ON_PATH(REMOVE, int, -1, chmod, (const char *p, mode_t m), AT_FDCWD, p, (p, m))
ON_PATH(REMOVE, int, -1, fchmodat, (int d, const char *p, mode_t m, int f), d, p, (d, p, m, f))
ON_PATH(REMOVE, int, -1, utimensat, (int d, const char *p, const struct timespec t[2], int f), d, p,
        (d, p, t, f))

ON_PATH(LOOK, int, -1, stat, (const char *p, struct stat *s), AT_FDCWD, p, (p, s))
ON_PATH(LOOK, int, -1, stat64, (const char *p, struct stat64 *s), AT_FDCWD, p, (p, s))
ON_PATH(LOOK, int, -1, lstat, (const char *p, struct stat *s), AT_FDCWD, p, (p, s))
ON_PATH(LOOK, int, -1, lstat64, (const char *p, struct stat64 *s), AT_FDCWD, p, (p, s))
ON_PATH(LOOK, int, -1, fstatat, (int d, const char *p, struct stat *s, int f), d, p, (d, p, s, f))
ON_PATH(LOOK, int, -1, fstatat64, (int d, const char *p, struct stat64 *s, int f), d, p,
        (d, p, s, f))
ON_PATH(LOOK, int, -1, access, (const char *p, int m), AT_FDCWD, p, (p, m))
ON_PATH(LOOK, int, -1, faccessat, (int d, const char *p, int m, int f), d, p, (d, p, m, f))
ON_PATH(LOOK, ssize_t, -1, readlink, (const char *p, char *b, size_t n), AT_FDCWD, p, (p, b, n))
ON_PATH(LOOK, int, -1, statvfs, (const char *p, struct statvfs *s), AT_FDCWD, p, (p, s))
ON_PATH(LOOK, int, -1, statvfs64, (const char *p, struct statvfs64 *s), AT_FDCWD, p, (p, s))
ON_PATH(LIST, DIR *, NULL, opendir, (const char *p), AT_FDCWD, p, (p))
ON_FILE(READ, struct dirent *, NULL, readdir, (DIR *d), dirfd(d), (d))
ON_FILE(READ, struct dirent64 *, NULL, readdir64, (DIR *d), dirfd(d), (d))

pid_t fork(void) {
    REAL(fork);
    return wanted(START) && counted(START, "fork", "") ? -1 : real();
}
/* A wrapper cannot return twice into one frame, so that this one forks. */
pid_t vfork(void) {
    REAL(fork);
    return wanted(START) && counted(START, "vfork", "") ? -1 : real();
}
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *given) {
    REAL(pthread_create);
    return wanted(START) && counted(START, "thread", "") ? EAGAIN : real(t, a, run, given);
}
