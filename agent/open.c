/* SPDX-License-Identifier: GPL-3.0-or-later */
/* open - reads /proc/net/tcp and /proc/net/tcp6, whose format the kernel keeps (proc(5)). */
#include "agent/open.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* States of the kernel's <net/tcp_states.h>. */
enum { TIME_WAIT = 6, CLOSED = 7, LISTENING = 10 };

struct end {
	struct in6_addr addr; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;        /* host byte order */
};
struct conn {
	struct end local, remote;
};
struct list {
	struct conn *items;
	size_t count, room;
};

static void add(struct list *list, const struct conn *conn)
{
	if (list->count == list->room) {
		list->room = list->room == 0 ? 64 : 2 * list->room;
		list->items = fl_grow(list->items, list->room, sizeof(*list->items));
	}
	list->items[list->count++] = *conn;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool read_hex(const char *text, size_t digits, uint32_t *ret)
{
	char part[9] = "";
	char *end;

	if (digits >= sizeof(part) || strnlen(text, digits) < digits) {
		return false;
	}
	memcpy(part, text, digits);
	*ret = (uint32_t)strtoul(part, &end, 16);
	return end == part + digits;
}

/* "0100007F:1F90", or with four such words: each is in the byte order of the machine. */
static bool read_end(const char *text, struct end *ret)
{
	size_t count = strcspn(text, ":") / 8, at = count == 1 ? 3 : 0;
	uint32_t words[4] = {0, 0, count == 1 ? htonl(0xffff) : 0, 0}, port;

	if (count != 1 && count != 4) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (!read_hex(text + 8 * i, 8, &words[at + i])) {
			return false;
		}
	}
	if (text[8 * count] != ':' || !read_hex(text + 8 * count + 1, 4, &port)) {
		return false;
	}
	memcpy(&ret->addr, words, sizeof(ret->addr));
	ret->port = (uint16_t)port;
	return true;
}

/* "   0: LOCAL REMOTE STATE ..." */
static bool read_line(char *line, struct conn *ret)
{
	char *rest = line;
	const char *words[4];
	uint32_t state;

	for (size_t i = 0; i < FL_COUNT_OF(words); i++) {
		words[i] = strtok_r(NULL, " ", &rest);
		if (words[i] == NULL) {
			return false;
		}
	}
	return read_hex(words[3], 2, &state) && state != TIME_WAIT && state != CLOSED &&
	       state != LISTENING && read_end(words[1], &ret->local) &&
	       read_end(words[2], &ret->remote);
}

/* A kernel without IPv6 has no such file. */
static int read_table(const char *path, struct list *list, struct fl_err *err)
{
	FILE *file = fopen(path, "re");
	char line[512];
	struct conn conn;
	int rc = FL_OK;

	if (file == NULL) {
		return errno == ENOENT ? FL_OK : fl_err_sys(err, errno, "cannot open %s", path);
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		if (read_line(line, &conn)) {
			add(list, &conn);
		}
	}
	if (ferror(file)) {
		rc = fl_err_sys(err, errno, "cannot read %s", path);
	}
	(void)fclose(file);
	return rc;
}

/* --- what is captured ------------------------------------------------------------------------- */

static int compare_ends(const struct end *a, const struct end *b)
{
	int order = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return order != 0 ? order : (int)a->port - (int)b->port;
}

static int by_remote_end(const void *a, const void *b)
{
	const struct conn *left = a, *right = b;

	return compare_ends(&left->remote, &right->remote);
}

/* The sidecar's ends of captured connections, sorted: the app's end is the remote one. */
static void find_captured(const struct list *all, const struct fl_ruleset_ports *outbound,
			  struct list *ret)
{
	for (size_t i = 0; i < all->count; i++) {
		uint16_t port = all->items[i].local.port;

		if (port == outbound->v4 || port == outbound->v6) {
			add(ret, &all->items[i]);
		}
	}
	if (ret->count > 0) {
		qsort(ret->items, ret->count, sizeof(*ret->items), by_remote_end);
	}
}

static bool is_captured(const struct list *captured, const struct conn *conn)
{
	struct conn key = {.remote = conn->local};

	return captured->count > 0 &&
	       bsearch(&key, captured->items, captured->count, sizeof(key), by_remote_end) != NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put_end(const struct end *end, bool v4, struct fl_text *out)
{
	char text[INET6_ADDRSTRLEN];
	const void *addr = v4 ? (const void *)&end->addr.s6_addr[12] : &end->addr;

	(void)inet_ntop(v4 ? AF_INET : AF_INET6, addr, text, sizeof(text));
	fl_text_print(out, "%s . %u", text, end->port);
}

static void put(const struct conn *conn, struct fl_text *out)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(&conn->local.addr);

	fl_text_print(out, "add element inet " FL_RULESET_TABLE " %s { ",
		      v4 ? FL_RULESET_OPEN4 : FL_RULESET_OPEN6);
	put_end(&conn->local, v4, out);
	fl_text_print(out, " . ");
	put_end(&conn->remote, v4, out);
	fl_text_print(out, " }\n");
}

int fl_open_format(const struct fl_ruleset_ports *outbound, struct fl_text *out, struct fl_err *err)
{
	struct list all = {0}, captured = {0};
	int rc = read_table("/proc/self/net/tcp", &all, err);

	if (rc == FL_OK) {
		rc = read_table("/proc/self/net/tcp6", &all, err);
	}
	if (rc == FL_OK) {
		find_captured(&all, outbound, &captured);
		for (size_t i = 0; i < all.count; i++) {
			if (!is_captured(&captured, &all.items[i])) {
				put(&all.items[i], out);
			}
		}
	}
	free(captured.items);
	free(all.items);
	return rc;
}
