/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Listeners that are bound at the start, and what is reported and left behind when one cannot be bound. */
#include "heart.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/bind.h"

/* An INI, and its listeners on two workers. */
struct scene {
	struct fl_conf *conf;
	struct fl_bound *items[2];
	size_t count;
	int descriptors; /* open descriptors of this process before the test */
	struct fl_err err;
};

static struct scene scene;
static char folder[] = "/tmp/heart-bind-XXXXXX";

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	cr_assert_not_null(dir);
	while (readdir(dir) != NULL) {
		count++;
	}
	(void)closedir(dir);
	return count;
}

/* A loopback port that is free now. */
static unsigned free_port(int family)
{
	union fl_sockaddr sa = {.any.sa_family = (sa_family_t)family};
	int fd = socket(family, SOCK_STREAM, 0);
	socklen_t len = sizeof(sa);

	if (family == AF_INET6) {
		sa.in6.sin6_addr = in6addr_loopback;
	} else {
		sa.in = heart_loopback(0);
	}
	cr_assert_eq(bind(fd, &sa.any, family == AF_INET6 ? sizeof(sa.in6) : sizeof(sa.in)), 0);
	cr_assert_eq(getsockname(fd, &sa.any, &len), 0);
	(void)close(fd);
	return ntohs(family == AF_INET6 ? sa.in6.sin6_port : sa.in.sin_port);
}

/* Takes over the text of [sidecar], which has no `inbound` and `outbound` yet. */
static void open_scene(char *sidecar)
{
	char *ini = fl_format("[identity]\ncredential_bundle = /a\nbundle = /b\n"
			      "[sidecar]\nadmin =\ncontrol =\n%s\n",
			      sidecar);
	struct fl_problems problems = {0};

	free(sidecar);
	scene = (struct scene){.descriptors = count_descriptors()};
	cr_assert_eq(fl_conf_parse("fairlead.ini", ini, strlen(ini), &scene.conf, &problems), 0,
		     "%s\n%s", problems.items[0].text, ini);
	fl_problems_done(&problems);
	scene.count = fl_bind_count(scene.conf);
	free(ini);
}

/* Of worker 0 or 1. */
static int bind_worker(unsigned number)
{
	scene.items[number] = fl_new(scene.count * sizeof(*scene.items[number]));
	return fl_bind_endpoints(scene.conf, scene.items[number],
				 number > 0 ? scene.items[0] : NULL, NULL, &scene.err);
}

static void unbind(void)
{
	for (unsigned i = 0; i < 2; i++) {
		if (scene.items[i] != NULL) {
			struct fl_listeners listeners = {.items = scene.items[i],
							 .count = scene.count};

			fl_listeners_close(&listeners);
			fl_listeners_done(&listeners);
			scene.items[i] = NULL;
		}
	}
	cr_expect_eq(count_descriptors(), scene.descriptors, "a descriptor is left open");
}

static void close_scene(void)
{
	unbind();
	fl_conf_free(scene.conf);
}

static void expect_sentence(const char *section, const char *why)
{
	cr_expect_not_null(strstr(scene.err.text, section), "%s", scene.err.text);
	cr_expect_not_null(strstr(scene.err.text, why), "%s", scene.err.text);
	cr_expect_not_null(strstr(scene.err.text, "fairlead.ini"), "%s", scene.err.text);
}

#define NO_CAPTURE "inbound =\noutbound =\n"

static char *web_on(const char *address, unsigned port)
{
	return fl_format(NO_CAPTURE "[service web]\napp = 127.0.0.1:1\nlisten = %s:%u\n", address,
			 port);
}

/* --- which, and in what order --------------------------------------------------------------------- */

