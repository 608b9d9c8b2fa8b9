/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/dial.h"

#include "base/mem.h"

static bool has_address(const struct fl_conn *conn)
{
	return fl_conn_is_captured(conn) || (conn->targets != NULL && conn->targets->count > 0);
}

static size_t addresses_left(const struct fl_dialer *dialer)
{
	const struct fl_conn *conn = dialer->conn;
	size_t count = fl_conn_is_captured(conn) ? 1
		       : conn->targets != NULL   ? conn->targets->count
						 : 0;

	return count - dialer->next_target;
}

/* Returns the next address and advances past it; false: there is none left. */
static bool next_address(struct fl_dialer *dialer, union fl_sockaddr *ret)
{
	const struct fl_conn *conn = dialer->conn;

	if (addresses_left(dialer) == 0) {
		return false;
	}
	*ret = fl_conn_is_captured(conn) ? fl_inet_sockaddr(&conn->destination)
					 : conn->targets->items[dialer->next_target];
	dialer->next_target++;
	return true;
}

/* The part of connect_timeout for the one that is being dialled, if so many have to share the rest. */
static void divide_time(struct fl_dialer *dialer, size_t among)
{
	const struct fl_conn *conn = dialer->conn;
	uint64_t now = uv_now(conn->loop->uv);

	dialer->address_until_ms = now + (conn->dial_until_ms - now) / (among > 0 ? among : 1);
}

/* Divides the rest of connect_timeout. False: it is over. */
static bool has_time(struct fl_dialer *dialer)
{
	struct fl_conn *conn = dialer->conn;
	uint64_t now = uv_now(conn->loop->uv);

	if (conn->dial_until_ms == 0) {
		conn->dial_until_ms = now + conn->loop->connecting.duration_ms;
	}
	if (now >= conn->dial_until_ms) {
		return false;
	}
	divide_time(dialer, addresses_left(dialer));
	return true;
}

static void on_dialed(void *user, int sys);

/* Dials the next address that can be tried: returns 0, and *ret is being dialled. Otherwise the negative uv error of the
 * last one that could not be tried: UV_ELOOP for one that leads back here, UV_EHOSTUNREACH when none was left, UV_ETIMEDOUT
 * when connect_timeout is over. */
static int dial_next(struct fl_dialer *dialer, struct fl_sock **ret)
{
	struct fl_loop *loop = dialer->conn->loop;
	bool is_captured = fl_conn_is_captured(dialer->conn);
	union fl_sockaddr to;
	int rc = UV_EHOSTUNREACH;

	if (!has_time(dialer)) {
		return UV_ETIMEDOUT;
	}
	while (next_address(dialer, &to)) {
		struct fl_dial dial = {.to = &to.any,
				       .alive = {.give_up_ms = loop->peer_timeout_ms},
				       .joins_acks = dialer->is_for_tls,
				       .heeds_icmp = true};
		struct fl_inet inet = fl_inet_of(&to.any);
		struct fl_err err;

		if (is_captured) {
			dial.port = FL_PORT_OF_OURS; /* the app dialled the same address */
		}
		/* Names may resolve to anything; a captured destination has been judged. */
		if (!is_captured && fl_loop_is_own(loop, &inet, true)) {
			rc = UV_ELOOP;
			continue;
		}
		if (fl_sock_dial(&loop->net, &dial, dialer->events, dialer, on_dialed, ret, &err) ==
		    0) {
			return 0;
		}
		rc = err.sys != 0 ? -err.sys : UV_ENOMEM;
	}
	return rc;
}

static void on_check(struct fl_deadline *deadline);

static void start_checks(struct fl_dialer *dialer)
{
	fl_deadline_add(&dialer->conn->loop->dialing, &dialer->check, on_check);
}

/* before: why the last one failed, a negative uv error. */
static void dial_next_or_fail(struct fl_dialer *dialer, int before)
{
	struct fl_sock *last = dialer->sock;

	dialer->conn->dial_error = (int16_t)before;
	if (dial_next(dialer, &dialer->sock) != 0) {
		fl_deadline_drop(&dialer->check);
		/* The log names the last address. */
		dialer->cb(dialer, NULL, fl_reason_of_peer_dial(before));
		return;
	}
	fl_sock_close(last, 0);
	start_checks(dialer);
}

static void on_dialed(void *user, int sys)
{
	struct fl_dialer *dialer = user;
	struct fl_sock *sock = dialer->sock;

	if (sys != 0) {
		dial_next_or_fail(dialer, sys);
		return;
	}
	dialer->sock = NULL;
	dialer->conn->dial_error = 0;
	fl_deadline_drop(&dialer->check);
	fl_sock_set_user(sock, dialer->events, dialer->user);
	dialer->cb(dialer, sock, FL_REASON_DONE);
}

/* FL_DIAL_CHECKS times in one connect_timeout: an address gets at least the time between two checks. */
static void on_check(struct fl_deadline *deadline)
{
	struct fl_dialer *dialer = FL_CONTAINER_OF(deadline, struct fl_dialer, check);

	if (fl_conn_shorten_dial(dialer->conn)) {
		divide_time(dialer, addresses_left(dialer) + 1);
	}
	if (uv_now(dialer->conn->loop->uv) >= dialer->address_until_ms) {
		dial_next_or_fail(dialer, UV_ETIMEDOUT);
	} else {
		start_checks(dialer);
	}
}

void fl_dialer_init(struct fl_dialer *dialer, struct fl_conn *conn, bool is_for_tls,
		    const struct fl_sock_events *events, void *user, fl_dialer_cb cb)
{
	*dialer = (struct fl_dialer){
		.conn = conn, .is_for_tls = is_for_tls, .events = events, .user = user, .cb = cb};
}

enum fl_reason fl_dialer_start(struct fl_dialer *dialer)
{
	int rc;

	if (!has_address(dialer->conn)) {
		return FL_REASON_NO_ADDRESS;
	}
	rc = dial_next(dialer, &dialer->sock);
	if (rc != 0) {
		dialer->conn->dial_error = (int16_t)rc;
		return fl_reason_of_peer_dial(rc);
	}
	start_checks(dialer);
	return FL_REASON_DONE;
}

enum fl_reason fl_dialer_start_again(struct fl_dialer *dialer)
{
	FL_REQUIRE(dialer->next_target > 0);
	dialer->next_target--;
	dialer->conn->dial_until_ms = 0;
	return fl_dialer_start(dialer);
}

void fl_dialer_stop(struct fl_dialer *dialer)
{
	fl_deadline_drop(&dialer->check);
	if (dialer->sock != NULL) {
		fl_sock_reset(dialer->sock);
		dialer->sock = NULL;
	}
}
