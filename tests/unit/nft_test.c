/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/capture/nft.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static struct fl_err explain(int code, int signal, char *said)
{
	struct fl_child_end end = {
		.code = code, .signal = signal, .errors = {.data = said, .len = strlen(said)}};
	struct fl_err err = {.text = ""};

	cr_assert_neq(fl_nft_explain(&end, "take the rules", &err), FL_OK);
	return err;
}

static void is(int code, char *said, const char *text)
{
	struct fl_err err = explain(code, 0, said);

	cr_assert_eq(err.code, FL_ERR_IO);
	cr_assert_str_eq(err.text, text);
}

Test(nft, the_kernel_refuses)
{
	is(1,
	   "/dev/stdin:2:24-30: Error: Could not process rule: No such file or directory\n"
	   "add rule inet fairlead nochain accept\n"
	   "                       ^^^^^^^\n",
	   "the kernel did not take the rules: No such file or directory: "
	   "add rule inet fairlead nochain accept");
}

Test(nft, nft_refuses)
{
	is(1,
	   "/dev/stdin:1:10-13: Error: syntax error, unexpected inet, expecting string\n"
	   "\t add tble inet fairlead\n"
	   "         ^^^^\n",
	   "nft did not take the rules: syntax error, unexpected inet, expecting string: "
	   "add tble inet fairlead");
}

Test(nft, the_first_of_several_after_a_warning)
{
	is(1,
	   "# Warning: table ip nat is managed by iptables-nft, do not touch!\n"
	   "/dev/stdin:1:1-2: Error: first\none\n^^\n/dev/stdin:2:1-2: Error: second\ntwo\n^^\n",
	   "nft did not take the rules: first: one");
}

Test(nft, words_that_end_early)
{
	is(1, "internal:0:0-0: Error: Could not process rule: Operation not permitted",
	   "the kernel did not take the rules: Operation not permitted");
	is(1, "Error: ", "nft did not take the rules: ");
}

Test(nft, it_never_began)
{
	is(127,
	   "/usr/sbin/nft: error while loading shared libraries: libnftables.so.1: cannot open "
	   "shared object file: No such file or directory\n",
	   "nft did not take the rules: exit 127, /usr/sbin/nft: error while loading shared "
	   "libraries: libnftables.so.1: cannot open shared object file: No such file or "
	   "directory: reinstall the package nftables");
	is(5, "",
	   "nft did not take the rules: exit 5, without a message: reinstall the package nftables");
}

Test(nft, a_long_line_is_cut)
{
	char said[2000] = "/dev/stdin:1:1-2: Error: ";

	memset(said + strlen(said), 'x', sizeof(said) - strlen(said) - 1);
	cr_assert_str_not_empty(explain(1, 0, said).text);
}

Test(nft, it_was_ended)
{
	struct fl_err err = explain(0, SIGALRM, "");

	cr_assert_eq(err.code, FL_ERR_LIMIT);
	cr_assert_not_null(strstr(err.text, "had not ended after 30 s"));
	err = explain(0, SIGXFSZ, "");
	cr_assert_eq(err.code, FL_ERR_LIMIT);
	cr_assert_not_null(strstr(err.text, "lists more than 4 MB"));
	err = explain(0, SIGKILL, "/dev/stdin:1:1-2: Error: half a wo");
	cr_assert_eq(err.code, FL_ERR_IO);
	cr_assert_not_null(
		strstr(err.text, "ended by signal 9, so the rules may have changed or not"));
}
