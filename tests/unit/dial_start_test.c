/* SPDX-License-Identifier: GPL-3.0-or-later */
/* dial_start_test - one connect() with what a dial asks for: options, source ports and addresses, and errors that are known at
 * once. */
#include "net/dial.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/capture.h"
#include "base/mem.h"

/* A socket that listens on loopback; *ret_to is its address. */
static int listen_on(int family, uint16_t port, union fl_sockaddr *ret_to)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret_to);

	*ret_to = fl_sockaddr_loopback(family, port);
	if (bind(fd, &ret_to->any, fl_dial_sockaddr_len(&ret_to->any)) != 0) {
		cr_assert_eq(errno, EADDRINUSE, "%s", strerror(errno));
		close(fd);
		return -1;
	}
	cr_assert_eq(listen(fd, 8), 0);
	cr_assert_eq(getsockname(fd, &ret_to->any, &len), 0);
	return fd;
}

static uint16_t port_of(const union fl_sockaddr *sa)
{
	return ntohs(sa->any.sa_family == AF_INET6 ? sa->in6.sin6_port : sa->in.sin_port);
}

static union fl_sockaddr source_of(int fd)
{
	union fl_sockaddr sa = {0};
	socklen_t len = sizeof(sa);

	cr_assert_eq(getsockname(fd, &sa.any, &len), 0);
	return sa;
}

static int option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	cr_assert_eq(getsockopt(fd, level, name, &value, &len), 0, "%s", strerror(errno));
	return value;
}

static unsigned descriptors(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");

	while (readdir(dir) != NULL) {
		count++;
	}
	closedir(dir);
	return count;
}

/* Dials, and waits for the connection. */
static int dial_up(struct fl_ports *ports, const struct fl_dial *dial)
{
	struct pollfd poll_fd = {.events = POLLOUT};
	int sys = -1;

	cr_assert_eq(fl_dial_start(ports, dial, &poll_fd.fd, &sys), 0);
	cr_assert_eq(sys, 0);
	cr_assert_eq(poll(&poll_fd, 1, 5000), 1);
	cr_assert_eq(option_of(poll_fd.fd, SOL_SOCKET, SO_ERROR), 0);
	return poll_fd.fd;
}

/* --- options -------------------------------------------------------------------------------------- */

Test(dial_start, options_are_there_before_the_first_packet)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct fl_ports none = {.random_left = 0};

	for (size_t i = 0; i < FL_COUNT_OF(families); i++) {
		bool v6 = families[i] == AF_INET6;
		union fl_sockaddr to;
		int listener = listen_on(families[i], 0, &to), fd;
		struct fl_dial dial = {.to = &to.any,
				       .alive = {.keep_s = 30},
				       .joins_acks = true,
				       .tos = 0x68,
				       .heeds_icmp = true};

		fd = dial_up(&none, &dial);
		cr_assert_eq(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
		cr_assert_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
		cr_assert_eq(option_of(fd, SOL_SOCKET, SO_PRIORITY), FL_CAPTURE_PRIORITY);
		cr_assert_eq(v6 ? option_of(fd, IPPROTO_IPV6, IPV6_TCLASS)
				: option_of(fd, IPPROTO_IP, IP_TOS),
			     0x68);
		cr_assert_eq(v6 ? option_of(fd, IPPROTO_IPV6, IPV6_RECVERR)
				: option_of(fd, IPPROTO_IP, IP_RECVERR),
			     1);
		fl_dial_forget_icmp(fd, (sa_family_t)families[i]);
		cr_assert_eq(v6 ? option_of(fd, IPPROTO_IPV6, IPV6_RECVERR)
				: option_of(fd, IPPROTO_IP, IP_RECVERR),
			     0);
		close(fd);
		close(listener);
	}
}

/* Whether this process may set marks and foreign addresses: NET_ADMIN. */
static bool is_privileged(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), mark = 1;
	bool is = setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;

	close(fd);
	return is;
}

static void expect_denied(const struct fl_dial *dial)
{
	struct fl_ports none = {.random_left = 0};
	unsigned before = descriptors();
	int fd, sys;

	cr_assert_eq(fl_dial_start(&none, dial, &fd, &sys), -EPERM);
	cr_assert_eq(descriptors(), before);
}

