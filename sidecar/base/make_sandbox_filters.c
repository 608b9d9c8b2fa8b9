/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs at build time: compiles the tables of sandbox_calls.h to filters for seccomp(2), and prints them as constants. So the
 * programs need no library to enter their sandbox, and what they may do stands in their read-only data. libseccomp knows
 * the numbers of calls on each architecture.
 *
 *   make_sandbox_filters x86_64|aarch64 release|sanitizer|coverage > sandbox_filters.inc
 *
 * A filter is a tree of comparisons that leads to the rows of a call. Conditional jumps of BPF reach 255 steps, so each of
 * ours skips one unconditional jump, which reaches everywhere. Calls without conditions cost nothing from Linux 5.11 on, where
 * the kernel remembers the answer. */
#include "sandbox_calls.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 512 /* numbers of system calls that have a name in the table */
#define ROWS_MAX 512
#define STEPS_MAX BPF_MAXINSNS
#define LEAF 3u /* so many calls are compared one after the other */
#define X32_BIT 0x40000000u

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The rows of a program, by number of the call; those of one call are in the order of the tables. */
struct row {
	uint32_t number;
	unsigned order;
	const struct fl_sandbox_call *call;
};
struct rows {
	struct row items[ROWS_MAX];
	unsigned count;
};

struct filter {
	struct sock_filter steps[STEPS_MAX];
	unsigned count;
};

static _Noreturn void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "make_sandbox_filters: %s: %s\n", what, why);
	exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
}

/* --- rows ------------------------------------------------------------------------------------------ */

/* Calls that are younger than libseccomp 2.5. */
static const struct {
	const char *name;
	uint32_t arch;
	int number;
} young_calls[] = {{"uretprobe", SCMP_ARCH_X86_64, 335}};

static int number_of(const char *name, uint32_t arch)
{
	int number = seccomp_syscall_resolve_name_arch(arch, name);

	for (size_t i = 0; number == __NR_SCMP_ERROR && i < COUNT_OF(young_calls); i++) {
		if (strcmp(young_calls[i].name, name) == 0) {
			return young_calls[i].arch == arch ? young_calls[i].number : -1;
		}
	}
	if (number == __NR_SCMP_ERROR) {
		die(name, "there is no such system call");
	}
	return number;
}

static void add(struct rows *rows, uint32_t arch, const struct fl_sandbox_call *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int number = number_of(calls[i].name, arch);

		if (number < 0) {
			continue; /* not on this architecture */
		}
		if (rows->count == ROWS_MAX) {
			die(calls[i].name, "too many rows");
		}
		rows->items[rows->count] = (struct row){(uint32_t)number, rows->count, &calls[i]};
		rows->count++;
	}
}

static int compare(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	if (a->number != b->number) {
		return a->number < b->number ? -1 : 1;
	}
	return a->order < b->order ? -1 : 1;
}

/* --- code ------------------------------------------------------------------------------------------ */

