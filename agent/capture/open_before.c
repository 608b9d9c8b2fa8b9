/* SPDX-License-Identifier: GPL-3.0-or-later */
/* open_before - reads /proc/net/tcp and /proc/net/tcp6, whose format the kernel keeps (proc(5)). */
#include "agent/capture/open_before.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* States of the kernel's <net/tcp_states.h>. */
enum {
	TIME_WAIT = 6,
	CLOSED = 7,
	CLOSE_WAIT = 8,
	LAST_ACK = 9,
	LISTENING = 10,
	CLOSING = 11,
};

struct end {
	struct in6_addr addr; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;        /* host byte order */
};
struct conn {
	struct end local, remote;
	uint32_t state;
	unsigned long uid; /* 0 after its owner has closed it */
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

/* "   0: LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS UID ..." */
static bool read_line(char *line, struct conn *ret)
{
	char *rest = line;
	const char *words[8];

	for (size_t i = 0; i < FL_COUNT_OF(words); i++) {
		words[i] = strtok_r(NULL, " ", &rest);
		if (words[i] == NULL) {
			return false;
		}
	}
	ret->uid = strtoul(words[7], NULL, 10);
	return read_hex(words[3], 2, &ret->state) && ret->state != TIME_WAIT &&
	       ret->state != CLOSED && ret->state != LISTENING && read_end(words[1], &ret->local) &&
	       read_end(words[2], &ret->remote);
}

/* A kernel without IPv6 does not have the second file. */
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

/* --- captured connections ------------------------------------------------------------------------- */

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

static int by_both_ends(const void *a, const void *b)
{
	const struct conn *left = a, *right = b;
	int order = compare_ends(&left->local, &right->local);

	return order != 0 ? order : compare_ends(&left->remote, &right->remote);
}

/* Is its other end in this network namespace, too? Then the connection stays on lo: the app talks to itself or, with mode =
 * tproxy, to the sidecar. */
static bool stays_here(const struct list *sorted, const struct conn *conn)
{
	struct conn key = {.local = conn->remote, .remote = conn->local};

	return bsearch(&key, sorted->items, sorted->count, sizeof(key), by_both_ends) != NULL;
}

/* --- the sets of the rules in force --------------------------------------------------------------- */

struct fl_open_before_set {
	struct list list;
};

struct fl_open_before_set *fl_open_before_set_new(void)
{
	return fl_new(sizeof(struct fl_open_before_set));
}

void fl_open_before_set_free(struct fl_open_before_set *kept)
{
	if (kept != NULL) {
		free(kept->list.items);
		free(kept);
	}
}

static bool take_end(const char *addr, uint16_t port, struct end *ret)
{
	char mapped[INET6_ADDRSTRLEN + 8];

	*ret = (struct end){.port = port};
	(void)snprintf(mapped, sizeof(mapped), "%s%s", strchr(addr, ':') == NULL ? "::ffff:" : "",
		       addr);
	return inet_pton(AF_INET6, mapped, &ret->addr) == 1;
}

void fl_open_before_set_add(void *user, const char *const addrs[2], const uint16_t ports[2])
{
	struct fl_open_before_set *kept = user;
	struct conn conn = {0};

	if (take_end(addrs[0], ports[0], &conn.local) &&
	    take_end(addrs[1], ports[1], &conn.remote)) {
		add(&kept->list, &conn);
	}
}

static bool is_kept(const struct fl_open_before_set *kept, const struct conn *conn)
{
	return kept == NULL ||
	       (kept->list.count > 0 && bsearch(conn, kept->list.items, kept->list.count,
						sizeof(*conn), by_both_ends) != NULL);
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

static int read_tables(struct list *list, struct fl_err *err)
{
	int rc = read_table("/proc/self/net/tcp", list, err);

	return rc == FL_OK ? read_table("/proc/self/net/tcp6", list, err) : rc;
}

static bool is_own_port(const struct fl_open_before_scope *scope, uint16_t port)
{
	const struct fl_ruleset_ports *const both[] = {&scope->inbound, &scope->outbound};

	for (size_t i = 0; i < FL_COUNT_OF(both); i++) {
		if (port == both[i]->v4 || port == both[i]->v6) {
			return true;
		}
	}
	return false;
}

/* The sidecar dialled this connection; it was not captured. */
static bool is_dialled_by_sidecar(const struct fl_open_before_scope *scope, const struct conn *conn)
{
	return conn->uid == scope->sidecar_uid && !is_own_port(scope, conn->local.port);
}

int fl_open_before_format(const struct fl_open_before_scope *scope, struct fl_text *out,
			  struct fl_err *err)
{
	struct list all = {0}, captured = {0};
	bool has_sidecars = false;
	int rc = read_tables(&all, err);

	if (rc == FL_OK && all.count > 0) {
		qsort(all.items, all.count, sizeof(*all.items), by_both_ends);
		find_captured(&all, &scope->outbound, &captured);
	}
	if (scope->kept != NULL && scope->kept->list.count > 0) {
		qsort(scope->kept->list.items, scope->kept->list.count, sizeof(struct conn),
		      by_both_ends);
	}
	for (size_t i = 0; rc == FL_OK && i < all.count; i++) {
		const struct conn *conn = &all.items[i];
		bool dialled = is_dialled_by_sidecar(scope, conn);

		if ((dialled || conn->uid != scope->sidecar_uid) && is_kept(scope->kept, conn) &&
		    !is_captured(&captured, conn) && !stays_here(&all, conn)) {
			put(conn, out);
			has_sidecars = has_sidecars || dialled;
		}
	}
	if (has_sidecars) {
		fl_text_print(out, "%s", fl_ruleset_before);
	}
	free(captured.items);
	free(all.items);
	return rc;
}

/* --- counting --------------------------------------------------------------------------------- */

static bool is_loopback(const struct in6_addr *addr)
{
	return fl_ip_is_loopback(AF_INET6, addr->s6_addr);
}

static bool is_at(const struct ifaddrs *interface, const struct in6_addr *addr)
{
	const struct sockaddr *sa = interface->ifa_addr;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	if (sa != NULL && sa->sa_family == AF_INET) {
		return IN6_IS_ADDR_V4MAPPED(addr) &&
		       memcmp(&in->sin_addr, &addr->s6_addr[12], sizeof(in->sin_addr)) == 0;
	}
	return sa != NULL && sa->sa_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&in6->sin6_addr, addr);
}

/* Is it an address of this network namespace? */
static bool is_ours(const struct ifaddrs *interfaces, const struct in6_addr *addr)
{
	bool found = is_loopback(addr);

	for (; interfaces != NULL && !found; interfaces = interfaces->ifa_next) {
		found = is_at(interfaces, addr);
	}
	return found;
}

/* Has the other end sent its FIN? */
static bool is_at_end(const struct conn *conn)
{
	return conn->state == CLOSE_WAIT || conn->state == LAST_ACK || conn->state == CLOSING;
}

static bool is_port_of(const uint16_t *ports, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		if (ports[i] == port) {
			return true;
		}
	}
	return false;
}

int fl_open_before_count(const uint16_t *ports, size_t port_count, bool tproxy, size_t *ret_count,
			 struct fl_err *err)
{
	struct ifaddrs *interfaces = NULL;
	struct list all = {0};
	size_t count = 0;
	int rc = getifaddrs(&interfaces) == 0
			 ? read_tables(&all, err)
			 : fl_err_sys(err, errno, "cannot list the addresses of this machine");

	for (size_t i = 0; i < all.count; i++) {
		const struct conn *conn = &all.items[i];

		count += !is_at_end(conn) && ((is_port_of(ports, port_count, conn->local.port) &&
					       !is_loopback(&conn->remote.addr)) ||
					      (tproxy && !is_ours(interfaces, &conn->local.addr)));
	}
	freeifaddrs(interfaces);
	free(all.items);
	*ret_count = count;
	return rc;
}
