/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_LANDLOCK_H
#define FL_BASE_LANDLOCK_H
/* landlock - Linux' access rights that a process takes from itself, by number: the kernel's headers of Debian 12 end with
 * version 2 of the interface. Which rights a version knows is pure. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A directory in which something remains possible, and what. */
enum fl_place_rights {
	FL_PLACE_READ = 1 << 0,        /* the files below it */
	FL_PLACE_REMOVE = 1 << 1,      /* files, sockets included */
	FL_PLACE_MAKE_SOCKET = 1 << 2, /* Unix sockets */
	FL_PLACE_MAKE_DIRECTORY = 1 << 3,
};
struct fl_place {
	const char *path;
	unsigned rights;
};

enum {
	FL_LANDLOCK_NET_VERSION = 4,
	FL_LANDLOCK_SCOPE_VERSION = 6,
};

/* As the kernel expects it; version 1 knows only the first member, version 4 two. */
struct fl_landlock_rights {
	uint64_t files;   /* LANDLOCK_ACCESS_FS_* */
	uint64_t network; /* LANDLOCK_ACCESS_NET_* */
	uint64_t scopes;  /* LANDLOCK_SCOPE_* */
};

struct fl_landlock_wish {
	bool no_tcp;        /* neither bind nor connect */
	bool keep_abstract; /* abstract Unix sockets of others stay reachable */
	bool keep_files;    /* the file system's permissions alone decide */
};

/* All rights that a version has and that we can do without: those of files entirely unless kept, the rest as wished. */
struct fl_landlock_rights fl_landlock_rights_of(unsigned version,
						const struct fl_landlock_wish *wish);

/* The rights of files that a place gives back, as far as a version knows them. */
uint64_t fl_landlock_place_rights(unsigned version, unsigned place_rights);

/* Takes the rights from this thread. *ret_version: what the kernel offers. Errors: FL_ERR_IO, nothing has changed; the text says
 * why. */
int fl_landlock_enter(const struct fl_landlock_wish *wish, const struct fl_place *places,
		      size_t count, unsigned *ret_version, struct fl_err *err) FL_MUST_USE;

#endif
