/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Handshakes that wait for the agent to sign ([tls] key = agent). The test is the agent: a socket, and the code with which the
 * real one signs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "conn/signing.h"
#include "ctl/message.h"
#include "fixture.h"
#include "heart.h"
#include "pki/cert.h"
#include "pki/pem.h"
#include "pki/signer.h"

#define OWN "p256-twin"
#define PEER "p256"
#define FEW 3u
#define EACH_DIRECTION for (int direction = 0; direction < FL_DIRECTIONS; direction++)

static struct heart heart;

/* --- the agent -------------------------------------------------------------------------------------- */

enum manner {
	SIGNS,
	IS_MUTE,         /* takes requests, and answers none */
	HANGS,           /* answers nothing, not even who asks whether it is there */
	HAS_ANOTHER_KEY, /* says so */
	SIGNS_RUBBISH,
	SIGNS_NO_MORE, /* in this second, but for `left` */
};

static struct agent {
	struct fl_signer *signer;
	struct fl_ctl_decoder *decoder; /* of fd */
	int listener, fd;               /* -1: none */
	enum manner manner;
	unsigned messages, requests; /* with requests; requests, so far */
	unsigned left;
	char dir[32], path[48];
} agent;

static struct fl_signer *signer_of(const char *name)
{
	char *file = fl_format("%s.crt", name), *text;
	struct fl_der_list chain = {0};
	struct fl_der key = {0};
	struct fl_signer *signer;
	struct fl_err err;
	struct fl_cert leaf;
	size_t len;

	text = fl_fixture(file, &len);
	cr_assert_eq(fl_pem_certificates(text, len, true, &chain, &err), 0, "%s", err.text);
	free(text);
	free(file);
	file = fl_format("%s.key", name);
	text = fl_fixture(file, &len);
	cr_assert_eq(fl_pem_private_key(text, len, &key, &err), 0, "%s", err.text);
	cr_assert_eq(fl_cert_parse(fl_span_of(&chain.items[0]), &leaf, &err), FL_RULE_NONE);
	cr_assert_eq(fl_signer_new(&leaf.key, fl_span_of(&key), &signer, &err), 0, "%s", err.text);
	fl_der_wipe(&key);
	fl_der_list_done(&chain);
	fl_wipe_free(text, len);
	free(file);
	return signer;
}

