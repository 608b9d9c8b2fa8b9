/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker's life: its thread, its mailbox, its listeners, draining and stopping. */
#include "call.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/bind.h"
#include "worker/cpus.h"

static struct heart heart;

/* --- life ----------------------------------------------------------------------------------------- */

Test(worker, that_got_no_generation_stops)
{
	heart_open(&heart, &(struct heart_options){.is_closed = true});
	cr_expect_not(fl_worker_serving(heart.worker));
	for (size_t i = 0; i < DOORS; i++) {
		cr_expect_eq(fl_worker_endpoint_state(heart.worker, i), FL_ENDPOINT_CLOSED);
	}
	heart_close(&heart);
}

static struct fl_worker *new_worker(const struct fl_conf *conf, struct fl_mailbox *main)
{
	static const struct fl_worker_events events;
	static struct fl_log log;
	struct fl_worker_options options = {
		.conf = conf, .log = &log, .worker_count = 1, .main = main, .events = &events};

	fl_log_init(&log, STDERR_FILENO, FL_LOG_ERROR, FL_LOG_TEXT, "heart");
	return fl_worker_new(&options);
}

Test(worker, that_never_started_is_discarded)
{
	struct fl_worker *worker;

	heart_open(&heart, NULL);
	worker = new_worker(heart.generation->conf, &heart.main);
	fl_worker_free(worker);
	heart_close(&heart);
}

Test(worker, without_a_thread_says_so)
{
	struct faults faults = {.kinds = FAULTS_UV, .only = "uv_thread_create"};
	struct fl_worker *worker;
	struct fl_err err;

	heart_open(&heart, NULL);
	worker = new_worker(heart.generation->conf, &heart.main);
	faults_fail(&faults, 1);
	faults_on();
	cr_expect_eq(fl_worker_start(worker, &err), FL_ERR_IO);
	faults_end();
	cr_expect_not_null(strstr(err.text, "cannot start a worker thread"), "%s", err.text);
	fl_worker_free(worker);
	heart_close(&heart);
}

/* At the start a failure ends the process: a restart is clean. */
Test(worker, without_a_loop_the_process_ends)
{
	static const char *const calls[] = {"uv_loop_init", "uv_mutex_init", "uv_async_init",
					    "uv_timer_init"};

	heart_open(&heart, NULL);
	for (size_t i = 0; i < FL_COUNT_OF(calls); i++) {
		struct faults faults = {.kinds = FAULTS_UV, .only = calls[i]};
		pid_t child = fork();
		int status;

		cr_assert_geq(child, 0);
		if (child == 0) {
			faults_fail(&faults, 1);
			(void)signal(SIGABRT, SIG_DFL);
			(void)close(STDERR_FILENO);
			faults_on();
			(void)new_worker(heart.generation->conf, &heart.main);
			_exit(0);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s", calls[i]);
	}
	heart_close(&heart);
}

Test(worker, on_its_thread_carries_calls_of_each_kind)
{
	heart_open(&heart, &(struct heart_options){.has_thread = true});
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		struct call call;

		call_open(&heart, &call, kind);
		cr_expect_eq(fl_worker_open(heart.worker, call_direction(kind)), 1);
		side_finish(&call.app);
		side_finish(&call.mesh);
		HEART_UNTIL(&heart, call.app.has_finished && call.mesh.has_finished);
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	heart_close(&heart);
}

Test(worker, on_its_thread_stops_while_connections_are_open)
{
	struct call calls[CALL_KINDS];

	heart_open(&heart, &(struct heart_options){.has_thread = true});
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		call_open(&heart, &calls[kind], kind);
	}
	fl_worker_post_stop(heart.worker);
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		HEART_UNTIL(&heart,
			    side_was_reset(&calls[kind].app) && side_was_reset(&calls[kind].mesh));
		call_close(&calls[kind]);
	}
	heart_close(&heart);
}

/* --- drain ---------------------------------------------------------------------------------------- */

Test(worker, that_drains_says_so_when_nothing_is_open)
{
	struct call call;

	heart_open(&heart, NULL);
	call_open(&heart, &call, CALL_IN_TLS);
	fl_worker_post_drain(heart.worker);
	heart_settle(&heart);
	cr_expect_eq(heart.idle, 0);
	side_finish(&call.mesh);
	side_finish(&call.app);
	HEART_UNTIL(&heart, heart.idle == 1);
	call_close(&call);
	heart_close(&heart);
}

