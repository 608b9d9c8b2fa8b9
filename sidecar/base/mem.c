/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mem - allocation for start-up and reload paths, and wiping.
 *
 * Exhausted memory (or a size that overflows) ends the process with a line on stderr: these paths
 * cannot do anything sensible, and a restart is clean. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"

void *fl_new(size_t size)
{
	void *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL) {
		fl_out_of_memory(1, size);
	}
	return memory;
}

#if defined(__SANITIZE_ADDRESS__)

/* It sees an access behind the end of what malloc() gave. */
void *fl_new_sparse(size_t size)
{
	return fl_new(size);
}

void fl_free_sparse(void *memory)
{
	free(memory);
}

#else

#define LINE 64u         /* of a cache */
#define SPARSE_STEPS 31u /* prime: buffers of any size begin at different lines */

struct sparse {
	void *start; /* of what mmap() gave */
	size_t all;
};

/* calloc() would write zeros to what it takes from the heap. Buffers that all began at the start of a page would compete for the same
 * lines of the cache when bytes are copied from one to another; so each begins at a line that follows from its page. */
void *fl_new_sparse(size_t size)
{
	struct sparse header = {.start = MAP_FAILED};
	uint8_t *memory;

	if (!__builtin_add_overflow(size, LINE * SPARSE_STEPS, &header.all)) {
		header.start = mmap(NULL, header.all, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	if (header.start == MAP_FAILED) {
		fl_out_of_memory(1, size);
	}
	memory = header.start;
	memory += LINE * (1 + (uintptr_t)memory / 4096 % SPARSE_STEPS);
	memcpy(memory - sizeof(header), &header, sizeof(header));
	return memory;
}

void fl_free_sparse(void *memory)
{
	struct sparse header;

	if (memory != NULL) {
		memcpy(&header, (uint8_t *)memory - sizeof(header), sizeof(header));
		(void)munmap(header.start, header.all);
	}
}

#endif

bool fl_mem_has(size_t size)
{
	/* volatile: otherwise the compiler removes it as unused */
	void *volatile memory = malloc(size);
	bool is_there = memory != NULL;

	free(memory);
	return is_there;
}

void *fl_grow(void *array, size_t count, size_t size)
{
	void *grown = NULL;
	size_t bytes;

	if (!__builtin_mul_overflow(count, size, &bytes)) {
		/* realloc(p, 0) may free p: an empty array keeps a byte instead. */
		grown = realloc(array, bytes > 0 ? bytes : 1);
	}
	if (grown == NULL) {
		fl_out_of_memory(count, size);
	}
	return grown;
}

void *fl_try_grow(void *array, size_t count, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(count, size, &bytes) || bytes == 0 ? NULL
									 : realloc(array, bytes);
}

char *fl_strdup(const char *text)
{
	return text != NULL ? fl_strndup(text, strlen(text)) : NULL;
}

char *fl_strndup(const char *text, size_t len)
{
	char *copy;

	if (len == SIZE_MAX) {
		fl_out_of_memory(1, len);
	}
	copy = malloc(len + 1);
	if (copy == NULL) {
		fl_out_of_memory(1, len);
	}
	if (len > 0) {
		memcpy(copy, text, len);
	}
	copy[len] = '\0';
	return copy;
}

char *fl_format(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0) {
		fl_out_of_memory(1, 0);
	}
	return text;
}

void fl_wipe(void *data, size_t len)
{
	if (len > 0) {
		explicit_bzero(data, len);
	}
}

void fl_wipe_free(void *data, size_t len)
{
	if (data != NULL) {
		fl_wipe(data, len);
		free(data);
	}
}
