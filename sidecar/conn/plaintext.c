/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/plaintext.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conn/dial.h"

#define GOODBYE_MS 1000u

struct plaintext {
	struct fl_corpse corpse; /* first member: buried at the end */
	struct fl_mesh mesh;
	struct fl_sock *sock; /* NULL until it is connected, and after its end */
	struct fl_dialer dialer;
	struct fl_plaintext_counter *counter; /* outbound */
	bool eof;                             /* the peer has finished sending */
	bool shut;                            /* we have finished sending */
};

static struct plaintext *of(struct fl_mesh *mesh)
{
	return FL_CONTAINER_OF(mesh, struct plaintext, mesh);
}

static const struct plaintext *of_const(const struct fl_mesh *mesh)
{
	return FL_CONTAINER_OF(mesh, const struct plaintext, mesh);
}

/* --- end ---------------------------------------------------------------------------------------- */

/* The caller has closed the socket, or keeps it. */
static void release(struct plaintext *plaintext)
{
	struct fl_conn *conn = plaintext->mesh.conn;

	plaintext->mesh.events = NULL;
	plaintext->sock = NULL;
	fl_dialer_stop(&plaintext->dialer);
	fl_loop_bury(conn->loop, &plaintext->corpse);
	fl_conn_unref(conn);
}

static void reset(struct fl_mesh *mesh, enum fl_reason reason)
{
	struct plaintext *plaintext = of(mesh);

	(void)reason; /* plaintext has no words for it */
	if (plaintext->sock != NULL) {
		fl_sock_reset(plaintext->sock);
	}
	release(plaintext);
}

static void refuse(struct fl_mesh *mesh, uint8_t alert)
{
	(void)alert; /* plaintext has no alerts */
	reset(mesh, FL_REASON_DONE);
}

static void close_mesh(struct fl_mesh *mesh)
{
	struct plaintext *plaintext = of(mesh);

	fl_sock_close(plaintext->sock, 0);
	release(plaintext);
}

static void leave(struct fl_mesh *mesh)
{
	struct plaintext *plaintext = of(mesh);

	fl_sock_hang_up(plaintext->sock, GOODBYE_MS);
	release(plaintext);
}

static void fail(struct plaintext *plaintext, enum fl_reason reason)
{
	const struct fl_mesh_events *events = plaintext->mesh.events;

	plaintext->mesh.events = NULL;
	events->on_closed(plaintext->mesh.user, reason);
	reset(&plaintext->mesh, reason);
}

/* --- events of the socket ------------------------------------------------------------------------- */

static void on_data(void *user, uint8_t *data, size_t len)
{
	struct plaintext *plaintext = user;

	if (plaintext->counter != NULL) {
		fl_count(&plaintext->counter->bytes_to_app, len);
	}
	plaintext->mesh.events->on_data(plaintext->mesh.user, data, len);
}

static void on_eof(void *user)
{
	struct plaintext *plaintext = user;

	plaintext->eof = true;
	plaintext->mesh.events->on_eof(plaintext->mesh.user);
}

static void on_drain(void *user)
{
	struct plaintext *plaintext = user;

	plaintext->mesh.events->on_drain(plaintext->mesh.user);
}

static void on_error(void *user, int sys)
{
	struct plaintext *plaintext = user;

	/* Both sides have finished, so an error that follows loses no data. */
	if (!plaintext->eof || !plaintext->shut || fl_sock_pending(plaintext->sock)) {
		fail(plaintext, fl_reason_of_peer_error(sys));
	}
}

static const struct fl_sock_events sock_events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

/* --- bytes ---------------------------------------------------------------------------------------- */

static void read_start(struct fl_mesh *mesh)
{
	fl_sock_read_start(of(mesh)->sock);
}

static void read_stop(struct fl_mesh *mesh)
{
	fl_sock_read_stop(of(mesh)->sock);
}

static void watch(struct fl_mesh *mesh)
{
	fl_sock_read_start(of(mesh)->sock);
	fl_sock_read_stop(of(mesh)->sock);
}

static bool read_is_last(const struct fl_mesh *mesh)
{
	return fl_sock_read_is_last(of_const(mesh)->sock);
}

static int write_mesh(struct fl_mesh *mesh, uint8_t *data, size_t len, bool last)
{
	struct plaintext *plaintext = of(mesh);

	if (plaintext->counter != NULL) {
		fl_count(&plaintext->counter->bytes_to_mesh, len);
	}
	return last ? fl_sock_write_more(plaintext->sock, data, len)
		    : fl_sock_write(plaintext->sock, data, len);
}

static bool pending(const struct fl_mesh *mesh)
{
	return fl_sock_pending(of_const(mesh)->sock);
}

static struct fl_debt debt(const struct fl_mesh *mesh)
{
	return fl_sock_debt(of_const(mesh)->sock);
}

static void begin_keep(struct fl_mesh *mesh)
{
	fl_sock_begin_keep(of(mesh)->sock);
}

static void keep(struct fl_mesh *mesh)
{
	fl_sock_keep(of(mesh)->sock);
}

static void shutdown_mesh(struct fl_mesh *mesh, bool closing)
{
	(void)closing;
	of(mesh)->shut = true;
	fl_sock_shutdown(of(mesh)->sock);
}

/* --- what it is ------------------------------------------------------------------------------------ */

