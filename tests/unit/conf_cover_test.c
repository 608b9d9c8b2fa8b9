/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Networks with ports that cover another one together, compared with a walk over addresses and ports. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/cover.h"

#define PORTS 8u

static struct fl_cidr parsed(const char *text)
{
	struct fl_cidr net;

	cr_assert_eq(fl_cidr_parse(text, &net, NULL), 0, "%s", text);
	return net;
}

/* One of each kind of address that the random networks tell apart. */
static const char *const addresses[] = {"10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4",
					"10.0.0.5", "10.0.0.6", "10.0.0.7", "11.0.0.1", "200.0.0.1",
					"fd00::",   "fd00::1",  "fd00::2",  "fd00::3",  "1::"};

static struct fl_cidr random_net(unsigned *seed)
{
	static const uint8_t lengths4[] = {0, 1, 29, 30, 31, 32}, lengths6[] = {0, 126, 127, 128};
	struct fl_cidr net = parsed(addresses[(size_t)rand_r(seed) % FL_COUNT_OF(addresses)]);
	size_t random = (size_t)rand_r(seed);

	/* The others do not have such neighbours that all of their network is known here. */
	if (net.addr[0] != 10 && net.addr[0] != 0xfd) {
		return fl_cidr_widened(&net, net.family == AF_INET ? (unsigned)(random % 2) : 0);
	}
	return fl_cidr_widened(&net, net.family == AF_INET
					     ? lengths4[random % FL_COUNT_OF(lengths4)]
					     : lengths6[random % FL_COUNT_OF(lengths6)]);
}

static struct fl_port_range random_ports(unsigned *seed)
{
	uint16_t first = (uint16_t)(1 + (unsigned)rand_r(seed) % PORTS);
	uint16_t last = (uint16_t)(first + (unsigned)rand_r(seed) % 4);

	return (struct fl_port_range){first, last > PORTS ? (uint16_t)PORTS : last};
}

static bool has(const struct fl_cover_item *items, size_t count, const struct fl_cidr *addr,
		unsigned port)
{
	for (size_t i = 0; i < count; i++) {
		if (fl_cidr_covers(&items[i].net, addr) && items[i].ports.first <= port &&
		    port <= items[i].ports.last) {
			return true;
		}
	}
	return false;
}

/* (all) Each address with each port, or one of them? */
static bool has_any_or_all(const struct fl_cover_item *items, size_t count,
			   const struct fl_cidr *net, struct fl_port_range ports, bool all)
{
	for (size_t i = 0; i < FL_COUNT_OF(addresses); i++) {
		struct fl_cidr addr = parsed(addresses[i]);

		for (unsigned port = ports.first; port <= ports.last; port++) {
			if (fl_cidr_covers(net, &addr) && has(items, count, &addr, port) != all) {
				return !all;
			}
		}
	}
	return all;
}

Test(conf_cover, test_cover__random_networks__agree_with_a_plain_walk)
{
	struct fl_cover_item items[24];
	unsigned seed = 7, covered = 0, met = 0, asked = 0;

	for (unsigned round = 0; round < 2000; round++) {
		size_t count = (size_t)rand_r(&seed) % FL_COUNT_OF(items);
		struct fl_cover cover = {0}, parts = {0};

		for (size_t i = 0; i < count; i++) {
			items[i] = (struct fl_cover_item){random_net(&seed), random_ports(&seed),
							  &items[i]};
			fl_cover_add(&cover, &items[i].net, items[i].ports, items[i].of);
			fl_cover_add(&parts, &items[i].net, items[i].ports, items[i].of);
		}
		fl_cover_sort(&cover);
		fl_cover_sort_parts(&parts);
		for (unsigned i = 0; i < 20; i++, asked++) {
			struct fl_cidr net = random_net(&seed);
			struct fl_port_range ports = random_ports(&seed);
			bool all = has_any_or_all(items, count, &net, ports, true);
			bool any = has_any_or_all(items, count, &net, ports, false);

			cr_assert_eq(fl_cover_find(&cover, &net, ports) != NULL, all,
				     "round %u, question %u", round, i);
			cr_assert_eq(fl_cover_meets(&cover, &parts, &net, ports), any,
				     "round %u, question %u", round, i);
			covered += all;
			met += any;
		}
		fl_cover_done(&cover);
		fl_cover_done(&parts);
	}
	cr_expect(covered > asked / 20 && covered < asked / 2, "%u of %u", covered, asked);
	cr_expect(met > asked / 2 && met < asked * 9 / 10, "%u of %u", met, asked);
}

/* Each address of 10.0.0.0/18, in an order that is neither of addresses nor of halves. */
#define ADDRESSES 16384u
static void add_each_but(struct fl_cover *cover, unsigned missing)
{
	for (unsigned i = 0; i < ADDRESSES; i++) {
		unsigned at = i * 7919u % ADDRESSES;
		struct fl_cidr net = {.family = AF_INET,
				      .bits = 32,
				      .addr = {10, 0, (uint8_t)(at >> 8), (uint8_t)at}};

		if (at != missing) {
			fl_cover_add(cover, &net, (struct fl_port_range){443, 443}, NULL);
		}
	}
	fl_cover_sort(cover);
}

Test(conf_cover, test_cover__many_single_addresses__are_the_network_only_if_none_is_missing)
{
	static const struct fl_port_range https = {443, 443}, more = {443, 444};
	struct fl_cidr all = parsed("10.0.0.0/18"), wider = parsed("10.0.0.0/17"),
		       half = parsed("10.0.32.0/19");
	struct fl_cover whole = {0}, holed = {0};

	add_each_but(&whole, ADDRESSES);
	add_each_but(&holed, 77);
	cr_expect_not_null(fl_cover_find(&whole, &all, https));
	cr_expect_null(fl_cover_find(&whole, &all, more));
	cr_expect_null(fl_cover_find(&whole, &wider, https));
	cr_expect_null(fl_cover_find(&holed, &all, https));
	cr_expect_not_null(fl_cover_find(&holed, &half, https));
	fl_cover_done(&whole);
	fl_cover_done(&holed);
}