Test(bind, endpoints_are_captures_services_and_upstreams_as_the_ini_has_them)
{
	static const struct {
		const char *name;
		enum fl_direction direction;
		bool captures, is_unix;
	} wanted[] = {{"inbound", FL_INBOUND, true, false},
		      {"outbound", FL_OUTBOUND, true, false},
		      {"web", FL_INBOUND, false, false},
		      {"shop", FL_INBOUND, false, false},
		      {"db", FL_OUTBOUND, false, true}};
	char *path;

	cr_assert_not_null(mkdtemp(folder));
	path = fl_format("%s/db.sock", folder);
	open_scene(fl_format("inbound = 127.0.0.1:%u\noutbound = 127.0.0.1:%u\n"
			     "[upstream db]\nlisten = unix:%s\nto = 127.0.0.1:1\nmode = plaintext\n"
			     "[service web]\napp = 127.0.0.1:1\nlisten = 127.0.0.1:%u\n"
			     "[service inner]\nport = 8080\n"
			     "[service shop]\napp = 127.0.0.1:1\nlisten = 127.0.0.1:%u\n",
			     free_port(AF_INET), free_port(AF_INET), path, free_port(AF_INET),
			     free_port(AF_INET)));
	cr_assert_eq(scene.count, FL_COUNT_OF(wanted));
	for (unsigned worker = 0; worker < 2; worker++) {
		cr_assert_eq(bind_worker(worker), 0, "%s", scene.err.text);
		for (size_t i = 0; i < scene.count; i++) {
			const struct fl_bound *bound = &scene.items[worker][i];

			cr_expect_str_eq(bound->endpoint.name, wanted[i].name);
			cr_expect_eq(bound->endpoint.direction, wanted[i].direction);
			cr_expect_eq(bound->endpoint.captures, wanted[i].captures);
			cr_expect_eq(bound->endpoint.is_unix, wanted[i].is_unix);
			cr_expect_not(bound->endpoint.tproxy);
			cr_expect_geq(bound->fd, 0);
			/* Only one of the workers keeps other processes from binding. */
			cr_expect_eq(bound->reserved_fd >= 0, worker == 0 && !wanted[i].is_unix);
		}
	}
	close_scene();
	(void)unlink(path);
	(void)rmdir(folder);
	free(path);
}

Test(bind, port_is_kept_from_others_before_anybody_listens)
{
	unsigned port = free_port(AF_INET);
	struct sockaddr_in sa = heart_loopback((uint16_t)port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	open_scene(web_on("127.0.0.1", port));
	scene.descriptors--; /* fd, which is closed first */
	cr_assert_eq(bind_worker(0), 0, "%s", scene.err.text);
	/* Like a second sidecar of the same user, and like another user. */
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	cr_expect_neq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	/* Clients are refused and do not have to wait. */
	cr_expect_neq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_expect_eq(errno, ECONNREFUSED);
	(void)close(fd);
	close_scene();
}

/* --- what fails ----------------------------------------------------------------------------------- */

Test(bind, each_error_is_told_with_its_section_and_remedy)
{
	static const struct {
		const char *call;
		int error;
		const char *why;
	} cases[] = {{"socket", EMFILE, "cannot make a socket"},
		     {"socket", EAFNOSUPPORT, "cannot make a socket"},
		     {"setsockopt", ENOPROTOOPT, "cannot prepare a listening socket"},
		     {"bind", EADDRINUSE, "stop that one, or choose another port"},
		     {"bind", EACCES, "ports below 1024 need a privilege; choose a higher port"},
		     {"bind", EADDRNOTAVAIL, "cannot listen on 127.0.0.1:"},
		     {"bind", ENOBUFS, "cannot listen on 127.0.0.1:"},
		     {"listen", EADDRINUSE, "stop that one, or choose another port"}};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct faults faults = {
			.kinds = FAULTS_SYSTEM, .only = cases[i].call, .error = cases[i].error};

		open_scene(web_on("127.0.0.1", free_port(AF_INET)));
		faults_fail(&faults, 1);
		faults_on();
		cr_expect_eq(bind_worker(0), FL_ERR_IO);
		faults_off();
		faults_end();
		expect_sentence("[service web]", cases[i].why);
		close_scene();
	}
}

/* Any call may fail: either there is a sentence and no descriptor is left, or the call was optional and both workers have
 * their sockets. */
Test(bind, each_system_call_that_fails_leaves_nothing_behind)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM};
	unsigned failed = 0;

	open_scene(fl_format("inbound = 127.0.0.1:%u\noutbound =\n"
			     "[upstream api]\nlisten = 127.0.0.1:%u\nto = 127.0.0.1:1\n"
			     "mode = plaintext\n",
			     free_port(AF_INET), free_port(AF_INET)));
	while (faults_next(&faults)) {
		bool is_bound;

		faults_on();
		is_bound = bind_worker(0) == 0 && bind_worker(1) == 0;
		faults_off();
		cr_expect(is_bound || scene.err.text[0] != '\0', "%s", faults_where());
		failed += !is_bound;
		for (size_t i = 0; is_bound && i < scene.count; i++) {
			cr_expect_geq(scene.items[0][i].fd, 0, "%s", faults_where());
			cr_expect_geq(scene.items[1][i].fd, 0, "%s", faults_where());
		}
		unbind();
	}
	cr_expect_gt(failed, 10);
	close_scene();
}

/* --- machines without IPv6 ------------------------------------------------------------------------ */