Test(worker, that_drains_with_nothing_open_says_so_at_once)
{
	struct side client;

	heart_open(&heart, NULL);
	fl_worker_post_drain(heart.worker);
	HEART_UNTIL(&heart, heart.idle == 1);
	heart_connect(&heart, &client, DOOR_STRICT);
	HEART_UNTIL(&heart, client.error != 0);
	heart_forget(&heart, &client);
	side_close(&client);
	/* A generation that comes now opens nothing. */
	heart_take(&heart, NULL);
	cr_expect_eq(fl_worker_endpoint_state(heart.worker, DOOR_STRICT), FL_ENDPOINT_CLOSED);
	heart_close(&heart);
}

Test(worker, that_drains_before_its_first_generation_never_listens)
{
	heart_open(&heart, &(struct heart_options){.is_closed = true});
	fl_worker_post_drain(heart.worker);
	heart_take(&heart, NULL);
	cr_expect_not(fl_worker_serving(heart.worker));
	heart_close(&heart);
}

/* --- mail ----------------------------------------------------------------------------------------- */

Test(worker, log_level_that_was_set_outlives_generations)
{
	heart_open(&heart, NULL);
	cr_expect(fl_worker_post_log_level(heart.worker, FL_LOG_ERROR, true));
	heart_turn(&heart);
	cr_expect_eq(heart.loop->log.level, FL_LOG_ERROR);
	heart_take(&heart, NULL);
	cr_expect_eq(heart.loop->log.level, FL_LOG_ERROR);
	cr_expect(fl_worker_post_log_level(heart.worker, FL_LOG_WARN, false));
	heart_turn(&heart);
	cr_expect_eq(heart.loop->log.level, FL_LOG_WARN);
	heart_take(&heart, NULL);
	cr_expect_eq(heart.loop->log.level, FL_LOG_DEBUG, "that of the INI");
	heart_close(&heart);
}

Test(worker, log_level_without_memory_is_refused)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};
	unsigned refused = 0;

	heart_open(&heart, NULL);
	heart.spares_calls = true;
	while (faults_next(&faults)) {
		faults_on();
		refused += !fl_worker_post_log_level(heart.worker, FL_LOG_ERROR, true);
		faults_off();
		heart_turn(&heart);
	}
	cr_expect_eq(refused, 1);
	heart_close(&heart);
}

Test(worker, map_that_comes_after_the_stop_is_let_go)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	heart_open(&heart, &(struct heart_options){.is_closed = true});
	fl_worker_post_upstream_map(heart.worker, map);
	fl_upstream_map_unref(map);
	heart_turn(&heart);
	heart_close(&heart);
}

/* --- listeners ------------------------------------------------------------------------------------ */

Test(worker, listener_that_cannot_be_opened_is_logged_and_the_others_serve)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "listen"};
	struct call call;

	heart_open(&heart, &(struct heart_options){.is_closed = true});
	faults_fail(&faults, 1); /* that of captured connections */
	heart_take(&heart, NULL);
	faults_end();
	cr_expect_eq(fl_worker_endpoint_state(heart.worker, DOOR_CAPTURE_IN), FL_ENDPOINT_FAILED);
	cr_expect_eq(fl_worker_endpoint_state(heart.worker, DOOR_STRICT), FL_ENDPOINT_OPEN);
	cr_expect(heart_logged(&heart, "[sidecar inbound]"), "%s", heart_log(&heart));
	call_open(&heart, &call, CALL_IN_TLS);
	call_close(&call);
	heart_close(&heart);
}

Test(worker, without_descriptors_connections_wait_until_there_are_some)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "accept4"};
	struct side client;

	heart_open(&heart, NULL);
	faults_fail(&faults, 1);
	heart_connect(&heart, &client, DOOR_STRICT);
	heart_settle(&heart);
	cr_expect_not_null(faults.call);
	cr_expect_eq(heart_open_connections(&heart), 0);
	faults_end();
	heart_skip_ms(&heart, 1000);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	heart_forget(&heart, &client);
	side_close(&client);
	heart_close(&heart);
}

