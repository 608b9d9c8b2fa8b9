/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Our own source ports: never one in use by others, with any kernel settings. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/ports.h"

static bool has(const struct fl_port_ranges *ranges, unsigned port)
{
	for (size_t i = 0; i < ranges->count; i++) {
		if (port >= ranges->items[i].first && port <= ranges->items[i].last) {
			return true;
		}
	}
	return false;
}

static struct fl_ports make(unsigned first, unsigned low, unsigned high, const char *reserved)
{
	struct fl_ports ports;

	fl_ports_make(&ports, first, low, high, reserved);
	return ports;
}

Test(ports, outside_of_what_linux_gives_to_programs)
{
	struct fl_ports ports = make(0, 32768, 60999, "\n");

	cr_expect_eq(ports.high.total, 65535 - 60999);
	cr_expect_eq(ports.for_clients.total, 32768 - 10240);
	cr_expect_eq(ports.ours.total, 65535 - 60999 + 10240 - 1024);
	cr_expect(has(&ports.ours, 1024) && has(&ports.ours, 10239) && has(&ports.ours, 61000));
	cr_expect(has(&ports.for_clients, 10240) && has(&ports.for_clients, 32767));
}

Test(ports, a_range_of_another_size_and_its_default_are_both_left_out)
{
	struct fl_ports narrow = make(0, 40000, 40199, ""), low = make(0, 15000, 20000, ""),
			wide = make(0, 1024, 65535, "");

	cr_expect_eq(narrow.for_clients.total, 32768 - 10240);
	cr_expect(!has(&narrow.ours, 50000) && !has(&narrow.for_clients, 33000));
	cr_expect_eq(low.for_clients.total, 32768 - 10240 - 5001);
	cr_expect(!has(&low.for_clients, 15000) && has(&low.for_clients, 20001));
	cr_expect_eq(wide.ours.total + wide.high.total + wide.for_clients.total, 0);
	cr_expect_eq(fl_ports_pick(&wide, FL_PORT_OF_OURS, 0), 0);
	cr_expect_eq(fl_ports_pick(&wide, FL_PORT_FOR_CLIENT, 0), 0);
}

Test(ports, reserved_and_privileged_ones_are_left_out)
{
	struct fl_ports ports = make(2000, 32768, 60999, "1999-2000,8080,61000-65000,70000\n");

	cr_expect(!has(&ports.ours, 2000) && has(&ports.ours, 2001) && !has(&ports.ours, 1024));
	cr_expect(!has(&ports.ours, 8080) && has(&ports.ours, 8081));
	cr_expect_eq(ports.high.total, 535);
}

Test(ports, too_many_reserved_ones_cost_ports_and_nothing_else)
{
	char text[2048];
	size_t len = 0;
	struct fl_ports ports;

	for (unsigned port = 10241; port < 10541; port += 2) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%u,", port);
	}
	ports = make(0, 32768, 60999, text);
	for (unsigned port = 10241; port < 10541; port += 2) {
		cr_expect(!has(&ports.for_clients, port));
	}
	cr_expect_leq(ports.for_clients.count, FL_PORTS_RANGES_MAX);
	for (unsigned i = 0; i < 1000; i++) {
		cr_assert_neq(fl_ports_pick(&ports, FL_PORT_OF_OURS, 0), 0);
	}
}

Test(ports, a_pick_is_one_of_them_and_each_comes)
{
	struct fl_ports ports = make(0, 32768, 60999, "61000-65525,10240-32760");
	unsigned seen[65536] = {0};

	for (unsigned i = 0; i < 4000; i++) {
		uint16_t high = fl_ports_pick(&ports, FL_PORT_OF_OURS, i % 8);
		uint16_t client = fl_ports_pick(&ports, FL_PORT_FOR_CLIENT, i % 100);

		cr_assert(high > 65525 && client > 32760 && client < 32768);
		seen[high]++;
		seen[client]++;
	}
	for (unsigned port = 65526; port <= 65535; port++) {
		cr_expect_gt(seen[port], 200);
	}
	for (unsigned port = 32761; port <= 32767; port++) {
		cr_expect_gt(seen[port], 300);
	}
	cr_expect(has(&ports.ours, fl_ports_pick(&ports, FL_PORT_OF_OURS, 8)));
	cr_expect_eq(fl_ports_pick(&ports, FL_PORT_OF_OURS, 1000), 0);
	cr_expect_eq(fl_ports_pick(&ports, FL_PORT_OF_KERNEL, 0), 0);
}
