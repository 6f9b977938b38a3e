#ifndef CK_MAPPING_H
#define CK_MAPPING_H

#include <stddef.h>

// Files that are mapped. A page of one that cannot be read (the file was cut, or its disk failed) is a
// SIGBUS: the process then says which file it was and ends, where it would die without a word.

// Remembers a mapping; the path is copied. What finds no room is not named.
void ck_mapping_add(const void *base, size_t bytes, const char *path);
// Forgets the mapping that begins there.
void ck_mapping_remove(const void *base);
// What the message begins with, and how the process ends instead of _exit(65); both may be null.
void ck_mapping_report(const char *prefix, void (*end)(int status));

#endif
