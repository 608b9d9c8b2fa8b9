/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What CBMC has to find, one mistake in each: a run that finds less than all of them proves nothing. Which checks it makes by itself
 * differs from one version to another. */
#include "proof.h"

void prove_array_bounds(void)
{
	uint8_t array[4] = {0};
	size_t at = nondet_size_t();

	array[at] = 1;
	PROVE(array[0] <= 1);
}

void prove_pointer_dereference(void)
{
	uint8_t *memory = malloc(4);

	memory[0] = 1; /* there may be none */
	free(memory);
}

void prove_overflow(void)
{
	int number = (int)nondet_uint16_t() * 65536;

	PROVE(number % 2 == 0);
}

void prove_undefined_shift(void)
{
	PROVE((1u << nondet_uint8_t()) > 0);
}

void prove_unwind(void)
{
	for (size_t left = nondet_size_t(); left > 0; left--) {
		PROVE(left > 0);
	}
}

void prove_assertion(void)
{
	PROVE(nondet_uint8_t() < 255);
}
