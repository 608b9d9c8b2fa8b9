/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The messages that a service manager receives, at a path and at an abstract name. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/notify.h"

/* name as in NOTIFY_SOCKET */
static int listen_at(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	memcpy(addr.sun_path, name, strlen(name));
	if (name[0] == '@') {
		addr.sun_path[0] = '\0';
	} else {
		len = sizeof(addr);
	}
	cr_assert_eq(bind(fd, (const struct sockaddr *)&addr, len), 0);
	cr_assert_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void check_told(int fd, const char *expected)
{
	char text[100];
	ssize_t len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	cr_assert_gt(len, 0, "nothing was told");
	text[len] = '\0';
	cr_assert_eq(strncmp(text, expected, strlen(expected)), 0, "%s", text);
}

static void check_at(const char *name)
{
	struct fl_err err = {0};
	int fd = listen_at(name);

	cr_assert(fl_notify_is_wanted());
	cr_assert_eq(fl_notify(FL_NOTIFY_READY, &err), FL_OK, "%s", err.text);
	check_told(fd, "READY=1");
	cr_assert_eq(fl_notify_reloading(&err), FL_OK, "%s", err.text);
	check_told(fd, "RELOADING=1\nMONOTONIC_USEC=");
	(void)close(fd);
}

Test(notify, a_path)
{
	char folder[] = "/tmp/fl-notify-XXXXXX", path[64];

	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/notify", folder);
	check_at(path);
	(void)unlink(path);
	(void)rmdir(folder);
}

Test(notify, an_abstract_name)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "@fl-notify-%d", (int)getpid());
	check_at(name);
}

Test(notify, nobody_listens)
{
	struct fl_err err;

	(void)unsetenv("NOTIFY_SOCKET");
	cr_assert_not(fl_notify_is_wanted());
	cr_assert_eq(fl_notify(FL_NOTIFY_READY, &err), FL_OK);
	cr_assert_eq(setenv("NOTIFY_SOCKET", "", 1), 0);
	cr_assert_not(fl_notify_is_wanted());
	cr_assert_eq(setenv("NOTIFY_SOCKET", "/does/not/exist", 1), 0);
	cr_assert_eq(fl_notify(FL_NOTIFY_READY, &err), FL_ERR_IO);
	cr_assert_not_null(strstr(err.text, "READY=1"), "%s", err.text);
}

Test(notify, a_name_that_is_none)
{
	char name[200] = "/";
	struct fl_err err;

	cr_assert_eq(setenv("NOTIFY_SOCKET", "vsock:2:1234", 1), 0);
	cr_assert_eq(fl_notify(FL_NOTIFY_READY, &err), FL_ERR_INVALID);
	memset(name, '/', sizeof(name) - 1);
	cr_assert_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	cr_assert_eq(fl_notify(FL_NOTIFY_READY, &err), FL_ERR_INVALID);
	cr_assert_not_null(strstr(err.text, "NOTIFY_SOCKET"), "%s", err.text);
}
