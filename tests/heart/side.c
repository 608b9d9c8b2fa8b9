/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "side.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tls/tls_internal.h"

#define READ_CAP 65536u
#define BUFFERS 262144 /* a few segments of loopback */

void side_set_buffers(int fd)
{
	const int bytes = BUFFERS;

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

void side_init(struct side *side)
{
	*side = (struct side){.fd = -1};
}

void side_connect(struct side *side, const struct sockaddr *to, socklen_t len)
{
	side->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert_geq(side->fd, 0);
	side_set_buffers(side->fd);
	cr_assert(connect(side->fd, to, len) == 0 || errno == EINPROGRESS, "connect: %s",
		  strerror(errno));
}

bool side_accept(struct side *side, int listener)
{
	side->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return side->fd >= 0;
}

static uint8_t *room(uint8_t **data, size_t *cap, size_t len, size_t more)
{
	if (*cap - len < more) {
		*cap = len + more + READ_CAP;
		*data = fl_grow(*data, *cap, 1);
	}
	return *data + len;
}

/* Room for what a call of the engine may append. */
static struct fl_tls_io io_of(struct side *side, const uint8_t *in, size_t in_len, size_t more)
{
	(void)room(&side->out, &side->out_cap, side->out_len, FL_TLS_OUT_RESERVE + more);
	return (struct fl_tls_io){.in = in,
				  .in_len = in_len,
				  .out = side->out,
				  .out_len = side->out_len,
				  .out_cap = side->out_cap};
}

static void note_step(struct side *side, enum fl_tls_step step)
{
	side->is_up = side->is_up || step == FL_TLS_ESTABLISHED;
	side->has_finished = side->has_finished || step == FL_TLS_EOF;
	if (step == FL_TLS_FAILED) {
		side->failure = fl_tls_failure(side->tls);
	}
}

static void open_records(struct side *side, struct fl_tls_io *io)
{
	enum fl_tls_step step;
	size_t n;

	do {
		uint8_t *buf = room(&side->got, &side->got_cap, side->got_len, READ_CAP);

		step = fl_tls_read(side->tls, io, buf, READ_CAP, &n);
		side->got_len += n;
		note_step(side, step);
	} while (step == FL_TLS_MORE && n == READ_CAP);
}

static void feed(struct side *side, const uint8_t *data, size_t len)
{
	struct fl_tls_io io = io_of(side, data, len, 0);

	if (side->failure != NULL) {
		return;
	}
	if (!side->is_up) {
		note_step(side, fl_tls_handshake(side->tls, &io));
	}
	if (side->is_up && io.in_len > 0) {
		open_records(side, &io);
	}
	side->out_len = io.out_len;
}

void side_speak_tls(struct side *side, enum fl_tls_role role)
{
	if (role == FL_TLS_CLIENT) {
		feed(side, NULL, 0);
	}
}

void side_ask_nobody(struct side *side)
{
	wolfSSL_set_verify(side->tls->wolf, WOLFSSL_VERIFY_NONE, NULL);
}

void side_update_keys(struct side *side)
{
	struct fl_tls_io io = io_of(side, NULL, 0, 0);

	side->tls->io = &io;
	cr_assert_eq(wolfSSL_update_keys(side->tls->wolf), WOLFSSL_SUCCESS);
	side->tls->io = NULL;
	side->out_len = io.out_len;
}

static void done(struct side *side)
{
	fl_tls_free(side->tls);
	free(side->got);
	free(side->out);
	side_init(side);
}

void side_close(struct side *side)
{
	if (side->fd >= 0) {
		(void)close(side->fd);
	}
	done(side);
}

void side_reset(struct side *side)
{
	const struct linger at_once = {.l_onoff = 1};

	cr_assert_eq(setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	side_close(side);
}

/* --- sending ------------------------------------------------------------------------------------ */

static size_t may_send(const struct side *side)
{
	size_t most = side->sent == 0 && side->cut > 0 ? side->cut : side->pace;

	return most > 0 && most < side->out_len ? most : side->out_len;
}

static void send_some(struct side *side)
{
	ssize_t n;

	if (side->out_len == 0) {
		return;
	}
	n = send(side->fd, side->out, may_send(side), MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != ENOTCONN) {
			side->error = errno;
			side->out_len = 0;
		}
		return;
	}
	side->sent += (size_t)n;
	side->out_len -= (size_t)n;
	memmove(side->out, side->out + n, side->out_len);
}

static void take(struct side *side, const uint8_t *data, size_t len)
{
	if (side->tls != NULL) {
		feed(side, data, len);
		return;
	}
	memcpy(room(&side->got, &side->got_cap, side->got_len, len), data, len);
	side->got_len += len;
}

static void read_all(struct side *side)
{
	static uint8_t buf[READ_CAP];
	ssize_t n;

	while (side->fd >= 0 && !side->has_fin && side->error == 0) {
		n = recv(side->fd, buf, sizeof(buf), 0);
		if (n > 0) {
			take(side, buf, (size_t)n);
		} else if (n == 0) {
			side->has_fin = true;
			side->has_finished = side->has_finished || side->tls == NULL;
		} else if (errno == EAGAIN || errno == ENOTCONN) {
			return;
		} else {
			side->error = errno;
		}
	}
}

void side_pump_in(struct side *side)
{
	read_all(side);
}

void side_pump(struct side *side)
{
	if (side->fd < 0) {
		return;
	}
	if (side->error == 0) {
		send_some(side);
	}
	if (!side->is_deaf) {
		read_all(side);
	}
	if (side->error == 0 && side->pace == 0 && side->cut == 0) {
		send_some(side); /* its answer */
	}
	if (side->wants_fin && side->out_len == 0) {
		side->wants_fin = false;
		(void)shutdown(side->fd, SHUT_WR);
	}
}

void side_send_raw(struct side *side, const void *data, size_t len)
{
	memcpy(room(&side->out, &side->out_cap, side->out_len, len), data, len);
	side->out_len += len;
}

void side_send(struct side *side, const void *data, size_t len)
{
	struct fl_tls_io io;

	if (side->tls == NULL) {
		side_send_raw(side, data, len);
		return;
	}
	io = io_of(side, NULL, 0, FL_TLS_SEALED_SIZE(len));
	cr_assert_eq(fl_tls_write(side->tls, &io, data, len), 0);
	side->out_len = io.out_len;
}

void side_say(struct side *side, const char *text)
{
	side_send(side, text, strlen(text));
}

void side_finish(struct side *side)
{
	if (side->tls != NULL) {
		struct fl_tls_io io = io_of(side, NULL, 0, 0);

		fl_tls_close(side->tls, &io);
		side->out_len = io.out_len;
	}
	side->wants_fin = true;
}

void side_cut_short(struct side *side)
{
	side->wants_fin = true;
}

void side_alert(struct side *side, uint8_t alert)
{
	struct fl_tls_io io = io_of(side, NULL, 0, 0);

	fl_tls_alert(side->tls, &io, alert);
	side->out_len = io.out_len;
}

bool side_has_only(const struct side *side, const char *text)
{
	return side->got_len == 0 ||
	       (side->got_len <= strlen(text) && memcmp(side->got, text, side->got_len) == 0);
}

bool side_has(const struct side *side, const char *text)
{
	return side->got_len == strlen(text) && side_has_only(side, text);
}

bool side_was_reset(const struct side *side)
{
	return side->error == ECONNRESET || side->error == EPIPE;
}

static int far_end_of(int fd)
{
	struct sockaddr_in ours = {0}, peer = {0};
	socklen_t ours_len = sizeof(ours);

	cr_assert_eq(getsockname(fd, (struct sockaddr *)&ours, &ours_len), 0);
	for (int other = 3; other < 1024; other++) {
		socklen_t len = sizeof(peer);

		if (other != fd && getpeername(other, (struct sockaddr *)&peer, &len) == 0 &&
		    len == sizeof(peer) && peer.sin_family == AF_INET &&
		    peer.sin_port == ours.sin_port) {
			return other;
		}
	}
	cr_assert_fail("no such socket");
	return -1;
}

int side_far_option(const struct side *side, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	cr_assert_eq(getsockopt(far_end_of(side->fd), level, option, &value, &len), 0);
	return value;
}