#define CAPTURE_BOTH "inbound = 127.0.0.1:%u, [::1]:%u\noutbound =\n"

Test(bind, capture_on_ipv6_loopback_is_for_those_who_have_it)
{
	static const struct {
		const char *call;
		int error;
		unsigned number; /* IPv4 comes first: two of each, for the keeper and the worker */
	} cases[] = {{"socket", EAFNOSUPPORT, 3}, {"bind", EADDRNOTAVAIL, 3}};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct faults faults = {
			.kinds = FAULTS_SYSTEM, .only = cases[i].call, .error = cases[i].error};

		open_scene(fl_format(CAPTURE_BOTH, free_port(AF_INET), free_port(AF_INET)));
		cr_assert_eq(scene.count, 2);
		faults_fail(&faults, cases[i].number);
		faults_on();
		cr_expect_eq(bind_worker(0), 0, "%s", scene.err.text);
		faults_off();
		faults_end();
		cr_expect_geq(scene.items[0][0].fd, 0);
		cr_expect_eq(scene.items[0][1].fd, -1);
		cr_expect(scene.items[0][1].endpoint.captures);
		close_scene();
	}
}

Test(bind, other_errors_of_ipv6_loopback_and_other_addresses_are_errors)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "bind", .error = EADDRINUSE};

	open_scene(fl_format(CAPTURE_BOTH, free_port(AF_INET), free_port(AF_INET)));
	faults_fail(&faults, 3);
	faults_on();
	cr_expect_eq(bind_worker(0), FL_ERR_IO);
	faults_off();
	faults_end();
	expect_sentence("[sidecar] inbound", "cannot listen on [::1]:");
	close_scene();
	/* A configured service is not left out. */
	open_scene(web_on("[::1]", free_port(AF_INET)));
	faults = (struct faults){.kinds = FAULTS_SYSTEM, .only = "socket", .error = EAFNOSUPPORT};
	faults_fail(&faults, 1);
	faults_on();
	cr_expect_eq(bind_worker(0), FL_ERR_IO);
	faults_off();
	faults_end();
	expect_sentence("[service web]", "cannot make a socket");
	close_scene();
}

/* `*` is 0.0.0.0 then. */
Test(bind, any_address_without_ipv6_is_that_of_ipv4)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "socket", .error = EAFNOSUPPORT};
	int probe = socket(AF_INET6, SOCK_STREAM, 0);
	union fl_sockaddr sa = {.any.sa_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);

	(void)close(probe);
	open_scene(web_on("*", free_port(AF_INET)));
	if (probe >= 0) { /* or it is so in any case */
		faults_fail(&faults, 2);
	}
	faults_on();
	cr_expect_eq(bind_worker(0), 0, "%s", scene.err.text);
	faults_off();
	faults_end();
	cr_assert_eq(getsockname(scene.items[0][0].fd, &sa.any, &len), 0);
	cr_expect_eq(sa.any.sa_family, AF_INET);
	close_scene();
}

/* The worker logs it, and serves the other listeners. */
Test(bind, listener_of_a_family_that_is_missing_is_absent)
{
	struct heart heart;
	struct side client;
	int *fd;

	heart_open(&heart, &(struct heart_options){.is_closed = true});
	fd = &heart.worker->listeners.items[DOOR_CAPTURE_IN].fd;
	(void)close(*fd);
	*fd = -1;
	heart_take(&heart, NULL);
	cr_expect_eq(fl_worker_endpoint_state(heart.worker, DOOR_CAPTURE_IN), FL_ENDPOINT_ABSENT);
	cr_expect_eq(fl_worker_endpoint_state(heart.worker, DOOR_PLAIN_IN), FL_ENDPOINT_OPEN);
	cr_expect(fl_worker_serving(heart.worker));
	heart_connect(&heart, &client, DOOR_PLAIN_IN);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	heart_forget(&heart, &client);
	side_close(&client);
	heart_close(&heart);
}

/* --- TPROXY --------------------------------------------------------------------------------------- */

Test(bind, tproxy_without_its_capability_names_the_remedy)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "setsockopt", .error = EPERM};
	unsigned named = 0;

	open_scene(fl_format("inbound = 127.0.0.1:%u\noutbound =\n[redirect]\nmode = tproxy\n",
			     free_port(AF_INET)));
	while (faults_next(&faults)) {
		if (faults.round == 0) { /* this user may or may not have that permission */
			faults_on();
			(void)!bind_worker(0);
			faults_off();
			cr_expect(scene.items[0][0].endpoint.tproxy);
			unbind();
			continue;
		}
		faults_on();
		named += bind_worker(0) != 0 && strstr(scene.err.text, "NET_ADMIN") != NULL &&
			 strstr(scene.err.text, "[sidecar] inbound") != NULL;
		faults_off();
		unbind();
	}
	cr_expect_gt(named, 0);
	close_scene();
}

