/* SPDX-License-Identifier: GPL-3.0-or-later */
/* replay - runs a fuzz target over its corpus, without libFuzzer and without clang.
 *
 *     fuzz_TARGET CORPUS...      a corpus: one input a line, in base64 (# begins a comment)
 *     fuzz_TARGET -r FILE...     a file: one input as it is, such as tests/fuzz/run leaves for a finding */
#include <stdio.h>

#include "fuzz.h"

static int value_of(int c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* In place; returns the length. */
static size_t decode(uint8_t *line)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0;

	for (const uint8_t *at = line; value_of(*at) >= 0; at++) {
		bits = bits << 6 | (uint32_t)value_of(*at);
		have += 6;
		if (have >= 8) {
			have -= 8;
			line[len++] = (uint8_t)(bits >> have);
		}
	}
	return len;
}

static void run(struct fl_span input)
{
	uint8_t *copy = fuzz_copy(input);

	(void)LLVMFuzzerTestOneInput(copy, input.len);
	free(copy);
}

static size_t run_corpus(FILE *file)
{
	char *line = NULL;
	size_t cap = 0, count = 0;

	while (getline(&line, &cap, file) > 0) {
		if (line[0] != '#') {
			size_t len = decode((uint8_t *)line);

			run((struct fl_span){(const uint8_t *)line, len});
			count++;
		}
	}
	free(line);
	return count;
}

static size_t run_file(FILE *file)
{
	static uint8_t input[1 << 20];

	run((struct fl_span){input, fread(input, 1, sizeof(input), file)});
	return 1;
}

int main(int argc, char **argv)
{
	bool raw = argc > 1 && strcmp(argv[1], "-r") == 0;
	size_t count = 0;

	if (LLVMFuzzerInitialize != NULL) {
		(void)LLVMFuzzerInitialize(&argc, &argv);
	}
	for (int i = raw ? 2 : 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "re");

		if (file == NULL) {
			perror(argv[i]);
			return 1;
		}
		count += raw ? run_file(file) : run_corpus(file);
		(void)fclose(file);
	}
	printf("%zu inputs\n", count);
	return count > 0 ? 0 : 1;
}
