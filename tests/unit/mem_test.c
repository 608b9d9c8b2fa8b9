/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/idle_memory.h"
#include "base/mem.h"

#define SIZE (256u * 1024)

Test(mem, sparse__zeros_to_its_last_byte)
{
	uint8_t *buffer = fl_new_sparse(SIZE);

	for (size_t i = 0; i < SIZE; i++) {
		cr_assert_eq(buffer[i], 0);
	}
	memset(buffer, 0xff, SIZE);
	fl_free_sparse(buffer);
	fl_free_sparse(NULL);
}

#if !defined(__SANITIZE_ADDRESS__) /* with which it is calloc() */
/* Pages of a buffer that have memory; the first one, with the header, is left out. */
static size_t resident(const uint8_t *buffer)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)buffer + page) & ~(page - 1);
	size_t pages = ((uintptr_t)buffer + SIZE - from) / page, found = 0;
	unsigned char *map = fl_new(pages);

	cr_assert_eq(mincore((void *)from, pages * page, map), 0);
	for (size_t i = 0; i < pages; i++) {
		found += map[i] & 1u;
	}
	free(map);
	return found;
}

Test(mem, sparse__only_touched_pages_have_memory)
{
	uint8_t *buffer = fl_new_sparse(SIZE);

	cr_assert_eq(resident(buffer), 0);
	buffer[SIZE / 2] = 1;
	cr_assert_eq(resident(buffer), 1);
	fl_free_sparse(buffer);
}

Test(mem, sparse__too_much__ends_with_a_sentence, .signal = SIGABRT)
{
	(void)fl_new_sparse(SIZE_MAX);
}
#endif

/* Code and constants come back when they are needed. */
Test(mem, give_back__the_program_goes_on)
{
	char *text = fl_strdup("still there");

	fl_idle_memory_give_back();
	cr_assert_str_eq(text, "still there");
	free(text);
}
