/* Fails the n-th write, flush or rename of a file under FAULT_PLACE with FAULT_ERRNO.
   FAULT_NUMBER 0 only counts; the count so far stands in FAULT_TALLY. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int count;

static int under_place(const char *path) {
    const char *place = getenv("FAULT_PLACE");
    return place && path && strncmp(path, place, strlen(place)) == 0;
}

static int of_place(int handle) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return under_place(path);
}

static int fails(void) {
    int now = atomic_fetch_add(&count, 1) + 1;
    const char *tally = getenv("FAULT_TALLY");
    int handle = syscall(SYS_openat, AT_FDCWD, tally, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    char text[16];
    int length = snprintf(text, sizeof text, "%d", now);
    syscall(SYS_write, handle, text, length);
    syscall(SYS_close, handle);
    const char *number = getenv("FAULT_NUMBER");
    if (!number || now != atoi(number)) return 0;
    errno = atoi(getenv("FAULT_ERRNO"));
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int f, const void *b, size_t n) {
    if (of_place(f) && fails()) return -1;
    return REAL(write)(f, b, n);
}
ssize_t pwrite(int f, const void *b, size_t n, off_t o) {
    if (of_place(f) && fails()) return -1;
    return REAL(pwrite)(f, b, n, o);
}
ssize_t pwrite64(int f, const void *b, size_t n, off64_t o) {
    if (of_place(f) && fails()) return -1;
    return REAL(pwrite64)(f, b, n, o);
}
ssize_t writev(int f, const struct iovec *v, int n) {
    if (of_place(f) && fails()) return -1;
    return REAL(writev)(f, v, n);
}
int fsync(int f) {
    if (of_place(f) && fails()) return -1;
    return REAL(fsync)(f);
}
int ftruncate64(int f, off64_t n) {
    if (of_place(f) && fails()) return -1;
    return REAL(ftruncate64)(f, n);
}
int mkdir(const char *p, mode_t m) {
    if (under_place(p) && fails()) return -1;
    return REAL(mkdir)(p, m);
}
int rename(const char *a, const char *b) {
    if (under_place(b) && fails()) return -1;
    return REAL(rename)(a, b);
}
int renameat2(int d, const char *a, int e, const char *b, unsigned int f) {
    if (under_place(b) && fails()) return -1;
    return REAL(renameat2)(d, a, e, b, f);
}
int open64(const char *p, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if ((flags & (O_WRONLY | O_RDWR)) && under_place(p) && fails()) return -1;
    return REAL(open64)(p, flags, mode);
}
int open(const char *p, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if ((flags & (O_WRONLY | O_RDWR)) && under_place(p) && fails()) return -1;
    return REAL(open)(p, flags, mode);
}
