/* SPDX-License-Identifier: GPL-3.0-or-later */
/* landlock - the three system calls, and tables of what each version of the interface added. */
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

/* One number on every architecture. */
#define CREATE_RULESET 444
#define ADD_RULE 445
#define RESTRICT_SELF 446
#define ASK_VERSION 1u
#define BENEATH_PATH 1

enum file_right {
	EXECUTE,
	WRITE_FILE,
	READ_FILE,
	READ_DIR,
	REMOVE_DIR,
	REMOVE_FILE,
	MAKE_CHAR,
	MAKE_DIR,
	MAKE_REG,
	MAKE_SOCK,
	MAKE_FIFO,
	MAKE_BLOCK,
	MAKE_SYM,
	REFER,
	TRUNCATE,
	IOCTL_DEV,
};
enum net_right { BIND_TCP, CONNECT_TCP };
enum scope { ABSTRACT_UNIX_SOCKET, SIGNAL };

#define BIT(number) (UINT64_C(1) << (number))
#define UP_TO(number) (BIT((number) + 1) - 1)

struct path_rule {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

/* --- what a version knows ------------------------------------------------------------------------- */

static uint64_t file_rights_of(unsigned version)
{
	static const enum file_right last[] = {
		[1] = MAKE_SYM, [2] = REFER, [3] = TRUNCATE, [4] = TRUNCATE, [5] = IOCTL_DEV};
	unsigned known = FL_COUNT_OF(last) - 1;

	return version == 0 ? 0 : UP_TO(last[version < known ? version : known]);
}

struct fl_landlock_rights fl_landlock_rights_of(unsigned version,
						const struct fl_landlock_wish *wish)
{
	struct fl_landlock_rights rights = {.files =
						    wish->keep_files ? 0 : file_rights_of(version)};

	if (version >= FL_LANDLOCK_NET_VERSION && wish->no_tcp) {
		rights.network = BIT(BIND_TCP) | BIT(CONNECT_TCP);
	}
	if (version >= FL_LANDLOCK_SCOPE_VERSION) {
		rights.scopes = BIT(SIGNAL) | (wish->keep_abstract ? 0 : BIT(ABSTRACT_UNIX_SOCKET));
	}
	return rights;
}

uint64_t fl_landlock_place_rights(unsigned version, unsigned place_rights)
{
	static const struct {
		unsigned place;
		uint64_t files;
	} table[] = {
		{FL_PLACE_READ, BIT(READ_FILE) | BIT(READ_DIR)},
		{FL_PLACE_REMOVE, BIT(REMOVE_FILE)},
		{FL_PLACE_MAKE_SOCKET, BIT(MAKE_SOCK)},
		{FL_PLACE_MAKE_DIRECTORY, BIT(MAKE_DIR)},
	};
	uint64_t files = 0;

	for (size_t i = 0; i < FL_COUNT_OF(table); i++) {
		files |= (place_rights & table[i].place) != 0 ? table[i].files : 0;
	}
	return files & file_rights_of(version);
}

/* --- the kernel ----------------------------------------------------------------------------------- */

static size_t size_of_rights(unsigned version)
{
	if (version >= FL_LANDLOCK_SCOPE_VERSION) {
		return sizeof(struct fl_landlock_rights);
	}
	return version >= FL_LANDLOCK_NET_VERSION ? offsetof(struct fl_landlock_rights, scopes)
						  : offsetof(struct fl_landlock_rights, network);
}

static int ask_version(unsigned *ret, struct fl_err *err)
{
	long version = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);

	if (version > 0) {
		*ret = (unsigned)version;
		return FL_OK;
	}
	switch (errno) {
	case ENOSYS:
		return fl_err_set(err, FL_ERR_IO, "this kernel has no Landlock");
	case EOPNOTSUPP:
		return fl_err_set(err, FL_ERR_IO, "this kernel was started without Landlock");
	default:
		return fl_err_sys(err, errno, "Landlock cannot be used here");
	}
}

/* A place that is gone gives nothing. */
static int allow(int ruleset, unsigned version, const struct fl_place *place, struct fl_err *err)
{
	struct path_rule rule = {.allowed = fl_landlock_place_rights(version, place->rights),
				 .parent_fd = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
	long rc = 0;

	if (rule.parent_fd >= 0 && rule.allowed != 0) {
		rc = syscall(ADD_RULE, ruleset, BENEATH_PATH, &rule, 0);
	}
	if (rc != 0) {
		rc = fl_err_sys(err, errno, "Landlock: cannot allow %s", place->path);
	}
	if (rule.parent_fd >= 0) {
		(void)close(rule.parent_fd);
	}
	return (int)rc;
}

int fl_landlock_enter(const struct fl_landlock_wish *wish, const struct fl_place *places,
		      size_t count, unsigned *ret_version, struct fl_err *err)
{
	struct fl_landlock_rights rights;
	unsigned version = 0;
	int rc = ask_version(&version, err);
	int ruleset;

	if (rc != FL_OK) {
		return rc;
	}
	rights = fl_landlock_rights_of(version, wish);
	ruleset = (int)syscall(CREATE_RULESET, &rights, size_of_rights(version), 0);
	if (ruleset < 0) {
		return fl_err_sys(err, errno, "Landlock: cannot make rules");
	}
	for (size_t i = 0; i < count && rc == FL_OK; i++) {
		rc = allow(ruleset, version, &places[i], err);
	}
	if (rc == FL_OK && syscall(RESTRICT_SELF, ruleset, 0) != 0) {
		rc = fl_err_sys(err, errno, "Landlock: the rules do not come into force");
	}
	(void)close(ruleset);
	if (rc == FL_OK) {
		*ret_version = version;
	}
	return rc;
}
