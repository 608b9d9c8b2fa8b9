/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_MEM_H
#define FL_BASE_MEM_H
/* mem - allocation that cannot fail, and wiping of secrets.
 *
 * fl_new() and the functions like it abort with a sentence if memory is exhausted: for start and reload, where
 * nothing sensible is left to do. The data path uses malloc() and ends the connection if
 * it returns NULL. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define FL_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Could so much memory be allocated just now? For work with many allocations that must not fail once it has begun; no
 * guarantee, because other threads allocate too. */
bool fl_mem_has(size_t size);

/* A view of bytes that somebody else owns, valid as long as the owner says. */
struct fl_span {
	const uint8_t *data;
	size_t len;
};

/* Zeroed memory, never NULL. Free with free(). */
void *fl_new(size_t size);
/* The same for a buffer that is large and seldom full: the kernel gives each page of it when it is first touched. Free with
 * fl_free_sparse(), for which NULL is fine. */
void *fl_new_sparse(size_t size);
void fl_free_sparse(void *memory);
/* Grows an array to count items of size bytes, never NULL; overflow aborts. */
void *fl_grow(void *array, size_t count, size_t size);
/* The same for sizes that others choose. NULL: no memory, and the array is unchanged. */
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
