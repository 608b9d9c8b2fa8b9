/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/idle_memory.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Our own code and constants, which the kernel reads again when they are needed. Writable segments (data, and what
 * relocation has changed) are left alone. */
static int drop_pages(struct dl_phdr_info *info, size_t size, void *user)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)user;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t to =
			(info->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && from < to) {
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
		}
	}
	return 1; /* only the program itself, which comes first: libraries are shared anyway */
}

void fl_idle_memory_give_back(void)
{
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(drop_pages, NULL);
}