/* --- Unix sockets --------------------------------------------------------------------------------- */

static char *path;

static void open_folder(void)
{
	cr_assert_not_null(mkdtemp(folder));
	path = fl_format("%s/db.sock", folder);
}

static void close_folder(void)
{
	(void)unlink(path);
	(void)rmdir(folder);
	free(path);
}

TestSuite(bind_unix, .init = open_folder, .fini = close_folder);

static void open_unix_scene(const char *suffix)
{
	open_scene(fl_format(NO_CAPTURE "[upstream db]\nto = 127.0.0.1:1\nmode = plaintext\n"
					"listen = unix:%s%s\n",
			     path, suffix));
}

static int listen_there(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	return fd;
}

Test(bind_unix, path_that_another_process_serves_is_left_alone)
{
	int fd = listen_there();
	struct stat st;

	open_unix_scene("");
	cr_expect_neq(bind_worker(0), 0);
	expect_sentence("[upstream db]", "is in use: another process listens there");
	cr_expect_eq(stat(path, &st), 0);
	close_scene();
	(void)close(fd);
}

Test(bind_unix, path_of_a_process_that_has_gone_is_taken)
{
	struct stat before, after;

	(void)close(listen_there());
	cr_assert_eq(stat(path, &before), 0);
	open_unix_scene("");
	cr_expect_eq(bind_worker(0), 0, "%s", scene.err.text);
	cr_expect_eq(stat(path, &after), 0);
	cr_expect_eq(after.st_mode & 0777, 0666);
	close_scene();
}

Test(bind_unix, file_that_is_no_socket_is_never_removed)
{
	FILE *file = fopen(path, "we");
	struct stat st;

	(void)fclose(file);
	open_unix_scene("");
	cr_expect_eq(bind_worker(0), FL_ERR_INVALID);
	expect_sentence("[upstream db]", "is not a socket: remove it, or choose another path");
	cr_expect_eq(stat(path, &st), 0);
	close_scene();
}

Test(bind_unix, folder_that_is_missing_is_said)
{
	open_unix_scene("/deeper.sock");
	cr_expect_eq(bind_worker(0), FL_ERR_IO);
	expect_sentence("[upstream db]", "its directory does not exist; create it first");
	close_scene();
}

Test(bind_unix, each_error_is_told_with_its_section_and_remedy)
{
	static const struct {
		const char *call;
		int error;
		bool is_stale; /* a path exists, and must be tried first */
		const char *why;
	} cases[] = {{"bind", EACCES, false, "may not write to its directory"},
		     {"bind", EROFS, false, "cannot listen on unix:"},
		     {"socket", EMFILE, false, "cannot make a socket"},
		     {"socket", EMFILE, true, "cannot make a socket"},
		     {"connect", EACCES, true, "may be in use: when it is not, remove it"},
		     {"connect", EAGAIN, true, "is in use"}};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct faults faults = {
			.kinds = FAULTS_SYSTEM, .only = cases[i].call, .error = cases[i].error};

		(void)unlink(path);
		if (cases[i].is_stale) {
			(void)close(listen_there());
		}
		open_unix_scene("");
		faults_fail(&faults, 1);
		faults_on();
		cr_expect_eq(bind_worker(0), FL_ERR_IO);
		faults_off();
		faults_end();
		expect_sentence("[upstream db]", cases[i].why);
		close_scene();
	}
}

Test(bind_unix, socket_that_cannot_be_shared_is_said)
{
	struct rlimit before, none;

	open_unix_scene("");
	cr_assert_eq(bind_worker(0), 0, "%s", scene.err.text);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	cr_expect_eq(bind_worker(1), FL_ERR_IO);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	expect_sentence("[upstream db]", "cannot share a socket between workers");
	close_scene();
}

Test(bind_unix, paths_that_were_never_bound_are_not_removed)
{
	struct fl_made_path *made;
	int fd = listen_there();
	struct stat st;

	open_unix_scene("");
	cr_expect_neq(bind_worker(0), 0);
	made = fl_bind_note_paths(scene.items[0], scene.count);
	cr_expect_null(made[0].path);
	fl_bind_unlink_paths(made, true);
	cr_expect_eq(stat(path, &st), 0);
	free(made);
	close_scene();
	(void)close(fd);
}
