/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fixture - reads whole files; any error fails the test. */
#include "fixture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

char *fl_fixture_path(const char *name)
{
	const char *folder = getenv("FL_TEST_PKI");
	char *path = NULL;

	cr_assert_not_null(folder,
			   "FL_TEST_PKI is not set: run the tests through tests/run or ninja");
	cr_assert(asprintf(&path, "%s/%s", folder, name) > 0);
	return path;
}

char *fl_fixture(const char *name, size_t *ret_len)
{
	char *path = fl_fixture_path(name), *data;
	FILE *file = fopen(path, "rb");
	long size;

	cr_assert_not_null(file, "%s is missing", path);
	cr_assert_eq(fseek(file, 0, SEEK_END), 0);
	size = ftell(file);
	cr_assert_geq(size, 0);
	rewind(file);
	data = calloc(1, (size_t)size + 1);
	cr_assert_not_null(data);
	cr_assert_eq(fread(data, 1, (size_t)size, file), (size_t)size);
	cr_assert_eq(fclose(file), 0);
	free(path);
	if (ret_len) {
		*ret_len = (size_t)size;
	}
	return data;
}
