/* Preloaded into a process: writes down every change of files below $POWER_ROOT, with its bytes.

   Each process appends to a file of its own in $POWER_LOG. A record is a head of seven numbers
   (when it was done, what, inode, offset, lengths of two paths and of the bytes), the paths, and
   the bytes. Only calls of libc's symbols are seen: what stdio's own buffers write, or a mapped
   page, is not, and benchmarks.power_cuts says so when its disk differs from the real one. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(type, name, ...)                                        \
    static type (*real)(__VA_ARGS__);                                \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;
static pid_t owner;

static void put(const void *bytes, size_t length) {
    const char *from = bytes;
    while (length) {
        long done = syscall(SYS_write, out, from, length);
        if (done <= 0) return;
        from += done, length -= done;
    }
}

static void record(char what, uint64_t inode, uint64_t offset, const char *first,
                   const char *second, const void *bytes, size_t length) {
    int before = errno;
    struct timespec now;
    pthread_mutex_lock(&lock);
    if (owner != getpid()) {
        char name[PATH_MAX];
        snprintf(name, sizeof name, "%s/%d-%ld", getenv("POWER_LOG"), getpid(), (long)time(NULL));
        out = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        out = fcntl(out, F_DUPFD_CLOEXEC, 500);
        owner = getpid();
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t head[7] = {now.tv_sec * 1000000000ull + now.tv_nsec, what, inode, offset,
                        strlen(first), strlen(second), length};
    put(head, sizeof head);
    put(first, head[4]);
    put(second, head[5]);
    put(bytes, length);
    pthread_mutex_unlock(&lock);
    errno = before;
}

/* The absolute path of a name, "" unless it lies below the root. */
static void place(char *into, int folder, const char *name) {
    char start[PATH_MAX] = "", link[64];
    const char *root = getenv("POWER_ROOT");
    into[0] = 0;
    if (!root || !name) return;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(start, sizeof start)) return;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, start, sizeof start - 1);
            if (length < 0) return;
            start[length] = 0;
        }
    }
    snprintf(into, PATH_MAX, "%s%s%s", start, name[0] == '/' ? "" : "/", name);
    if (strncmp(into, root, strlen(root))) into[0] = 0;
}