Test(dial_start, mark__or_no_connection_without_permission)
{
	struct fl_ports none = {.random_left = 0};
	union fl_sockaddr to;
	int listener = listen_on(AF_INET, 0, &to), fd;
	struct fl_dial dial = {.to = &to.any, .mark = 0x1234};

	if (is_privileged()) {
		fd = dial_up(&none, &dial);
		cr_assert_eq(option_of(fd, SOL_SOCKET, SO_MARK), 0x1234);
		close(fd);
	} else {
		expect_denied(&dial);
	}
	close(listener);
}

/* With mode = tproxy the app sees its client's address. */
Test(dial_start, address_of_the_client__with_a_port_for_clients)
{
	struct fl_ports ports;
	union fl_sockaddr to, from = {.in = {.sin_family = AF_INET}};
	int listener = listen_on(AF_INET, 0, &to), fd;
	struct fl_dial dial = {.to = &to.any, .from = &from.any, .port = FL_PORT_FOR_CLIENT};

	fl_ports_load(&ports);
	cr_assert_eq(inet_pton(AF_INET, "127.9.9.9", &from.in.sin_addr), 1);
	if (is_privileged()) {
		fd = dial_up(&ports, &dial);
		union fl_sockaddr source = source_of(fd);
		cr_assert_eq(source.in.sin_addr.s_addr, from.in.sin_addr.s_addr);
		cr_assert(port_of(&source) >= 10240 && port_of(&source) <= 32767, "%u",
			  port_of(&source));
		close(fd);
		dial.port = FL_PORT_OF_KERNEL;
		fd = dial_up(&ports, &dial);
		source = source_of(fd);
		cr_assert_eq(source.in.sin_addr.s_addr, from.in.sin_addr.s_addr);
		cr_assert_neq(port_of(&source), 0);
		close(fd);
	} else {
		expect_denied(&dial);
	}
	close(listener);
}

/* --- source ports ---------------------------------------------------------------------------------- */

/* Ports of ours: just first and the one after it. */
static void make_two_ports(struct fl_ports *ports, uint16_t first)
{
	char *reserved = fl_format("1024-10239,61000-%u,%u-65535", first - 1, first + 2);

	fl_ports_make(ports, 1024, 32768, 60999, reserved);
	free(reserved);
	cr_assert_eq(ports->ours.total, 2);
}

/* Two ports next to each other at which nobody listens; both are kept by sockets. */
static uint16_t occupy_two(int family, int fds[2])
{
	union fl_sockaddr sa;

	for (uint16_t port = 61001; port < 65000; port = (uint16_t)(port + 2)) {
		fds[0] = listen_on(family, port, &sa);
		fds[1] = fds[0] >= 0 ? listen_on(family, (uint16_t)(port + 1), &sa) : -1;
		if (fds[1] >= 0) {
			return port;
		}
		if (fds[0] >= 0) {
			close(fds[0]);
		}
	}
	cr_assert(false, "no two ports are free");
	return 0;
}

Test(dial_start, port_that_is_taken__the_next_one_or_the_kernels)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < FL_COUNT_OF(families); i++) {
		struct fl_ports ports;
		union fl_sockaddr to, source;
		int listener = listen_on(families[i], 0, &to), taken[2], fd;
		uint16_t first = occupy_two(families[i], taken);
		struct fl_dial dial = {.to = &to.any, .port = FL_PORT_OF_OURS};

		make_two_ports(&ports, first);
		fd = dial_up(&ports, &dial); /* both are taken */
		source = source_of(fd);
		cr_assert(port_of(&source) < first || port_of(&source) > first + 1);
		close(fd);
		close(taken[1]);
		fd = dial_up(&ports, &dial); /* one is */
		source = source_of(fd);
		cr_assert_eq(port_of(&source), first + 1);
		close(fd);
		close(taken[0]);
		close(listener);
	}
}

