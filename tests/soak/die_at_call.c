// Kills a program at its N-th call that changes files below a folder: SIGKILL before the call or, for a write, after half of
// it. For tools/soak, by LD_PRELOAD: DIE_BELOW=FOLDER (canonical), DIE_AT=N (0: never), DIE_COUNT=FILE (gets the number of
// calls made, at the program's orderly end). What a crash may not do is told apart from what a call that never returned did
// only by trying every N.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static int is_below(const char* path) {
  const char* folder = getenv("DIE_BELOW");
  return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_file_below(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return is_below(path);
}

// Whether the call that is about to be made is the one that must not return.
static int is_the_one(void) {
  const char* at = getenv("DIE_AT");
  return atomic_fetch_add(&calls, 1) + 1 == (at != NULL ? atol(at) : 0);
}

static void die(void) { kill(getpid(), SIGKILL); }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & (O_CREAT | O_TRUNC)) && is_below(path) && is_the_one()) die();
  return REAL(open)(path, flags, mode);
}

ssize_t write(int fd, const void* data, size_t size) {
  if (is_file_below(fd) && is_the_one()) {
    if (size > 1) REAL(write)(fd, data, size / 2);
    die();
  }
  return REAL(write)(fd, data, size);
}

int fsync(int fd) {
  if (is_file_below(fd) && is_the_one()) die();
  return REAL(fsync)(fd);
}

int ftruncate(int fd, off_t size) {
  if (is_file_below(fd) && is_the_one()) die();
  return REAL(ftruncate)(fd, size);
}

int rename(const char* from, const char* to) {
  if (is_below(from) && is_the_one()) die();
  return REAL(rename)(from, to);
}

int mkdir(const char* path, mode_t mode) {
  if (is_below(path) && is_the_one()) die();
  return REAL(mkdir)(path, mode);
}

int unlink(const char* path) {
  if (is_below(path) && is_the_one()) die();
  return REAL(unlink)(path);
}

int unlinkat(int folder, const char* path, int flags) {
  if (is_file_below(folder) && is_the_one()) die();
  return REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char* path) {
  if (is_below(path) && is_the_one()) die();
  return REAL(rmdir)(path);
}

int remove(const char* path) {
  if (is_below(path) && is_the_one()) die();
  return REAL(remove)(path);
}

__attribute__((destructor)) static void tell(void) {
  const char* file = getenv("DIE_COUNT");
  if (file == NULL) return;
  FILE* out = fopen(file, "w");
  if (out == NULL) return;
  fprintf(out, "%ld\n", (long)atomic_load(&calls));
  fclose(out);
}
