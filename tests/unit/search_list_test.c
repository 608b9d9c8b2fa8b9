/* SPDX-License-Identifier: GPL-3.0-or-later */
/* resolv.conf(5): the search list, and how many dots a complete name has. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/search_list.h"

static void check(const char *text, const char *expected)
{
	struct fl_search_list list = {.ndots = 1};
	char copy[256], said[256];
	size_t len;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	fl_search_list_parse(&list, copy);
	len = (size_t)snprintf(said, sizeof(said), "%u:", list.ndots);
	for (size_t i = 0; i < list.count; i++) {
		len += (size_t)snprintf(said + len, sizeof(said) - len, " %s", list.domains[i]);
	}
	cr_assert_str_eq(said, expected, "%s", text);
	fl_search_list_done(&list);
}

Test(search_list, what_a_file_says)
{
	check("", "1:");
	check("nameserver 10.96.0.10\nsearch a.test b.test\toptions\noptions ndots:5 rotate\n",
	      "5: a.test b.test options");
	check("search a.test\nsearch b.test\n", "1: b.test");
	check("search a.test\ndomain b.test c.test\n", "1: b.test");
	check("domain\t\ta.test\r\nsearch \t b.test\r\n", "1: b.test");
	check("# search a.test\n;search b.test\nsearching c.test\n search d.test\n", "1:");
	check("options ndots:99\n", "15:");
	check("options ndots:-1 xndots:3\n", "15:");
	check("options ndots:0 ndots:x\n", "0:");
	check("search", "1:");
	check("search .\n", "1: .");
}

Test(search_list, the_environment_wins)
{
	char path[] = "/tmp/fl-search-XXXXXX";
	int fd = mkstemp(path);
	struct fl_search_list list;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, "search a.test\noptions ndots:2\n", 30), 30);
	(void)close(fd);
	(void)unsetenv("LOCALDOMAIN");
	(void)unsetenv("RES_OPTIONS");
	fl_search_list_read(&list, path);
	cr_assert(list.count == 1 && strcmp(list.domains[0], "a.test") == 0 && list.ndots == 2);
	fl_search_list_done(&list);
	(void)setenv("LOCALDOMAIN", "b.test c.test", 1);
	(void)setenv("RES_OPTIONS", "ndots:3", 1);
	fl_search_list_read(&list, path);
	cr_assert(list.count == 2 && strcmp(list.domains[1], "c.test") == 0 && list.ndots == 3);
	fl_search_list_done(&list);
	(void)unlink(path);
	(void)unsetenv("RES_OPTIONS");
	fl_search_list_read(&list, path);
	cr_assert(list.count == 2 && list.ndots == 1, "no file is no error");
	fl_search_list_done(&list);
}