static void agent_listen(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", agent.path);
	agent.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(agent.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	cr_assert_eq(listen(agent.listener, 16), 0);
}

static void agent_hang_up(void)
{
	if (agent.fd >= 0) {
		(void)close(agent.fd);
		agent.fd = -1;
		fl_ctl_decoder_free(agent.decoder);
		agent.decoder = NULL;
	}
}

/* It is killed: nobody listens at its path. */
static void agent_die(void)
{
	agent_hang_up();
	if (agent.listener >= 0) {
		(void)close(agent.listener);
		(void)unlink(agent.path);
		agent.listener = -1;
	}
}

static void answer_one(struct fl_ctl_batch *batch, const struct fl_ctl_sign_request *request)
{
	uint8_t signature[FL_SIGNATURE_MAX];
	struct fl_ctl_sign_answer answer = {.number = request->number, .result = FL_SIGN_KEY};
	size_t len = 0;

	if (agent.manner == SIGNS_NO_MORE && agent.left == 0) {
		answer.result = FL_SIGN_RATE;
	} else if (agent.manner != HAS_ANOTHER_KEY) {
		agent.left -= agent.left > 0;
		cr_assert_arr_eq(request->key, fl_signer_key_name(agent.signer), FL_DIGEST_LEN);
		answer.result =
			(uint8_t)fl_signer_sign(agent.signer, request->role, request->scheme,
						request->hash, signature, &len);
		signature[len / 2] ^= agent.manner == SIGNS_RUBBISH;
		answer.signature = (struct fl_span){signature, len};
	}
	cr_assert(fl_ctl_batch_add_answer(batch, &answer));
}

static void answer(struct fl_ctl_items requests)
{
	static uint8_t frame[64 * 1024];
	struct fl_ctl_batch batch = {.frame = frame, .cap = sizeof(frame)};
	struct fl_ctl_sign_request request;
	unsigned count = 0;
	bool is_mute = agent.manner == IS_MUTE || agent.manner == HANGS;

	fl_ctl_batch_begin(&batch, FL_CTL_SIGNED);
	while (fl_ctl_next_request(&requests, &request)) {
		count++;
		if (!is_mute) {
			answer_one(&batch, &request);
		}
	}
	agent.requests += count;
	agent.messages += count > 0;
	if (!is_mute || (count == 0 && agent.manner != HANGS)) {
		cr_assert_eq(send(agent.fd, batch.frame, batch.len, MSG_NOSIGNAL),
			     (ssize_t)batch.len);
	}
}

/* What the agent does in one turn. Returns true, for HEART_UNTIL(). */
static bool serve(void)
{
	static uint8_t bytes[64 * 1024];
	const uint8_t *at = bytes;
	struct fl_ctl_message message;
	struct fl_err err;
	ssize_t n;
	size_t len;
	int rc;

	if (agent.fd < 0 && agent.listener >= 0) {
		agent.fd = accept4(agent.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		agent.decoder = agent.fd >= 0 ? fl_ctl_decoder_new(FL_CTL_FROM_SIDECAR) : NULL;
	}
	n = agent.fd >= 0 ? recv(agent.fd, bytes, sizeof(bytes), 0) : -1;
	if (n == 0) {
		agent_hang_up();
	}
	len = n > 0 ? (size_t)n : 0;
	while (len > 0 &&
	       (rc = fl_ctl_decoder_feed(agent.decoder, &at, &len, &message, &err)) != 0) {
		cr_assert_eq(rc, 1, "%s", err.text);
		cr_assert_eq(message.type, FL_CTL_SIGN);
		answer(message.u.requests);
	}
	return true;
}

#define UNTIL(condition) HEART_UNTIL(&heart, serve() && (condition))

static void pass_ms(unsigned ms)
{
	for (unsigned i = 0; i < ms / 50; i++) {
		heart_skip_ms(&heart, 50);
		(void)serve();
	}
}

static bool signs(void)
{
	return fl_sign_link_state(&heart.worker->sign_link) == FL_SIGN_STATE_UP;
}

static void open_with(const char *extra)
{
	struct heart_options options = {.agent = agent.path, .extra = extra};

	heart_open(&heart, &options);
	UNTIL(signs());
	agent.messages = agent.requests = 0;
	agent.manner = SIGNS;
}

static void set_up(void)
{
	agent = (struct agent){.signer = signer_of(OWN), .listener = -1, .fd = -1};
	(void)snprintf(agent.dir, sizeof(agent.dir), "/tmp/fairlead-XXXXXX");
	cr_assert_not_null(mkdtemp(agent.dir));
	(void)snprintf(agent.path, sizeof(agent.path), "%s/agent.sock", agent.dir);
	agent_listen();
	open_with(NULL);
}

static void tear_down(void)
{
	heart_close(&heart);
	agent_die();
	(void)rmdir(agent.dir);
	fl_signer_free(agent.signer);
}

TestSuite(signing, .init = set_up, .fini = tear_down);

/* --- handshakes ------------------------------------------------------------------------------------- */

struct shake {
	struct side peer, app; /* app: of an outbound one */
};

static void begin(struct shake *shake, int direction)
{
	side_init(&shake->peer);
	side_init(&shake->app);
	if (direction == FL_INBOUND) {
		heart_connect(&heart, &shake->peer, DOOR_STRICT);
		heart_speak_tls(&heart, &shake->peer, FL_TLS_CLIENT, PEER);
	} else {
		heart_connect(&heart, &shake->app, DOOR_MTLS_OUT);
		heart_accept(&heart, &shake->peer, PLACE_MESH);
		heart_speak_tls(&heart, &shake->peer, FL_TLS_SERVER, PEER);
	}
}

static void end(struct shake *shake)
{
	heart_forget(&heart, &shake->peer);
	heart_forget(&heart, &shake->app);
	side_close(&shake->peer);
	side_close(&shake->app);
}

/* So many that wait for their signature. */
static void begin_all(struct shake *shakes, unsigned count, int direction)
{
	unsigned before = agent.requests;

	agent.manner = IS_MUTE;
	for (unsigned i = 0; i < count; i++) {
		begin(&shakes[i], direction);
	}
	UNTIL(agent.requests == before + count);
}

static void end_all(struct shake *shakes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		end(&shakes[i]);
	}
}

static unsigned count_up(const struct shake *shakes, unsigned count)
{
	unsigned up = 0;

	for (unsigned i = 0; i < count; i++) {
		up += shakes[i].peer.is_up;
	}
	return up;
}

static uint64_t unsigned_ones(int direction)
{
	return heart_ended(&heart, (enum fl_direction)direction, FL_REASON_SIGNATURE_UNAVAILABLE);
}

/* --- while the agent is there ------------------------------------------------------------------------- */

Test(signing, the_agent_signs_in_either_role)
{
	EACH_DIRECTION
	{
		struct shake shake;

		begin(&shake, direction);
		UNTIL(shake.peer.is_up);
		end(&shake);
	}
	cr_expect_eq(agent.requests, 2);
	cr_expect_eq(heart.loop->counters.signatures[FL_SIGN_SIGNED], 2);
}

Test(signing, requests_of_one_turn_come_in_one_message)
{
	struct shake shakes[FEW];

	for (unsigned i = 0; i < FEW; i++) {
		side_init(&shakes[i].app);
		heart_connect(&heart, &shakes[i].peer, DOOR_STRICT);
	}
	heart_settle(&heart);
	for (unsigned i = 0; i < FEW; i++) {
		heart_speak_tls(&heart, &shakes[i].peer, FL_TLS_CLIENT, PEER);
	}
	UNTIL(count_up(shakes, FEW) == FEW);
	cr_expect_eq(agent.requests, FEW);
	cr_expect_eq(agent.messages, 1);
	end_all(shakes, FEW);
}

Test(signing, a_key_that_the_agent_does_not_have)
{
	EACH_DIRECTION
	{
		struct shake shake;

		agent.manner = HAS_ANOTHER_KEY;
		begin(&shake, direction);
		UNTIL(unsigned_ones(direction) == 1);
		cr_expect(heart_logged(&heart, "the agent does not have the key"));
		end(&shake);
	}
	cr_expect(signs(), "it is there, all the same");
}

/* wolfSSL checks it before it goes out. */
Test(signing, a_signature_that_is_wrong_goes_to_nobody)
{
	EACH_DIRECTION
	{
		struct shake shake;

		agent.manner = SIGNS_RUBBISH;
		begin(&shake, direction);
		UNTIL(heart_open_connections(&heart) == 0 && agent.requests > (unsigned)direction);
		heart_settle(&heart);
		cr_expect_not(shake.peer.is_up);
		end(&shake);
	}
}

Test(signing, a_peer_that_leaves_while_it_waits)
{
	struct shake shakes[FEW];

	begin_all(shakes, FEW, FL_INBOUND);
	heart_forget(&heart, &shakes[1].peer);
	side_reset(&shakes[1].peer);
	UNTIL(heart_open_connections(&heart) == FEW - 1);
	agent_hang_up(); /* it is asked again, for those that are left */
	agent.manner = SIGNS;
	pass_ms(200);
	UNTIL(count_up(shakes, FEW) == FEW - 1);
	cr_expect_eq(agent.requests, 2 * FEW - 1);
	end_all(shakes, FEW);
}

/* --- more than it signs in a second ------------------------------------------------------------------- */

Test(signing, what_the_agent_puts_off_waits_and_is_signed_in_order)
{
	EACH_DIRECTION
	{
		struct shake shakes[FEW];

		agent.manner = SIGNS_NO_MORE;
		agent.left = 0;
		for (unsigned i = 0; i < FEW; i++) {
			unsigned before = agent.requests;

			begin(&shakes[i], direction);
			UNTIL(agent.requests > before + i);
		}
		for (unsigned i = 0; i < FEW; i++) {
			agent.left = 1;
			pass_ms(50);
			UNTIL(shakes[i].peer.is_up);
			cr_expect_eq(count_up(shakes, FEW), i + 1);
		}
		cr_expect_eq(unsigned_ones(direction), 0);
		end_all(shakes, FEW);
		UNTIL(heart_open_connections(&heart) == 0);
	}
	cr_expect_eq(heart.loop->counters.signatures[FL_SIGN_RATE], 2 * FEW,
		     "each is counted once");
}

/* So nobody can use up the signatures of others by beginning handshakes and leaving. */
Test(signing, a_peer_that_leaves_costs_no_signature)
{
	struct shake shakes[FEW];

	agent.manner = SIGNS_NO_MORE;
	agent.left = 0;
	for (unsigned i = 0; i < FEW; i++) {
		begin(&shakes[i], FL_INBOUND);
	}
	UNTIL(heart.loop->counters.signatures[FL_SIGN_RATE] == FEW);
	for (unsigned i = 0; i < FEW - 1; i++) {
		heart_forget(&heart, &shakes[i].peer);
		side_reset(&shakes[i].peer);
	}
	UNTIL(heart_open_connections(&heart) == 1);
	agent.left = 1;
	pass_ms(50);
	UNTIL(shakes[FEW - 1].peer.is_up);
	end_all(shakes, FEW);
}

Test(signing, after_two_seconds_the_log_names_the_limit)
{
	struct shake shake;

	agent.manner = SIGNS_NO_MORE;
	agent.left = 0;
	begin(&shake, FL_INBOUND);
	UNTIL(heart.loop->counters.signatures[FL_SIGN_RATE] == 1);
	for (unsigned i = 0; i < 42; i++) {
		pass_ms(50);
		(void)serve();
	}
	UNTIL(unsigned_ones(FL_INBOUND) == 1);
	cr_expect(heart_logged(&heart, "no more signatures a second"));
	end(&shake);
	agent.manner = SIGNS;
	cr_expect(signs(), "it is not down");
}

/* They are slots of [limits] handshakes: who has none waits before that. */
Test(signing, no_more_wait_than_there_are_slots)
{
	enum { SLOTS = 8, MANY = 24 };
	struct shake shakes[MANY];

	heart_close(&heart);
	agent_hang_up();
	open_with("[limits]\nhandshakes = 8\n");
	agent.manner = IS_MUTE;
	for (unsigned i = 0; i < MANY; i++) {
		begin(&shakes[i], FL_INBOUND);
	}
	UNTIL(agent.requests > 0);
	heart_settle(&heart);
	(void)serve();
	cr_expect_leq(agent.requests, SLOTS);
	agent_hang_up();
	agent.manner = SIGNS;
	pass_ms(200);
	UNTIL(count_up(shakes, MANY) == MANY);
	cr_expect_eq(unsigned_ones(FL_INBOUND), 0);
	end_all(shakes, MANY);
}

/* --- while it is away -------------------------------------------------------------------------------- */

Test(signing, an_agent_that_is_back_within_300_ms_is_asked_again)
{
	EACH_DIRECTION
	{
		struct shake shakes[FEW];
		unsigned before = agent.requests;

		begin_all(shakes, FEW, direction);
		agent_die();
		pass_ms(300);
		cr_expect_eq(count_up(shakes, FEW), 0);
		cr_expect_eq(heart_open_connections(&heart), FEW);
		agent_listen();
		agent.manner = SIGNS;
		pass_ms(100);
		UNTIL(count_up(shakes, FEW) == FEW);
		cr_expect_eq(agent.requests, before + 2 * FEW, "each of them once more");
		cr_expect_eq(unsigned_ones(direction), 0);
		end_all(shakes, FEW);
		UNTIL(heart_open_connections(&heart) == 0);
	}
}

/* What began while it was away has not been asked for at all. */
Test(signing, those_that_begin_while_it_is_away_wait_too)
{
	struct shake shake;

	agent_die();
	begin(&shake, FL_INBOUND);
	pass_ms(300);
	agent_listen();
	pass_ms(100);
	UNTIL(shake.peer.is_up);
	cr_expect_eq(agent.requests, 1);
	end(&shake);
}

Test(signing, after_two_seconds_they_fail_and_so_do_new_ones_at_once)
{
	EACH_DIRECTION
	{
		struct shake shakes[FEW], late, again;

		begin_all(shakes, FEW, direction);
		agent_die();
		pass_ms(FL_SIGNING_MS - 200);
		cr_expect_eq(unsigned_ones(direction), 0);
		pass_ms(300);
		UNTIL(unsigned_ones(direction) == FEW);
		cr_expect_eq(heart_open_connections(&heart), 0);
		cr_expect(heart_logged(&heart, "there is no fairlead-agent to sign our handshake"));
		begin(&late, direction);
		UNTIL(unsigned_ones(direction) == FEW + 1); /* no time has passed */
		cr_expect_not(signs());
		agent_listen();
		agent.manner = SIGNS;
		pass_ms(1200);
		UNTIL(signs());
		begin(&again, direction);
		UNTIL(again.peer.is_up);
		end(&late);
		end(&again);
		end_all(shakes, FEW);
		UNTIL(heart_open_connections(&heart) == 0);
	}
}

/* It listens, and says nothing: a connection proves nothing, the next one neither. */
Test(signing, an_agent_that_hangs_is_no_agent)
{
	struct shake shakes[FEW];

	begin_all(shakes, FEW, FL_INBOUND);
	agent.manner = HANGS;
	pass_ms(FL_SIGNING_MS + 100);
	UNTIL(unsigned_ones(FL_INBOUND) == FEW);
	cr_expect_not(signs());
	pass_ms(3000);
	cr_expect_not(signs());
	end_all(shakes, FEW);
}
