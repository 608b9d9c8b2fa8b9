/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_MEM_H
#define FL_BASE_MEM_H
/* mem - allocation that cannot be forgotten, secrets that do not linger.
 *
 * fl_new/fl_dup abort with a sentence when memory is out: for start-up and reload paths, where
 * there is nothing sensible left to do. The data path uses malloc and handles NULL, costing the
 * connection. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define FL_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Could so much be had just now? For work that takes many pieces, each of which has to be there once it has begun; others may
 * be faster. */
bool fl_mem_has(size_t size);

/* A view of bytes that somebody else owns, valid as long as the owner says. */
struct fl_span {
	const uint8_t *data;
	size_t len;
};

/* Zeroed memory, never NULL. Free with free(). */
void *fl_new(size_t size);
/* Grows an array to count items of size bytes, never NULL; overflow aborts. */
void *fl_grow(void *array, size_t count, size_t size);
/* The same for what others can ask for. NULL: it cannot be had, and the array is as it was. */
void *fl_try_grow(void *array, size_t count, size_t size);
/* A copy of a string / of len bytes with a NUL appended. Never NULL. fl_strdup(NULL) is NULL. */
char *fl_strdup(const char *text);
char *fl_strndup(const char *text, size_t len);
/* printf into fresh memory. Never NULL. */
char *fl_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Overwrites len bytes in a way that the compiler keeps (explicit_bzero). */
void fl_wipe(void *data, size_t len);
/* Wipes and frees; NULL is fine. */
void fl_wipe_free(void *data, size_t len);

#endif
