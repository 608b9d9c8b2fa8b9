/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An app that listens at a path: what it does not accept waits, as at a port. */
#include "call.h"
#include "reuse_talk.h"

#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#define EACH_KIND for (enum call_kind kind = CALL_IN_TLS; kind <= CALL_IN_PLAIN; kind++)

static char folder[sizeof("/tmp/heart-XXXXXX")];
static struct sockaddr_un path = {.sun_family = AF_UNIX};
static char web[160], clear[192];
static int fill; /* a connection that fills the queue */

/* The app of all services has moved to a path, and its queue holds one connection. */
static struct heart_options there(const char *extra)
{
	return (struct heart_options){
		.web = web, .clear = clear, .extra = extra, .access = "failed"};
}

static void open_scene(void)
{
	struct heart_options options;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)snprintf(folder, sizeof(folder), "/tmp/heart-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path.sun_path, sizeof(path.sun_path), "%s/app", folder);
	(void)snprintf(web, sizeof(web), "app = unix:%s\n", path.sun_path);
	(void)snprintf(clear, sizeof(clear), "%smode = plaintext\n", web);
	options = there(NULL);
	heart_open(&heart, &options);
	cr_assert_eq(bind(listener, (struct sockaddr *)&path, sizeof(path)), 0);
	cr_assert_eq(listen(listener, 0), 0);
	(void)close(heart.places[PLACE_APP]);
	heart.places[PLACE_APP] = listener;
	fill = -1;
}

static void fill_queue(void)
{
	fill = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fill, (struct sockaddr *)&path, sizeof(path)), 0);
}

static void empty_queue(void)
{
	(void)close(fill);
	fill = -1;
	heart_empty_queues(&heart);
}

static void close_scene(void)
{
	heart_close(&heart);
	(void)unlink(path.sun_path);
	(void)rmdir(folder);
}

TestSuite(unix_app, .init = open_scene, .fini = close_scene);

/* The queue is full, and one more has come. */
static void begin_waiting(struct call *call, enum call_kind kind)
{
	fill_queue();
	call_begin(&heart, call, kind);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	HEART_UNTIL(&heart, strcmp(heart_state(&heart), "connecting") == 0);
}

static void expect_through(struct call *call)
{
	heart_accept(&heart, &call->app, PLACE_APP);
	side_say(&call->mesh, "question");
	HEART_UNTIL(&heart, side_has(&call->app, "question"));
	side_say(&call->app, "answer");
	HEART_UNTIL(&heart, side_has(&call->mesh, "answer"));
	call_close(call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

Test(unix_app, full_queue_is_waited_for)
{
	EACH_KIND
	{
		struct call call;

		begin_waiting(&call, kind);
		heart_skip_ms(&heart, 2000); /* less than connect_timeout */
		cr_assert_str_eq(heart_state(&heart), "connecting");
		empty_queue();
		expect_through(&call);
	}
}

Test(unix_app, full_queue_is_waited_for_within_connect_timeout)
{
	struct heart_options options = there("[limits]\nconnect_timeout = 2s\n");

	heart_take(&heart, &options);
	EACH_KIND
	{
		struct call call;

		begin_waiting(&call, kind);
		heart_skip_ms(&heart, 2100);
		HEART_UNTIL(&heart, side_was_reset(&call.mesh));
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		empty_queue();
		cr_assert_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_APP_CONNECT_TIMEOUT),
			     1U + kind, "%s", heart_log(&heart));
	}
	cr_expect(heart_logged(&heart, "the app does not accept: find out whether it hangs"));
}

Test(unix_app, peer_leaves_while_its_connection_waits)
{
	EACH_KIND
	{
		struct call call;

		begin_waiting(&call, kind);
		heart_forget(&heart, &call.mesh);
		side_reset(&call.mesh);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0 || kind == CALL_IN_PLAIN);
		heart_skip_ms(&heart, 12000);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		empty_queue();
		call_close(&call);
	}
}

Test(unix_app, app_goes_while_a_connection_waits)
{
	EACH_KIND
	{
		struct call call;

		begin_waiting(&call, kind);
		(void)unlink(path.sun_path);
		HEART_UNTIL(&heart, side_was_reset(&call.mesh));
		call_close(&call);
		empty_queue();
		cr_assert_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_APP_REFUSED), 1);
		close_scene();
		open_scene();
	}
}

/* The client has waited for it already, so the session's next use does not begin again. */
Test(unix_app, full_queue_is_final_for_a_use)
{
	EACH_USE
	{
		struct talk talk;

		heart.framed = true;
		begin_inbound(&talk, use);
		fill_queue();
		framed_open(&talk.frames);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		heart_skip_ms(&heart, 5500);
		HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.is_answered));
		cr_expect_eq(talk.frames.status, FL_STATUS_APP_TIMEOUT);
		end(&talk);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		empty_queue();
	}
}

/* --- failures ------------------------------------------------------------------------------------- */

/* A signal, while the kernel looks for the path. */
Test(unix_app, interrupted_dial_is_repeated)
{
	EACH_KIND
	{
		struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "connect", .error = EINTR};
		struct call call;

		faults_fail(&faults, 1);
		call_begin(&heart, &call, kind);
		faults_on();
		heart_accept(&heart, &call.app, PLACE_APP);
		faults_off();
		cr_assert_str_eq(faults_where(), "call 1, connect()");
		faults_end();
		side_say(&call.mesh, "question");
		HEART_UNTIL(&heart, side_has(&call.app, "question"));
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
}

/* Each call fails in turn, up to when it gets in: it does, or it is reset. */
static void wait_with_faults(unsigned kinds)
{
	struct faults faults = {.kinds = kinds};

	while (faults_next(&faults)) {
		struct call call;
		bool is_in;

		fill_queue();
		call_begin(&heart, &call, CALL_IN_PLAIN);
		faults_on();
		heart_settle(&heart);
		faults_off();
		empty_queue();
		faults_on();
		heart_skip_ms(&heart, 40);
		heart_settle(&heart);
		faults_off();
		is_in = side_accept(&call.app, heart.places[PLACE_APP]);
		cr_assert(is_in || faults.round > 0);
		call_close(&call);
		heart_skip_ms(&heart, 12000); /* a listener may have paused until now */
		heart_empty_queues(&heart);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	cr_expect_gt(faults.most, 3);
}

Test(unix_app, waiting_without_memory)
{
	wait_with_faults(FAULTS_MEMORY);
}

Test(unix_app, waiting_with_failing_system_calls)
{
	wait_with_faults(FAULTS_SYSTEM);
}
