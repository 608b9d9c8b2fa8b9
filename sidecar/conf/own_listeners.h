/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_OWN_LISTENERS_H
#define FL_CONF_OWN_LISTENERS_H
/* own_listeners - the addresses on which the programs listen, sorted, so that n questions about n of them take n log n steps.
 * Private to conf. */
#include "conf/build.h"

struct fl_own_listener {
	const struct fl_addr *addr;
	const char *kind; /* of its section */
	const char *name; /* NULL: none */
	const char *key;
	fl_conf_line line; /* 0: the default */
};

struct fl_own_listeners {
	struct fl_own_listener *items; /* by line */
	size_t count;
	struct fl_place *places;
	struct fl_addr paths[2]; /* of the sockets that have only a path */
};

/* all: zeros; it must not move, and borrows from build until fl_own_listeners_done(). */
void fl_own_listeners_collect(struct fl_own_listeners *all, struct fl_build *build);
void fl_own_listeners_done(struct fl_own_listeners *all);

/* The first item before item `at` that the kernel would let bind as well, and distribute connections between the two (by
 * SO_REUSEPORT); NULL: there is none. */
const struct fl_own_listener *fl_own_listeners_collision(const struct fl_own_listeners *all,
							 size_t at);
/* The first one at that port, whatever its address; NULL: there is none. */
const struct fl_own_listener *fl_own_listeners_at_port(const struct fl_own_listeners *all,
						       uint16_t port);
/* The first one to which `to`, a destination of a section of this kind, certainly leads, although that is wrong: one of the
 * same kind (a loop), or one of captured traffic (there would be no original destination). The addresses of this machine
 * are unknown here. NULL: there is none. */
const struct fl_own_listener *fl_own_listeners_way_back(const struct fl_own_listeners *all,
							const char *kind, const struct fl_addr *to);

/* `[kind name] key` and where, for a message; returns buf. */
#define FL_OWN_LISTENER_TEXT 160
const char *fl_own_listener_describe(const struct fl_own_listener *listener,
				     char buf[FL_OWN_LISTENER_TEXT]);

#endif