Test(worker, unix_listener_takes_the_app)
{
	char folder[] = "/tmp/heart-XXXXXX", *extra, *path;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct side app, peer;

	cr_assert_not_null(mkdtemp(folder));
	path = fl_format("%s/db.sock", folder);
	extra = fl_format(
		"[upstream local]\nlisten = unix:%s\nto = 127.0.0.1:1\nmode = plaintext\n", path);
	heart_open(&heart, &(struct heart_options){.extra = extra});
	heart_point(&heart, "local", PLACE_MESH);
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	side_init(&app);
	side_connect(&app, (struct sockaddr *)&to, sizeof(to));
	heart_watch(&heart, &app);
	heart_accept(&heart, &peer, PLACE_MESH);
	side_say(&app, "hello");
	HEART_UNTIL(&heart, side_has(&peer, "hello"));
	side_finish(&app);
	side_finish(&peer);
	HEART_UNTIL(&heart, heart_logged(&heart, "\"source\":\"unix\""));
	heart_forget(&heart, &app);
	heart_forget(&heart, &peer);
	side_close(&app);
	side_close(&peer);
	heart_close(&heart);
	(void)unlink(path);
	(void)rmdir(folder);
	free(extra);
	free(path);
}

/* --- binding -------------------------------------------------------------------------------------- */

static struct fl_conf *parse(const char *sidecar, const char *sections, const char *where)
{
	char *ini = fl_format("[identity]\ncredential_bundle = /a\nbundle = /b\n"
			      "[sidecar]\nadmin =\ncontrol =\n%s%s%s\n",
			      sidecar, sections, where);
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	cr_assert_eq(fl_conf_parse("fairlead.ini", ini, strlen(ini), &conf, &problems), 0, "%s\n%s",
		     problems.items[0].text, ini);
	fl_problems_done(&problems);
	free(ini);
	return conf;
}

#define NO_CAPTURE "inbound =\noutbound =\n"

static void release(struct fl_bound *items, size_t count)
{
	struct fl_listeners listeners = {.items = items, .count = count};

	fl_listeners_close(&listeners);
	fl_listeners_done(&listeners);
}

Test(worker, unix_paths_are_shared_by_workers_and_removed_only_when_they_are_ours)
{
	char folder[] = "/tmp/heart-XXXXXX", *path;
	struct fl_made_path *made;
	struct fl_bound *first, *second;
	struct fl_conf *conf;
	struct fl_err err;
	struct stat st;

	cr_assert_not_null(mkdtemp(folder));
	path = fl_format("%s/db.sock", folder);
	conf = parse(NO_CAPTURE,
		     "[upstream db]\nto = 127.0.0.1:1\nmode = plaintext\nlisten = unix:", path);
	cr_assert_eq(fl_bind_count(conf), 1);
	first = fl_new(sizeof(*first));
	second = fl_new(sizeof(*second));
	cr_assert_eq(fl_bind_endpoints(conf, first, NULL, NULL, &err), 0, "%s", err.text);
	cr_assert_eq(fl_bind_endpoints(conf, second, first, NULL, &err), 0, "%s", err.text);
	made = fl_bind_note_paths(first, 1);
	release(first, 1);
	release(second, 1);
	cr_expect_eq(stat(path, &st), 0);
	/* The path belongs to another process by now. */
	made[0].ino++;
	fl_bind_unlink_paths(made, true);
	cr_expect_eq(stat(path, &st), 0);
	made[0].ino--;
	fl_bind_unlink_paths(made, true);
	cr_expect_neq(stat(path, &st), 0);
	free(made);
	fl_conf_free(conf);
	(void)rmdir(folder);
	free(path);
}