/* Where no address of ours leads to the destination, other ports do not help either. */
Test(dial_start, no_source_address__known_after_one_try)
{
	union fl_sockaddr to = fl_sockaddr_loopback(AF_INET6, 9);
	struct fl_dial dial = {.to = &to.any, .port = FL_PORT_OF_OURS};
	struct fl_ports ports;
	unsigned before;
	int fd, sys;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && unshare(CLONE_NEWNET) != 0) {
		cr_skip_test("no network namespace can be made");
	}
	fl_ports_load(&ports);
	before = descriptors();
	cr_assert_eq(fl_dial_start(&ports, &dial, &fd, &sys), -EADDRNOTAVAIL);
	cr_assert_eq(descriptors(), before);
}

/* --- errors ------------------------------------------------------------------------------------------ */

Test(dial_start, refusal__told_later_like_a_slow_one)
{
	struct fl_ports none = {.random_left = 0};
	union fl_sockaddr to, nowhere = {.un = {.sun_family = AF_UNIX}};
	struct fl_dial dial = {.to = &to.any};
	int fd, sys;

	close(listen_on(AF_INET, 0, &to));
	cr_assert_eq(fl_dial_start(&none, &dial, &fd, &sys), 0);
	if (sys == 0) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
		cr_assert_eq(poll(&poll_fd, 1, 5000), 1);
		sys = -option_of(fd, SOL_SOCKET, SO_ERROR);
	}
	cr_assert_eq(sys, -ECONNREFUSED);
	close(fd);

	(void)snprintf(nowhere.un.sun_path, sizeof(nowhere.un.sun_path), "/nowhere/socket");
	dial.to = &nowhere.any;
	cr_assert_eq(fl_dial_start(&none, &dial, &fd, &sys), 0);
	cr_assert_eq(sys, -ENOENT);
	close(fd);
}

Test(dial_start, impossible_destination__no_descriptor)
{
	struct fl_ports none = {.random_left = 0};
	union fl_sockaddr to = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)}};
	struct fl_dial dial = {.to = &to.any};
	unsigned before = descriptors();
	int fd, sys;

	/* Link-local, and no interface says where. */
	cr_assert_eq(inet_pton(AF_INET6, "fe80::1", &to.in6.sin6_addr), 1);
	cr_assert_lt(fl_dial_start(&none, &dial, &fd, &sys), 0);
	cr_assert_eq(descriptors(), before);
}

Test(dial_start, no_descriptor_left)
{
	struct fl_ports none = {.random_left = 0};
	union fl_sockaddr to = fl_sockaddr_loopback(AF_INET, 9);
	struct fl_dial dial = {.to = &to.any};
	struct rlimit limit, no_more;
	int fd, sys, rc;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	no_more = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &no_more), 0);
	rc = fl_dial_start(&none, &dial, &fd, &sys);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0); /* Criterion needs some */
	cr_assert_eq(rc, -EMFILE);
}

/* The kernel queues the ICMP errors of a UDP socket just as those of a socket that waits for an answer to its SYN, and on
 * loopback there are none of the latter. */
Test(dial_start, icmp_error__read_once)
{
	static const int families[] = {AF_INET, AF_INET6};
	const int on = 1;

	for (size_t i = 0; i < FL_COUNT_OF(families); i++) {
		bool v6 = families[i] == AF_INET6;
		union fl_sockaddr to = fl_sockaddr_loopback(families[i], 0);
		socklen_t len = sizeof(to);
		int other = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);
		int fd = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);
		struct pollfd poll_fd = {.fd = fd};

		cr_assert_eq(bind(other, &to.any, fl_dial_sockaddr_len(&to.any)), 0);
		cr_assert_eq(getsockname(other, &to.any, &len), 0);
		close(other); /* nobody is there */
		cr_assert_eq(setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
					v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof(on)),
			     0);
		cr_assert_eq(fl_dial_icmp_error(fd), 0);
		cr_assert_eq(connect(fd, &to.any, fl_dial_sockaddr_len(&to.any)), 0);
		cr_assert_eq(send(fd, "x", 1, 0), 1);
		cr_assert_eq(poll(&poll_fd, 1, 5000), 1, "an error is there");
		cr_assert_eq(fl_dial_icmp_error(fd), -ECONNREFUSED);
		cr_assert_eq(fl_dial_icmp_error(fd), 0);
		close(fd);
	}
}
