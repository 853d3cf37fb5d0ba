/* A file system with the habits of those that several machines share, as a library for LD_PRELOAD.
 *
 * STRANGE_BELOW  the folder it is about; all else is as it is
 * STRANGE        words, a blank between them:
 *                  CALL=ERRNO       the call fails (link, rename, fsync, flock, write), with the number
 *                  CALL!ERRNO       it does what it should, and then fails with the number
 *                  across=ERRNO     a link from one folder to another fails with the number
 *                  late=SECONDS     what another node made comes to sight so long after
 * STRANGE_NODE   this node; STRANGE_MADE a folder in which each node notes the files that it made
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below(const char *path) {
    char here[4096], whole[8300];
    const char *top = getenv("STRANGE_BELOW");
    if (!top || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    return !strncmp(path, top, strlen(top)) && (path[strlen(top)] == '/' || !path[strlen(top)]);
}

static int below_fd(int fd) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return below(path);
}

/* The number of the fault of a call, and whether the call is done all the same; 0: none. */
static int fault(const char *call, int *done) {
    const char *words = getenv("STRANGE");
    size_t length = strlen(call);
    for (const char *at = words; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : "") {
        if (!strncmp(at, call, length) && (at[length] == '=' || at[length] == '!')) {
            *done = at[length] == '!';
            return atoi(at + length + 1);
        }
    }
    return 0;
}

/* Who made a file stands in a file of its inode's number. */
static int opened_note(unsigned long long inode, int flags) {
    char name[4096];
    const char *folder = getenv("STRANGE_MADE");
    if (!folder || !getenv("STRANGE_NODE")) return -1;
    snprintf(name, sizeof name, "%s/%llu", folder, inode);
    return syscall(SYS_openat, AT_FDCWD, name, flags, 0600);
}

static void note(const struct stat *made) {
    int fd = opened_note(made->st_ino, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) return;
    syscall(SYS_write, fd, getenv("STRANGE_NODE"), strlen(getenv("STRANGE_NODE")));
    syscall(SYS_close, fd);
}

static void note_path(const char *path) {
    struct stat found;
    if (getenv("STRANGE_NODE") && below(path) && !syscall(SYS_newfstatat, AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW))
        note(&found);
}

/* Whether a file is another node's and too new to be in sight here; folders are always. */
static int hidden_at(int folder, const char *path) {
    int done, seconds = fault("late", &done);
    char maker[64] = "";
    struct statx found;
    struct timespec now;
    if (!seconds) return 0;
    if (syscall(SYS_statx, folder, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &found)) return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    if (S_ISDIR(found.stx_mode) || now.tv_sec - found.stx_btime.tv_sec >= seconds) return 0;
    int fd = opened_note(found.stx_ino, O_RDONLY);
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, maker, sizeof maker - 1) < 0) maker[0] = 0;
    syscall(SYS_close, fd);
    return strcmp(maker, getenv("STRANGE_NODE")) != 0;
}

static int hidden(const char *path) { return below(path) && hidden_at(AT_FDCWD, path); }

#define GONE(path) do { if (hidden(path)) { errno = ENOENT; return -1; } } while (0)
#define FAULT(name, mine, act) do { \
        int done_ = 0, number_ = mine ? fault(name, &done_) : 0; \
        if (number_) { if (done_) (void)!(act); errno = number_; return -1; } \
    } while (0)

static int across(const char *from, const char *to) {
    const char *a = strrchr(from, '/'), *b = strrchr(to, '/');
    return below(to) && (!a || !b || a - from != b - to || strncmp(from, to, a - from));
}

int link(const char *from, const char *to) {
    FAULT("across", across(from, to), 0);
    FAULT("link", below(to), REAL(link)(from, to));
    int code = REAL(link)(from, to);
    if (!code) note_path(to);
    return code;
}

int linkat(int a, const char *from, int b, const char *to, int flags) {
    FAULT("across", across(from, to), 0);
    FAULT("link", below(to), REAL(linkat)(a, from, b, to, flags));
    int code = REAL(linkat)(a, from, b, to, flags);
    if (!code) note_path(to);
    return code;
}

int rename(const char *from, const char *to) {
    FAULT("rename", below(to), REAL(rename)(from, to));
    int code = REAL(rename)(from, to);
    if (!code) note_path(to);
    return code;
}

int fsync(int fd) {
    FAULT("fsync", below_fd(fd), REAL(fsync)(fd));
    return REAL(fsync)(fd);
}

int flock(int fd, int how) {
    FAULT("flock", below_fd(fd), REAL(flock)(fd, how));
    return REAL(flock)(fd, how);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fd > 2) FAULT("write", below_fd(fd), 0);
    return REAL(write)(fd, bytes, count);
}

int mkdir(const char *path, mode_t mode) {
    int code = REAL(mkdir)(path, mode);
    if (!code) note_path(path);
    return code;
}

static int open_(int folder, const char *path, int flags, mode_t mode) {
    struct stat found;
    int mine = flags & O_CREAT && getenv("STRANGE_NODE") && below(path);
    if (!(flags & O_CREAT)) GONE(path);
    if (mine && !syscall(SYS_newfstatat, folder, path, &found, AT_SYMLINK_NOFOLLOW)) mine = 0;
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && mine && !syscall(SYS_fstat, fd, &found)) note(&found);
    return fd;
}

#define MODE(flags) mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return open_(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_(folder, path, flags, mode); }

static int stat_(const char *path, struct stat *found, int flags) {
    GONE(path);
    return syscall(SYS_newfstatat, AT_FDCWD, path, found, flags);
}

int stat(const char *path, struct stat *found) { return stat_(path, found, 0); }
int lstat(const char *path, struct stat *found) { return stat_(path, found, AT_SYMLINK_NOFOLLOW); }
int stat64(const char *path, struct stat64 *found) { return stat_(path, (struct stat *)found, 0); }
int lstat64(const char *path, struct stat64 *found) { return stat_(path, (struct stat *)found, AT_SYMLINK_NOFOLLOW); }

int access(const char *path, int mode) {
    GONE(path);
    return REAL(access)(path, mode);
}

int faccessat(int folder, const char *path, int mode, int flags) {
    if (path[0] == '/') GONE(path);
    return REAL(faccessat)(folder, path, mode, flags);
}

int eaccess(const char *path, int mode) {
    GONE(path);
    return REAL(eaccess)(path, mode);
}

int fstatat(int folder, const char *path, struct stat *found, int flags) {
    if (path[0] == '/') GONE(path);
    return REAL(fstatat)(folder, path, found, flags);
}

int fstatat64(int folder, const char *path, struct stat64 *found, int flags) {
    if (path[0] == '/') GONE(path);
    return REAL(fstatat64)(folder, path, found, flags);
}

static int skipped(DIR *folder, const char *name) {
    return below_fd(dirfd(folder)) && hidden_at(dirfd(folder), name);
}

struct dirent *readdir(DIR *folder) {
    struct dirent *entry;
    while ((entry = REAL(readdir)(folder)) && skipped(folder, entry->d_name)) {}
    return entry;
}

struct dirent64 *readdir64(DIR *folder) {
    struct dirent64 *entry;
    while ((entry = REAL(readdir64)(folder)) && skipped(folder, entry->d_name)) {}
    return entry;
}