static bool is_ready(const struct fl_mesh *mesh)
{
	return of_const(mesh)->sock != NULL;
}

static const char *state_word(const struct fl_mesh *mesh)
{
	(void)mesh;
	return "connecting";
}

static struct fl_tls_peer *peer(const struct fl_mesh *mesh)
{
	(void)mesh;
	return NULL;
}

static const char *peer_id(const struct fl_mesh *mesh)
{
	(void)mesh;
	return NULL;
}

static bool is_mutual(const struct fl_mesh *mesh)
{
	(void)mesh;
	return false;
}

static const struct fl_tls_failure *failure(const struct fl_mesh *mesh)
{
	(void)mesh;
	return NULL;
}

static bool introduce(const struct fl_mesh *mesh, struct fl_proxy_v2_peer *ret)
{
	(void)mesh;
	(void)ret;
	return false;
}

/* The socket, or the one being dialled or dialled last; NULL: there is none. */
static const struct fl_sock *any_sock(const struct fl_mesh *mesh)
{
	const struct plaintext *plaintext = of_const(mesh);

	return plaintext->sock != NULL ? plaintext->sock : plaintext->dialer.sock;
}

static struct fl_inet local_inet(const struct fl_mesh *mesh)
{
	const struct fl_sock *sock = any_sock(mesh);

	return sock != NULL ? fl_sock_local_inet(sock) : (struct fl_inet){0};
}

static struct fl_inet peer_inet(const struct fl_mesh *mesh)
{
	const struct fl_sock *sock = any_sock(mesh);

	return sock != NULL ? fl_sock_peer_inet(sock) : (struct fl_inet){0};
}

static const char *peer_addr(const struct fl_mesh *mesh, char *buf)
{
	const struct fl_sock *sock = any_sock(mesh);

	return sock != NULL ? fl_sock_peer(sock, buf) : NULL;
}

static struct fl_mesh_use use_of(const struct fl_mesh *mesh)
{
	(void)mesh;
	return (struct fl_mesh_use){0};
}

static void describe(const struct fl_mesh *mesh, struct fl_line *line)
{
	uint16_t port = mesh->conn->direction == FL_OUTBOUND ? local_inet(mesh).port : 0;

	if (port != 0) {
		fl_line_u64(line, "mesh_port", port);
	}
	if (is_ready(mesh)) {
		fl_line_str(line, "security", "plaintext");
	}
}

static const struct fl_mesh_ops ops = {
	.read_start = read_start,
	.read_stop = read_stop,
	.watch = watch,
	.read_is_last = read_is_last,
	.write = write_mesh,
	.pending = pending,
	.debt = debt,
	.begin_keep = begin_keep,
	.keep = keep,
	.shutdown = shutdown_mesh,
	.close = close_mesh,
	.reset = reset,
	.leave = leave,
	.refuse = refuse,
	.is_ready = is_ready,
	.state_word = state_word,
	.peer = peer,
	.peer_id = peer_id,
	.is_mutual = is_mutual,
	.failure = failure,
	.introduce = introduce,
	.use = use_of,
	.local_inet = local_inet,
	.peer_inet = peer_inet,
	.peer_addr = peer_addr,
	.describe = describe,
};

/* --- begin ---------------------------------------------------------------------------------------- */

static void on_dialed(struct fl_dialer *dialer, struct fl_sock *sock, enum fl_reason reason)
{
	struct plaintext *plaintext = FL_CONTAINER_OF(dialer, struct plaintext, dialer);
	struct fl_conn *conn = plaintext->mesh.conn;

	if (sock == NULL) {
		fail(plaintext, reason);
		return;
	}
	plaintext->sock = sock;
	fl_conn_secured(conn, NULL);
	plaintext->counter = fl_conn_plaintext_counter(conn);
	fl_count(&plaintext->counter->connections, 1);
	plaintext->mesh.events->on_ready(plaintext->mesh.user);
}

static struct plaintext *plaintext_new(struct fl_conn *conn)
{
	struct plaintext *plaintext = calloc(1, sizeof(*plaintext));

	if (plaintext != NULL) {
		plaintext->mesh = (struct fl_mesh){.ops = &ops, .conn = fl_conn_ref(conn)};
		fl_dialer_init(&plaintext->dialer, conn, false, &sock_events, plaintext, on_dialed);
	}
	return plaintext;
}

struct fl_mesh *fl_plaintext_accept(struct fl_conn *conn, struct fl_sock *sock)
{
	struct plaintext *plaintext = plaintext_new(conn);

	if (plaintext == NULL) {
		return NULL;
	}
	plaintext->sock = sock;
	fl_sock_set_user(sock, &sock_events, plaintext);
	return &plaintext->mesh;
}

struct fl_mesh *fl_plaintext_dial(struct fl_conn *conn, const struct fl_mesh_events *events,
				  void *user, enum fl_reason *ret_reason)
{
	struct plaintext *plaintext = plaintext_new(conn);

	if (plaintext == NULL) {
		*ret_reason = FL_REASON_INTERNAL;
		return NULL;
	}
	fl_mesh_set_user(&plaintext->mesh, events, user);
	*ret_reason = fl_dialer_start(&plaintext->dialer);
	if (*ret_reason != FL_REASON_DONE) {
		release(plaintext);
		return NULL;
	}
	return &plaintext->mesh;
}
