#include "ck_mapping.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { most_mappings = 1024, longest_path = 1024, input_is_wrong = 65 };

typedef struct {
  _Atomic uintptr_t base;  // 0: free
  _Atomic size_t bytes;    // 0 while the rest is written
  char path[longest_path];
} ck_mapping;

static ck_mapping mappings[most_mappings];
static char prefix[64] = "error: ";
static void (*_Atomic end_function)(int);
static atomic_flag is_installed = ATOMIC_FLAG_INIT;
static atomic_flag is_said = ATOMIC_FLAG_INIT;

static void say(const char *text) {
  size_t length = strlen(text);
  while (length > 0) {
    ssize_t count = write(STDERR_FILENO, text, length);
    if (count <= 0) return;
    text += count;
    length -= (size_t)count;
  }
}

// Async-signal-safe but for the function that ends the job, which nobody comes back from.
static void meet_bus_error(int number, siginfo_t *info, void *context) {
  (void)context;
  uintptr_t place = (uintptr_t)info->si_addr;
  for (int i = 0; i < most_mappings; i++) {
    uintptr_t base = atomic_load(&mappings[i].base);
    size_t bytes = atomic_load(&mappings[i].bytes);
    if (base == 0 || place < base || place - base >= bytes) continue;
    // Of several threads one speaks.
    if (atomic_flag_test_and_set(&is_said))
      for (;;) pause();
    // One piece, so that lines of several ranks do not mix.
    char line[longest_path + 400] = "";
    size_t room = sizeof line - 1;
    const char *parts[] = {
        prefix, mappings[i].path,
        " can no longer be read: it was cut short or overwritten while it was in use, or its disk "
        "fails. Restore the file, leave it alone while a run uses it, and go on from the last "
        "checkpoint with --resume.\n"};
    for (int part = 0; part < 3; part++) strncat(line, parts[part], room - strlen(line));
    say(line);
    void (*end)(int) = atomic_load(&end_function);
    if (end) end(input_is_wrong);
    _exit(input_is_wrong);
  }
  // Not ours: back here, it kills.
  signal(number, SIG_DFL);
}

void ck_mapping_add(const void *base, size_t bytes, const char *path) {
  if (!atomic_flag_test_and_set(&is_installed)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = meet_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGBUS, &action, NULL);
  }
  for (int i = 0; i < most_mappings; i++) {
    uintptr_t free = 0;
    if (!atomic_compare_exchange_strong(&mappings[i].base, &free, (uintptr_t)base)) continue;
    strncpy(mappings[i].path, path, longest_path - 1);
    atomic_store(&mappings[i].bytes, bytes);
    return;
  }
}

void ck_mapping_remove(const void *base) {
  for (int i = 0; i < most_mappings; i++) {
    if (atomic_load(&mappings[i].base) != (uintptr_t)base) continue;
    atomic_store(&mappings[i].bytes, 0);
    memset(mappings[i].path, 0, longest_path);
    atomic_store(&mappings[i].base, 0);
    return;
  }
}

void ck_mapping_report(const char *text, void (*end)(int)) {
  if (text) {
    strncpy(prefix, text, sizeof prefix - 1);
    prefix[sizeof prefix - 1] = 0;
  }
  atomic_store(&end_function, end);
}