/* Whether a descriptor is of a file or folder below the root, and what the file is. */
static int ours(int descriptor, struct stat *about) {
    int before = errno, found = 0;
    char path[PATH_MAX], link[64];
    const char *root = getenv("POWER_ROOT");
    if (root && descriptor != out && !fstat(descriptor, about) &&
        (S_ISREG(about->st_mode) || S_ISDIR(about->st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, path, sizeof path - 1);
        found = length > 0 && !strncmp(path, root, strlen(root));
    }
    errno = before;
    return found;
}

static void opened(int descriptor, int folder, const char *name, int flags) {
    char path[PATH_MAX];
    struct stat about;
    int before = errno;
    if (descriptor >= 0 && flags & (O_WRONLY | O_RDWR | O_CREAT)) {
        place(path, folder, name);
        if (path[0] && !fstat(descriptor, &about) && S_ISREG(about.st_mode))
            record('O', about.st_ino, flags & O_TRUNC ? 1 : 0, path, "", "", 0);
    }
    errno = before;
}

#define OPEN(symbol)                                       \
    int symbol(const char *name, int flags, ...) {         \
        REAL(int, symbol, const char *, int, ...);         \
        va_list more;                                      \
        va_start(more, flags);                             \
        int mode = va_arg(more, int);                      \
        va_end(more);                                      \
        int made = real(name, flags, mode);                \
        opened(made, AT_FDCWD, name, flags);               \
        return made;                                       \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(symbol)                                     \
    int symbol(int folder, const char *name, int flags, ...) { \
        REAL(int, symbol, int, const char *, int, ...);    \
        va_list more;                                      \
        va_start(more, flags);                             \
        int mode = va_arg(more, int);                      \
        va_end(more);                                      \
        int made = real(folder, name, flags, mode);        \
        opened(made, folder, name, flags);                 \
        return made;                                       \
    }
OPENAT(openat)
OPENAT(openat64)

static void wrote(int descriptor, long done, long at, const void *bytes) {
    struct stat about;
    if (done <= 0 || !ours(descriptor, &about)) return;
    if (at < 0) at = lseek(descriptor, 0, SEEK_CUR) - done;
    record('W', about.st_ino, at, "", "", bytes, done);
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    ssize_t done = real(descriptor, bytes, length);
    wrote(descriptor, done, -1, bytes);
    return done;
}

#define PWRITE(symbol, kind)                                                     \
    ssize_t symbol(int descriptor, const void *bytes, size_t length, kind at) {  \
        REAL(ssize_t, symbol, int, const void *, size_t, kind);                  \
        ssize_t done = real(descriptor, bytes, length, at);                      \
        wrote(descriptor, done, at, bytes);                                      \
        return done;                                                             \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

/* What the kernel copied, read back. */
static void copied(int descriptor, long done) {
    struct stat about;
    char link[64];
    if (done <= 0 || !ours(descriptor, &about)) return;
    long at = lseek(descriptor, 0, SEEK_CUR) - done;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    int again = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    char *bytes = malloc(done);
    if (again >= 0 && bytes && pread(again, bytes, done, at) == done)
        record('W', about.st_ino, at, "", "", bytes, done);
    free(bytes);
    syscall(SYS_close, again);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    ssize_t done = real(descriptor, parts, count);
    copied(descriptor, done);
    return done;
}

#define SENDFILE(symbol, kind)                                              \
    ssize_t symbol(int to, int from, kind *at, size_t length) {             \
        REAL(ssize_t, symbol, int, int, kind *, size_t);                    \
        ssize_t done = real(to, from, at, length);                          \
        copied(to, done);                                                   \
        return done;                                                        \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *target, size_t length,
                        unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    ssize_t done = real(from, at, to, target, length, flags);
    copied(to, done);
    return done;
}

#define TRUNCATE(symbol, kind)                                              \
    int symbol(int descriptor, kind length) {                               \
        REAL(int, symbol, int, kind);                                       \
        int failed = real(descriptor, length);                              \
        struct stat about;                                                  \
        if (!failed && ours(descriptor, &about))                            \
            record('T', about.st_ino, length, "", "", "", 0);               \
        return failed;                                                      \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(symbol)                                                        \
    int symbol(int descriptor) {                                            \
        REAL(int, symbol, int);                                             \
        int failed = real(descriptor);                                      \
        struct stat about;                                                  \
        if (!failed && ours(descriptor, &about))                            \
            record('S', about.st_ino, 0, "", "", "", 0);                    \
        return failed;                                                      \
    }
SYNC(fsync)
SYNC(fdatasync)

static void named(int failed, char what, int folder, const char *name, int other, const char *to) {
    char first[PATH_MAX], second[PATH_MAX] = "";
    struct stat about = {0};
    if (failed) return;
    place(first, folder, name);
    if (to) place(second, other, to);
    if (!first[0] && !second[0]) return;
    if (what == 'M') stat(first, &about);
    record(what, about.st_ino, 0, first, second, "", 0);
}

int rename(const char *name, const char *to) {
    REAL(int, rename, const char *, const char *);
    int failed = real(name, to);
    named(failed, 'R', AT_FDCWD, name, AT_FDCWD, to);
    return failed;
}

int renameat(int folder, const char *name, int other, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    int failed = real(folder, name, other, to);
    named(failed, 'R', folder, name, other, to);
    return failed;
}

int link(const char *name, const char *to) {
    REAL(int, link, const char *, const char *);
    int failed = real(name, to);
    named(failed, 'L', AT_FDCWD, name, AT_FDCWD, to);
    return failed;
}

int linkat(int folder, const char *name, int other, const char *to, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    int failed = real(folder, name, other, to, flags);
    named(failed, 'L', folder, name, other, to);
    return failed;
}

#define ONE(symbol, what)                                   \
    int symbol(const char *name) {                          \
        REAL(int, symbol, const char *);                    \
        int failed = real(name);                            \
        named(failed, what, AT_FDCWD, name, 0, NULL);       \
        return failed;                                      \
    }
ONE(unlink, 'U')
ONE(rmdir, 'U')

int unlinkat(int folder, const char *name, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    int failed = real(folder, name, flags);
    named(failed, 'U', folder, name, 0, NULL);
    return failed;
}

int mkdir(const char *name, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    int failed = real(name, mode);
    named(failed, 'M', AT_FDCWD, name, 0, NULL);
    return failed;
}

int mkdirat(int folder, const char *name, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    int failed = real(folder, name, mode);
    named(failed, 'M', folder, name, 0, NULL);
    return failed;
}
