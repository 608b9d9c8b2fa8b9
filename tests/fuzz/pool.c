/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any sequence of uses, pauses and ends: the pool does what its model allows. */
#include "fuzz.h"

#include "../lib/pool_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct pool_model model;
	struct fl_span in = {data, len};
	uint32_t random = fuzz_u8(&in) + 1u;

	pool_model_init(&model);
	while (in.len > 0) {
		random = random * 1664525u + 1013904223u;
		pool_model_step(&model, fuzz_u8(&in), random);
	}
	pool_model_done(&model);
	return 0;
}
