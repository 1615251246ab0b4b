/* Preloaded into Valkey, this writes down how long each file was when it was last synced: "inode length", a line each.

   The length is taken before the call, so what another thread appends meanwhile does not count as synced. A sync that
   did not return is not written down: its reply has not left either. The list is named by SYNCED_LIST. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int synced(const char *name, int fd) {
  static int list = -1;
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct stat before;
  int is_file = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
  int result = sync(fd);
  if (result != 0 || !is_file) return result;
  if (list < 0) list = open(getenv("SYNCED_LIST"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  char line[64];
  int length = snprintf(line, sizeof line, "%llu %lld\n", (unsigned long long)before.st_ino, (long long)before.st_size);
  if (write(list, line, length) != length) abort();
  return result;
}

int fsync(int fd) { return synced("fsync", fd); }

int fdatasync(int fd) { return synced("fdatasync", fd); }