static unsigned put(struct filter *filter, unsigned code, unsigned jt, unsigned jf, uint32_t k)
{
	if (filter->count == STEPS_MAX) {
		die("a filter", "too long");
	}
	filter->steps[filter->count] =
		(struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
	return filter->count++;
}

static void load(struct filter *filter, size_t offset)
{
	(void)put(filter, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void give(struct filter *filter, uint32_t verdict)
{
	(void)put(filter, BPF_RET | BPF_K, 0, 0, verdict);
}

/* Jumps, if the number compares so with k, to where land() is called with what this returns. */
static unsigned jump_if(struct filter *filter, unsigned comparison, uint32_t k)
{
	(void)put(filter, BPF_JMP | comparison | BPF_K, 0, 1, k);
	return put(filter, BPF_JMP | BPF_JA, 0, 0, 0);
}

static void land(struct filter *filter, unsigned jump)
{
	filter->steps[jump].k = filter->count - jump - 1;
}

static void put_row(struct filter *filter, const struct fl_sandbox_call *call)
{
	unsigned last = filter->count + 3 * call->count; /* where the verdict stands */

	for (unsigned i = 0; i < call->count; i++) {
		const struct fl_sandbox_condition *condition = &call->conditions[i];

		/* The lower half: both architectures are little-endian. */
		load(filter,
		     offsetof(struct seccomp_data, args) + condition->argument * sizeof(uint64_t));
		(void)put(filter, BPF_ALU | BPF_AND | BPF_K, 0, 0, condition->mask);
		(void)put(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, last - filter->count,
			  condition->value);
	}
	give(filter,
	     call->error == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (uint32_t)call->error);
}

/* The rows from first on that have its number; returns the first one behind them. */
static unsigned put_call(struct filter *filter, const struct rows *rows, unsigned first)
{
	unsigned i = first;

	for (; i < rows->count && rows->items[i].number == rows->items[first].number; i++) {
		put_row(filter, rows->items[i].call);
	}
	if (rows->items[i - 1].call->count > 0) {
		give(filter, SECCOMP_RET_TRAP);
	}
	return i;
}

/* calls: for each call the place of its first row; count of them. */
static void put_tree(struct filter *filter, const struct rows *rows, const unsigned *calls,
		     unsigned count)
{
	unsigned jumps[LEAF], half = count / 2;

	if (count > LEAF) {
		jumps[0] = jump_if(filter, BPF_JGE, rows->items[calls[half]].number);
		put_tree(filter, rows, calls, half);
		land(filter, jumps[0]);
		put_tree(filter, rows, calls + half, count - half);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		jumps[i] = jump_if(filter, BPF_JEQ, rows->items[calls[i]].number);
	}
	give(filter, SECCOMP_RET_TRAP);
	for (unsigned i = 0; i < count; i++) {
		land(filter, jumps[i]);
		(void)put_call(filter, rows, calls[i]);
	}
}

static void put_head(struct filter *filter, uint32_t arch)
{
	bool is_x86 = arch == SCMP_ARCH_X86_64;

	/* Calls as another architecture makes them, such as 32-bit ones. */
	load(filter, offsetof(struct seccomp_data, arch));
	(void)put(filter, BPF_JMP | BPF_JEQ | BPF_K, 1, 0,
		  is_x86 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_AARCH64);
	give(filter, SECCOMP_RET_KILL_PROCESS);
	load(filter, offsetof(struct seccomp_data, nr));
	if (is_x86) {
		(void)put(filter, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
		give(filter, SECCOMP_RET_KILL_PROCESS);
	}
}

static void print_filter(const char *name, uint32_t arch, struct rows *rows)
{
	static struct filter filter;
	unsigned calls[ROWS_MAX], count = 0;

	qsort(rows->items, rows->count, sizeof(rows->items[0]), compare);
	for (unsigned i = 0; i < rows->count; i++) {
		if (i == 0 || rows->items[i].number != rows->items[i - 1].number) {
			calls[count++] = i;
		}
	}
	filter.count = 0;
	put_head(&filter, arch);
	put_tree(&filter, rows, calls, count);
	(void)printf("static const struct sock_filter %s[] = {\n", name);
	for (unsigned i = 0; i < filter.count; i++) {
		const struct sock_filter *step = &filter.steps[i];

		(void)printf("\t{0x%02x, %u, %u, 0x%08x},\n", step->code, step->jt, step->jf,
			     step->k);
	}
	(void)printf("};\n");
}

/* One text, so that the programs have no pointers to relocate: the name of number N ends with the NUL of number N. */
static void print_names(uint32_t arch)
{
	(void)printf("static const char call_names[] =\n");
	for (int number = 0; number < NAMES_MAX; number++) {
		char *name = seccomp_syscall_resolve_num_arch(arch, number);

		(void)printf("\t\"%s\\0\"\n", name != NULL ? name : "");
		free(name);
	}
	(void)printf("\t;\n#define CALL_NAMES %d\n", NAMES_MAX);
}

int main(int argc, char **argv)
{
	static struct rows sidecar, agent;
	uint32_t arch = argc == 3 ? seccomp_arch_resolve_name(argv[1]) : 0;

	if (arch != SCMP_ARCH_X86_64 && arch != SCMP_ARCH_AARCH64) {
		die("usage", "x86_64|aarch64 release|sanitizer|coverage");
	}
	if (strcmp(argv[2], "sanitizer") == 0) {
		add(&sidecar, arch, sanitizer_calls, COUNT_OF(sanitizer_calls));
		add(&agent, arch, sanitizer_calls, COUNT_OF(sanitizer_calls));
	} else if (strcmp(argv[2], "coverage") == 0) {
		add(&sidecar, arch, coverage_calls, COUNT_OF(coverage_calls));
		add(&agent, arch, coverage_calls, COUNT_OF(coverage_calls));
	}
	add(&sidecar, arch, both_calls, COUNT_OF(both_calls));
	add(&sidecar, arch, sidecar_calls, COUNT_OF(sidecar_calls));
	print_filter("sidecar_filter", arch, &sidecar);
	add(&agent, arch, both_calls, COUNT_OF(both_calls));
	add(&agent, arch, agent_calls, COUNT_OF(agent_calls));
	print_filter("agent_filter", arch, &agent);
	(void)printf("#define OWN_PROCESS 0x%08xu\n", OWN_PROCESS);
	print_names(arch);
	return 0;
}
