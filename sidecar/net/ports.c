/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ports - ranges of 1024-65535 that no other use claims, and a random pick among them.
 *
 * A port is taken for one destination only. With half of the ports open to the same destination,
 * two tries are needed on average; with nine tenths, ten tries. */
#include "net/ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/mem.h"

#define USUAL_LOW 32768u
#define USUAL_HIGH 60999u
#define UNPRIVILEGED 1024u
#define FOR_CLIENTS_LOW 10240u /* 22,528 ports, for the 20,000 of `[limits] connections` */
#define HIGH_TRIES 8u
#define TRIES 128u
#define RESERVED_MAX 4096u

/* --- ranges ----------------------------------------------------------------------------------- */

static void add_range(struct fl_port_ranges *ranges, unsigned first, unsigned last)
{
	if (first > last || ranges->count == FL_PORTS_RANGES_MAX) {
		return;
	}
	ranges->items[ranges->count].first = (uint16_t)first;
	ranges->items[ranges->count].last = (uint16_t)last;
	ranges->count++;
	ranges->total += last - first + 1;
}

/* Removes the ports from first to last. If there is no room for the part after them, that is
 * removed, too. */
static void cut(struct fl_port_ranges *ranges, unsigned first, unsigned last)
{
	struct fl_port_ranges left = {.count = 0};

	for (size_t i = 0; i < ranges->count; i++) {
		unsigned a = ranges->items[i].first, b = ranges->items[i].last;

		if (last < a || first > b) {
			add_range(&left, a, b);
			continue;
		}
		if (first > a) {
			add_range(&left, a, first - 1);
		}
		if (last < b) {
			add_range(&left, last + 1, b);
		}
	}
	*ranges = left;
}

static void cut_list(struct fl_port_ranges *ranges, const char *text)
{
	while (*text != '\0') {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (end == text) {
			return;
		}
		if (*end == '-') {
			last = strtoul(end + 1, &end, 10);
		}
		if (first <= last && last <= UINT16_MAX) {
			cut(ranges, (unsigned)first, (unsigned)last);
		}
		text = end + (*end == ',');
	}
}

/* Returns the part of ranges that lies between first and last. */
static struct fl_port_ranges part_of(const struct fl_port_ranges *ranges, unsigned first,
				     unsigned last)
{
	struct fl_port_ranges part = {.count = 0};

	for (size_t i = 0; i < ranges->count; i++) {
		unsigned a = ranges->items[i].first, b = ranges->items[i].last;

		add_range(&part, a > first ? a : first, b < last ? b : last);
	}
	return part;
}

void fl_ports_make(struct fl_ports *ports, unsigned first, unsigned low, unsigned high,
		   const char *reserved)
{
	struct fl_port_ranges *ours = &ports->ours;

	*ports = (struct fl_ports){.random_left = 0};
	add_range(ours, first > UNPRIVILEGED ? first : UNPRIVILEGED, UINT16_MAX);
	cut(ours, USUAL_LOW, USUAL_HIGH);
	cut(ours, low, high);
	cut_list(ours, reserved);
	ports->high = part_of(ours, USUAL_HIGH + 1, UINT16_MAX);
	ports->for_clients = part_of(ours, FOR_CLIENTS_LOW, USUAL_LOW - 1);
	cut(ours, FOR_CLIENTS_LOW, USUAL_LOW - 1);
}

/* --- what the kernel says ----------------------------------------------------------------------- */

/* Reads the setting's text into buf; empty: not known. */
static const char *read_setting(const char *name, char *buf, size_t size)
{
	char path[128];
	FILE *file;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	file = fopen(path, "re");
	if (file != NULL) {
		len = fread(buf, 1, size - 1, file);
		(void)fclose(file);
	}
	buf[len] = '\0';
	return buf;
}

void fl_ports_load(struct fl_ports *ports)
{
	char reserved[RESERVED_MAX], range[64], first[32], *end;
	unsigned long low, high;

	low = strtoul(read_setting("ip_local_port_range", range, sizeof(range)), &end, 10);
	high = strtoul(end, NULL, 10);
	if (low == 0 || high < low || high > UINT16_MAX) {
		low = USUAL_LOW;
		high = USUAL_HIGH;
	}
	fl_ports_make(
		ports,
		(unsigned)strtoul(read_setting("ip_unprivileged_port_start", first, sizeof(first)),
				  NULL, 10),
		(unsigned)low, (unsigned)high,
		read_setting("ip_local_reserved_ports", reserved, sizeof(reserved)));
}

/* --- one of them ------------------------------------------------------------------------------- */

static uint32_t next_random(struct fl_ports *ports)
{
	if (ports->random_left == 0) {
		FL_REQUIRE(getrandom(ports->random, sizeof(ports->random), 0) ==
			   (ssize_t)sizeof(ports->random));
		ports->random_left = FL_COUNT_OF(ports->random);
	}
	return ports->random[--ports->random_left];
}

static uint16_t at(const struct fl_port_ranges *ranges, uint32_t number)
{
	size_t i = 0;

	for (; number > (uint32_t)(ranges->items[i].last - ranges->items[i].first); i++) {
		number -= ranges->items[i].last - ranges->items[i].first + 1u;
	}
	return (uint16_t)(ranges->items[i].first + number);
}

uint16_t fl_ports_pick(struct fl_ports *ports, enum fl_port_choice choice, unsigned attempt)
{
	const struct fl_port_ranges *ranges = &ports->for_clients;

	if (choice == FL_PORT_OF_OURS) {
		ranges =
			attempt < HIGH_TRIES && ports->high.total > 0 ? &ports->high : &ports->ours;
	}
	if (choice == FL_PORT_OF_KERNEL || attempt >= TRIES || ranges->total == 0) {
		return 0;
	}
	return at(ranges, (uint32_t)(((uint64_t)next_random(ports) * ranges->total) >> 32));
}
