/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names that `check` accepts, made of any text, and sections in both layouts. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "policy/propose.h"

#define TD "spiffe://prod.example"
#define LONG "0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdefghijklmnopqrstuvwxyz"

/* A list of names, each with a blank before and behind it. */
static bool is_listed(const void *user, const char *name)
{
	char text[FL_PROPOSED_NAME_TEXT + 2];

	(void)snprintf(text, sizeof(text), " %s ", name);
	return strstr(user, text) != NULL;
}

static void expect_name(const char *about, uint32_t distinction, const char *taken,
			const char *wanted)
{
	struct fl_name_wish wish = {
		.about = about, .distinction = distinction, .is_taken = is_listed, .user = taken};
	char name[FL_PROPOSED_NAME_TEXT];

	cr_expect_str_eq(fl_propose_name(&wish, name), wanted);
}

Test(propose, test_propose__names)
{
	expect_name(TD "/ns/web/sa/front", 0, "", "ns-web-sa-front");
	expect_name(TD "/a_b.c", 0, "", "a-b-c");
	expect_name("plaintext", 0, "", "plaintext");
	expect_name("to 80", 0, "", "to-80");
	/* Texts that could be a port, are empty, or are reserved words. */
	expect_name(TD "/8080", 0, "", "peer");
	expect_name(TD "/-", 0, "", "peer");
	expect_name(TD, 0, "", "peer");
	expect_name("", 0, "", "peer");
	expect_name(TD "/default", 0, "", "default-2");
}

Test(propose, test_propose__names_that_are_taken)
{
	expect_name(TD "/a", 0, " a ", "a-2");
	expect_name(TD "/a", 0, " a a-2 a-3 ", "a-4");
	expect_name(TD "/default", 0, " default-2 ", "default-3");
	expect_name(TD "/a", 0x12345678, " a-345 ", "a-34566a");
	expect_name(TD "/a", 0x12345678, " a-34566a ", "a-34566a-2");
}

Test(propose, test_propose__long_names__fit_with_everything_behind_them)
{
	char longest[FL_PROPOSED_NAME_TEXT + 8];

	expect_name(TD "/" LONG, 0, "", "0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdefghi");
	expect_name(TD "/" LONG, 1, "", "0123456789abcdefghijklmnopqrstuvwxyz-0123456789a-000001");
	(void)snprintf(longest, sizeof(longest), " %.48s-000001 ", LONG);
	expect_name(TD "/" LONG, 1, longest,
		    "0123456789abcdefghijklmnopqrstuvwxyz-0123456789a-000001-2");
}

Test(propose, test_propose__layouts)
{
	struct fl_text text = {0};

	fl_propose_allow(&text, FL_PROPOSE_LINES, "a", TD "/a", NULL, "80, web");
	cr_expect_str_eq(text.data, "[allow a]\nfrom = " TD "/a\nto = 80, web");
	text.len = 0;
	fl_propose_allow(&text, FL_PROPOSE_ONE_LINE, "a", NULL, "10.0.0.1", "80");
	cr_expect_str_eq(text.data, "[allow a] from = plaintext  sources = 10.0.0.1  to = 80");
	fl_text_done(&text);
}
