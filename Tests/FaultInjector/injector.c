// Makes one system call of a program fail, be short, or be its last.
//
// Loaded by LD_PRELOAD, it takes the place of the C library's calls that change files. It counts
// those on names that begin with FAULT_PATH, and on files opened for writing under such names:
//
//   FAULT_PATH  absolute path; what does not begin with it is let through and not counted
//   FAULT_LOG   file that gets a line for each counted call: its number, its name, the path
//   FAULT_AT    the number of the call that the fault meets, from 1; without it none does
//   FAULT_KIND  EIO, ENOSPC, EACCES, EINTR: the call fails with that number, undone
//               short: a write takes half of its bytes; other calls go through
//               kill: SIGKILL before the call; torn: SIGKILL after half of a write
//   FAULT_STAYS with any value: later calls of the same name meet it too (a full disk stays full)
//
// Calls go to the kernel directly, so that nothing here depends on what is loaded next.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { most_files = 4096 };

static const char *watched_path, *kind;
static long fault_at;
static int stays, log_file = -1, is_ready;
static atomic_long call_count;
static char fault_name[16];
static char names[most_files][256];

__attribute__((constructor)) static void prepare(void) {
  watched_path = getenv("FAULT_PATH");
  kind = getenv("FAULT_KIND");
  if (kind == NULL) kind = "EIO";
  const char *at = getenv("FAULT_AT"), *log = getenv("FAULT_LOG");
  if (at) fault_at = atol(at);
  stays = getenv("FAULT_STAYS") != NULL;
  if (log)
    log_file =
        (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  is_ready = watched_path != NULL;
}

static int is_watched(const char *path) {
  return is_ready && path && strncmp(path, watched_path, strlen(watched_path)) == 0;
}

static int is_watched_file(int file) {
  return is_ready && file >= 0 && file < most_files && names[file][0] != 0;
}

static int error_number(void) {
  if (strcmp(kind, "ENOSPC") == 0) return ENOSPC;
  if (strcmp(kind, "EACCES") == 0) return EACCES;
  if (strcmp(kind, "EINTR") == 0) return EINTR;
  return EIO;
}

static int is_kind(const char *name) { return strcmp(kind, name) == 0; }

// Counts a call; whether the fault meets it.
static int meets(const char *call, const char *path) {
  long number = atomic_fetch_add(&call_count, 1) + 1;
  if (log_file >= 0) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld %s %s\n", number, call, path);
    if (length > 0 && syscall(SYS_write, log_file, line, (size_t)length) < 0) log_file = -1;
  }
  int is_it = number == fault_at;
  if (is_it) snprintf(fault_name, sizeof fault_name, "%s", call);
  if (!is_it && !(stays && fault_at > 0 && number > fault_at && strcmp(call, fault_name) == 0))
    return 0;
  if (is_kind("kill")) syscall(SYS_kill, getpid(), SIGKILL);
  return 1;
}

// Whether a call that is no write fails; errno is then set.
static int fails(const char *call, const char *path) {
  if (!meets(call, path) || is_kind("short") || is_kind("torn")) return 0;
  errno = error_number();
  return 1;
}

static int open_at(int directory, const char *path, int flags, mode_t mode) {
  int changes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_DIRECTORY);
  int watched = changes && is_watched(path);
  if (watched && fails("open", path)) return -1;
  int file = (int)syscall(SYS_openat, directory, path, flags, mode);
  if (file >= 0 && file < most_files) {
    names[file][0] = 0;
    if (watched) snprintf(names[file], sizeof names[file], "%s", path);
  }
  return file;
}

#define OPENING(flags)                                      \
  mode_t mode = 0;                                          \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                    \
    va_list rest;                                           \
    va_start(rest, flags);                                  \
    mode = va_arg(rest, mode_t);                            \
    va_end(rest);                                           \
  }

int open(const char *path, int flags, ...) {
  OPENING(flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  OPENING(flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
  OPENING(flags)
  return open_at(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
  OPENING(flags)
  return open_at(directory, path, flags, mode);
}

// Bytes that a write is let take; -1 where it fails, with errno set.
static ssize_t allowed(const char *call, int file, size_t count, int *is_last) {
  *is_last = 0;
  if (!is_watched_file(file) || !meets(call, names[file])) return (ssize_t)count;
  if (is_kind("short") || is_kind("torn")) {
    *is_last = is_kind("torn");
    return (ssize_t)(count > 1 ? count / 2 : count);
  }
  errno = error_number();
  return -1;
}

ssize_t write(int file, const void *bytes, size_t count) {
  int is_last;
  ssize_t part = allowed("write", file, count, &is_last);
  if (part < 0) return -1;
  ssize_t done = syscall(SYS_write, file, bytes, (size_t)part);
  if (is_last) syscall(SYS_kill, getpid(), SIGKILL);
  return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
  int is_last;
  ssize_t part = allowed("pwrite", file, count, &is_last);
  if (part < 0) return -1;
  ssize_t done = syscall(SYS_pwrite64, file, bytes, (size_t)part, offset);
  if (is_last) syscall(SYS_kill, getpid(), SIGKILL);
  return done;
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
  return pwrite64(file, bytes, count, offset);
}

int fsync(int file) {
  if (is_watched_file(file) && fails("fsync", names[file])) return -1;
  return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
  if (is_watched_file(file) && fails("fsync", names[file])) return -1;
  return (int)syscall(SYS_fdatasync, file);
}

int ftruncate64(int file, off64_t length) {
  if (is_watched_file(file) && fails("ftruncate", names[file])) return -1;
  return (int)syscall(SYS_ftruncate, file, length);
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int close(int file) {
  int watched = is_watched_file(file);
  char name[sizeof names[0]];
  if (watched) {
    memcpy(name, names[file], sizeof name);
    names[file][0] = 0;
  }
  int failed = watched && fails("close", name);
  int error = errno;
  // The kernel gives a descriptor back also where closing fails.
  int status = (int)syscall(SYS_close, file);
  if (!failed) return status;
  errno = error;
  return -1;
}

int mkdir(const char *path, mode_t mode) {
  if (is_watched(path) && fails("mkdir", path)) return -1;
  return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int unlink(const char *path) {
  if (is_watched(path) && fails("unlink", path)) return -1;
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
  if (is_watched(path) && fails("rmdir", path)) return -1;
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
  if (is_watched(new) && fails("rename", new)) return -1;
  return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
