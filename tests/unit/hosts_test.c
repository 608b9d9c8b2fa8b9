/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The names of a hosts file, and what happens when it changes. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/hosts.h"

/* The addresses of host in text, separated by blanks. */
static const char *search(const char *text, const char *host, int family)
{
	static char answer[256];
	char *copy = fl_strdup(text), one[INET6_ADDRSTRLEN];
	size_t count;
	union fl_sockaddr *found = fl_hosts_search(copy, strlen(text), host, family, &count);

	answer[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		cr_assert_eq(found[i].any.sa_family, family);
		cr_assert_not_null(inet_ntop(family,
					     family == AF_INET ? (void *)&found[i].in.sin_addr
							       : (void *)&found[i].in6.sin6_addr,
					     one, sizeof(one)));
		(void)snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%s%s",
			       i > 0 ? " " : "", one);
	}
	free(found);
	free(copy);
	return answer;
}

Test(hosts, finds_names_and_aliases)
{
	static const char text[] = "127.0.0.1 localhost\n"
				   "::1\tlocalhost ip6-localhost\n"
				   "# 10.0.0.9 ledger\n"
				   "10.0.0.1  ledger.prod ledger # the first\n"
				   "10.0.0.2 other\r\n"
				   "\n"
				   "fd00::1 ledger\n"
				   "10.0.0.3 LEDGER";

	cr_assert_str_eq(search(text, "localhost", AF_INET), "127.0.0.1");
	cr_assert_str_eq(search(text, "ip6-localhost", AF_INET6), "::1");
	cr_assert_str_eq(search(text, "ledger", AF_INET), "10.0.0.1 10.0.0.3");
	cr_assert_str_eq(search(text, "Ledger.Prod", AF_INET), "10.0.0.1");
	cr_assert_str_eq(search(text, "ledger", AF_INET6), "fd00::1");
	cr_assert_str_eq(search(text, "other", AF_INET), "10.0.0.2");
	cr_assert_str_eq(search(text, "nobody", AF_INET), "");
	cr_assert_str_eq(search(text, "first", AF_INET), "");
}

Test(hosts, passes_over_what_is_no_entry)
{
	cr_assert_str_eq(search("", "a", AF_INET), "");
	cr_assert_str_eq(search("\n\n \t\n", "a", AF_INET), "");
	cr_assert_str_eq(search("10.0.0.1\n10.0.0.2 a\n", "a", AF_INET), "10.0.0.2");
	cr_assert_str_eq(search("10.0.0 a\nfe80::1%eth0 a\nname a\n", "a", AF_INET), "");
	cr_assert_str_eq(search("10.0.0.1#a\n", "a", AF_INET), "");
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
}

static size_t count_of(struct fl_hosts *hosts, const char *host)
{
	size_t count;

	free(fl_hosts_find(hosts, host, AF_INET, &count));
	return count;
}

Test(hosts, follows_a_change_in_place_and_a_new_file)
{
	char path[] = "/tmp/fairlead-hosts-XXXXXX", other[64];
	int fd = mkstemp(path);
	struct fl_hosts hosts;
	struct fl_log log;

	(void)close(fd);
	(void)snprintf(other, sizeof(other), "%s.new", path);
	fl_log_init(&log, -1, FL_LOG_WARN, FL_LOG_TEXT, "test");
	put(path, "10.0.0.1 a\n");
	fl_hosts_open(&hosts, path, &log);
	cr_assert_eq(count_of(&hosts, "a"), 1);
	put(path, "10.0.0.1 a\n10.0.0.2 b\n");
	cr_assert_eq(count_of(&hosts, "b"), 1);
	put(other, "10.0.0.3 c\n");
	cr_assert_eq(rename(other, path), 0);
	cr_assert_eq(count_of(&hosts, "c"), 1);
	cr_assert_eq(count_of(&hosts, "a"), 0);
	cr_assert_eq(fl_log_lost(&log), 0);
	(void)unlink(path);
	cr_assert_eq(count_of(&hosts, "c"), 1, "what we have stays");
	fl_hosts_close(&hosts);
}

/* As in the sandbox, here by the limit of descriptors. The log has no descriptor: it counts the lines. */
Test(hosts, says_once_that_a_new_file_cannot_be_opened)
{
	char path[] = "/tmp/fairlead-hosts-XXXXXX", other[64];
	struct rlimit before, none;
	struct fl_hosts hosts;
	struct fl_log log;

	(void)close(mkstemp(path));
	(void)snprintf(other, sizeof(other), "%s.new", path);
	fl_log_init(&log, -1, FL_LOG_WARN, FL_LOG_TEXT, "test");
	put(path, "10.0.0.1 a\n");
	fl_hosts_open(&hosts, path, &log);
	put(other, "10.0.0.3 c\n");
	cr_assert_eq(rename(other, path), 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	(void)setrlimit(RLIMIT_NOFILE, &none);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect_eq(count_of(&hosts, "a"), 1);
	}
	(void)setrlimit(RLIMIT_NOFILE, &before);
	cr_assert_eq(fl_log_lost(&log), 1);
	fl_hosts_close(&hosts);
	(void)unlink(path);
}