static void expect_taken(const char *sidecar, const char *sections, const char *wanted)
{
	struct sockaddr_in sa = heart_loopback(0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(sa);
	struct fl_bound *items;
	struct fl_conf *conf;
	struct fl_err err;
	char port[8];

	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	cr_assert_eq(listen(fd, 1), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	(void)snprintf(port, sizeof(port), "%u", ntohs(sa.sin_port));
	conf = parse(sidecar, sections, port);
	items = fl_new(fl_bind_count(conf) * sizeof(*items));
	cr_expect_eq(fl_bind_endpoints(conf, items, NULL, NULL, &err), FL_ERR_IO);
	cr_expect_not_null(strstr(err.text, wanted), "%s", err.text);
	cr_expect_not_null(strstr(err.text, "another process uses this port"), "%s", err.text);
	release(items, fl_bind_count(conf));
	fl_conf_free(conf);
	(void)close(fd);
}

Test(worker, port_that_another_process_has_is_named_with_its_section)
{
	static const char web[] = "[service web]\napp = 127.0.0.1:1\nlisten = 127.0.0.1:";
	static const char api[] =
		"[upstream api]\nto = 127.0.0.1:1\nmode = plaintext\nlisten = 127.0.0.1:";

	expect_taken(NO_CAPTURE, web, "[service web]");
	expect_taken(NO_CAPTURE, api, "[upstream api]");
	expect_taken("inbound =\n", "outbound = 127.0.0.1:", "[sidecar] outbound");
	expect_taken("outbound =\n", "inbound = 127.0.0.1:", "[sidecar] inbound");
}

/* --- what is left --------------------------------------------------------------------------------- */

#define BURST 80

/* After a burst and a pause, memory is given back. */
Test(worker, burst_is_over_after_a_pause)
{
	struct side clients[BURST];

	heart_open(&heart, NULL);
	for (unsigned i = 0; i < BURST; i++) {
		heart_connect(&heart, &clients[i], DOOR_STRICT);
		heart_forget(&heart, &clients[i]);
		heart_turn(&heart);
	}
	HEART_UNTIL(&heart, heart_open_connections(&heart) == BURST);
	cr_expect_eq(heart.worker->trim.peak, BURST);
	for (unsigned i = 0; i < BURST; i++) {
		side_reset(&clients[i]);
	}
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	heart_skip_ms(&heart, 11000);
	cr_expect_eq(heart.worker->trim.peak, 0);
	heart_close(&heart);
}

static int file_with(const char *text)
{
	int fd = memfd_create("timeout", MFD_CLOEXEC);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

/* Conntrack forgets sooner from now on: connections that arrive later are probed as often as that requires. */
Test(worker, probes_follow_the_time_outs_of_conntrack)
{
	struct fl_conntrack conntrack = {
		.fds = {file_with("60\n"), file_with("120\n"), file_with("432000\n")}};
	struct call call;

	heart_open(&heart, &(struct heart_options){.conntrack = &conntrack});
	uint16_t before = heart.loop->net.keep_s;
	cr_assert_eq(pwrite(conntrack.fds[0], "6\n\n", 3, 0), 3);
	heart_skip_ms(&heart, 2000);
	call_open(&heart, &call, CALL_IN_PLAIN);
	cr_expect_lt(heart.loop->net.keep_s, before);
	call_close(&call);
	heart_close(&heart);
	fl_conntrack_close(&conntrack);
}

/* Probes on what a worker has dialled, app or peer: not for a connection that ends soon, but before one could be due; also for one
 * that is half-closed by then, which conntrack forgets soonest. */
static void check_probes(enum call_kind kind, bool half_closed)
{
	struct call call;
	struct side *callee;

	heart_open(&heart, NULL);
	call_open(&heart, &call, kind);
	callee = call_callee(&call);
	if (half_closed) {
		side_finish(call_caller(&call));
		HEART_UNTIL(&heart, callee->has_finished);
	}
	cr_expect_eq(side_far_option(callee, SOL_SOCKET, SO_KEEPALIVE), 0);
	heart_skip_ms(&heart, 1000);
	HEART_UNTIL(&heart, side_far_option(callee, SOL_SOCKET, SO_KEEPALIVE) == 1);
	cr_expect_leq(side_far_option(callee, IPPROTO_TCP, TCP_KEEPIDLE), heart.loop->net.keep_s);
	cr_expect_leq(side_far_option(callee, IPPROTO_TCP, TCP_KEEPINTVL), heart.loop->net.keep_s);
	call_close(&call);
	heart_close(&heart);
}

Test(worker, who_is_dialled_is_probed_once_the_connection_has_lived_for_a_moment)
{
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		check_probes(kind, false);
		check_probes(kind, true);
	}
}

Test(worker, there_is_at_least_one_processor)
{
	cr_expect_geq(fl_cpus_available(), 1);
}
