/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which rights a kernel of each version takes and gives. */
#include <criterion/criterion.h>

#include "base/landlock.h"

#define UP_TO(bit) ((UINT64_C(2) << (bit)) - 1)

/* By the last right that each version added: linux/landlock.h of Linux 5.13, 5.19, 6.2, 6.7, 6.10 and 6.12. */
static const struct {
	unsigned version, last_file_right;
	bool has_network, has_scopes;
} versions[] = {
	{1, 12, false, false}, {2, 13, false, false}, {3, 14, false, false}, {4, 14, true, false},
	{5, 15, true, false},  {6, 15, true, true},   {7, 15, true, true},   {99, 15, true, true},
};

Test(landlock, each_version_takes_all_that_it_knows)
{
	const struct fl_landlock_wish wish = {.no_tcp = true};

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct fl_landlock_rights rights =
			fl_landlock_rights_of(versions[i].version, &wish);

		cr_assert_eq(rights.files, UP_TO(versions[i].last_file_right), "version %u",
			     versions[i].version);
		cr_assert_eq(rights.network, versions[i].has_network ? 3 : 0);
		cr_assert_eq(rights.scopes, versions[i].has_scopes ? 3 : 0);
	}
}

Test(landlock, without_it_nothing_is_taken)
{
	const struct fl_landlock_wish wish = {.no_tcp = true};
	struct fl_landlock_rights rights = fl_landlock_rights_of(0, &wish);

	cr_assert_eq(rights.files | rights.network | rights.scopes, 0);
}

Test(landlock, what_is_needed_is_kept)
{
	const struct fl_landlock_wish tcp = {.no_tcp = false}, abstract = {.keep_abstract = true},
				      files = {.keep_files = true};

	cr_assert_eq(fl_landlock_rights_of(7, &tcp).network, 0);
	cr_assert_eq(fl_landlock_rights_of(7, &abstract).scopes, 2, "signals stay inside");
	cr_assert_eq(fl_landlock_rights_of(7, &files).files, 0);
}

Test(landlock, a_place_gives_what_it_says_and_no_more)
{
	cr_assert_eq(fl_landlock_place_rights(7, FL_PLACE_READ), 1 << 2 | 1 << 3);
	cr_assert_eq(fl_landlock_place_rights(7, FL_PLACE_REMOVE), 1 << 5);
	cr_assert_eq(fl_landlock_place_rights(7, FL_PLACE_MAKE_SOCKET), 1 << 9);
	cr_assert_eq(fl_landlock_place_rights(7, FL_PLACE_MAKE_DIRECTORY), 1 << 7);
	cr_assert_eq(fl_landlock_place_rights(1, ~0u), 1 << 2 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 9);
	cr_assert_eq(fl_landlock_place_rights(0, ~0u), 0);
}
