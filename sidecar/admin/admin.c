/* SPDX-License-Identifier: GPL-3.0-or-later */
/* admin - connections and their deadlines; http.c reads, respond.c answers, answer.c caches
 * answers.
 *
 * States of a connection: accepted -> READING, until the head (and on the control socket a body) is
 * complete [-> SLOW, while workers are asked, or while the caller receives a large answer] -> SENT,
 * with our side closed -> the caller closes. Anything else that the caller sends is read and
 * dropped, because closing with unread bytes would reset the connection and could lose the answer.
 * A connection that misses its deadline is closed in any state.
 *
 * Health probes are served no matter what other callers do: every connection is accepted and read
 * immediately. If there is no room, the oldest connection that has its answer is closed, otherwise
 * the oldest that has not sent its request yet. Callers that are slow to receive may have only a
 * part of the connections. Nothing blocks the loop for long: large answers are sent in pieces, in turns
 * of SLICE_NS.
 *
 * Memory: each connection buffers one piece at most; the answers themselves are shared; bodies are
 * bounded by BODIES_MAX. Only opening can fail; later a failure closes only its own connection. */
#include "admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin_internal.h"
#include "admin/respond.h"
#include "base/mem.h"
#include "net/bind.h"
#include "net/listener.h"

#define BODIES_MAX (2 * (size_t)FL_ADMIN_BODY_MAX) /* bytes, of all callers together */
#define LINGER_MS 1000
#define CONNECTIONS_MAX 1024u /* if the source does not say how many */
#define PIECE ((size_t)16 * 1024)
#define SLICE_NS (1000u * 1000)
#define FIRST_READ 2048u

/* --- sending ---------------------------------------------------------------------------------- */

static size_t length_of(const struct fl_admin_connection *connection)
{
	return connection->request.method == FL_HTTP_HEAD ? connection->answer->head_len
							  : connection->answer->len;
}

/* Sends the next piece if the last one has been sent. */
static void send_piece(struct fl_admin_connection *connection)
{
	struct fl_answer *answer = connection->answer;
	size_t len = length_of(connection) - connection->sent;
	int rc;

	len = len < PIECE ? len : PIECE;
	rc = fl_sock_write(connection->sock, (const uint8_t *)answer->data + connection->sent, len);
	if (rc < 0) {
		fl_admin_connection_close(connection);
		return;
	}
	connection->sent += len;
	if (connection->sent == length_of(connection)) {
		connection->answer = NULL;
		fl_answer_unref(answer);
		fl_admin_connection_move(connection, SENT);
		fl_sock_shutdown(connection->sock);
		if (connection->has_ended) {
			fl_admin_connection_close(connection);
		}
	}
}

static void on_send(uv_idle_t *idle)
{
	struct fl_admin *admin = idle->data;
	uint64_t begun = uv_hrtime();
	bool has_more = true;

	while (has_more && uv_hrtime() - begun < SLICE_NS) {
		struct fl_admin_connection *connection = admin->first[SLOW];

		has_more = false;
		while (connection != NULL) {
			struct fl_admin_connection *next = connection->next;

			if (connection->answer != NULL && !fl_sock_pending(connection->sock)) {
				send_piece(connection);
				has_more = true;
			}
			connection = next;
		}
	}
	if (!has_more) {
		(void)uv_idle_stop(idle);
	}
}

static void start_sending(struct fl_admin_connection *connection, struct fl_answer *answer)
{
	struct fl_admin *admin = connection->admin;

	connection->waits = false;
	connection->answer = fl_answer_ref(answer);
	connection->sent = 0;
	if (length_of(connection) <= PIECE) {
		send_piece(connection);
		return;
	}
	FL_REQUIRE(uv_idle_start(&admin->sender, on_send) == 0);
	fl_admin_connection_move(connection, SLOW);
}

static void on_drain(void *user)
{
	const struct fl_admin_connection *connection = user;

	if (connection->answer != NULL) {
		FL_REQUIRE(uv_idle_start(&connection->admin->sender, on_send) == 0);
	}
}

/* --- answering -------------------------------------------------------------------------------- */

/* Checks both ends: a loopback address reaches only processes of this pod, whatever NAT rules there
 * are. */
static bool is_on_loopback(const struct fl_sock *sock)
{
	struct fl_inet end = fl_sock_peer_inet(sock);

	if (end.family == 0 || !fl_inet_is_loopback(&end)) {
		return false;
	}
	end = fl_sock_local_inet(sock);
	return end.family != 0 && fl_inet_is_loopback(&end);
}

static bool may_see_details(const struct fl_admin_connection *connection)
{
	const struct fl_admin *admin = connection->admin;

	return admin->has_control || admin->source.everywhere(admin->source.user) ||
	       is_on_loopback(connection->sock);
}

/* Returns a reference; NULL: the answer is not ready yet. */
static struct fl_answer *make_answer(struct fl_admin_connection *connection,
				     const struct fl_admin_caller *caller)
{
	struct fl_admin *admin = connection->admin;
	int document = fl_admin_document(&connection->request, caller);
	struct fl_answer_again *again = document >= 0 ? &admin->documents[document] : NULL;
	uint64_t round = admin->is_going_on ? admin->round : 0, begun = uv_hrtime();
	struct fl_text text = {.is_soft = true};
	struct fl_answer *answer = again != NULL ? fl_answer_again(again, begun, round) : NULL;
	size_t head_len = 0;

	if (answer != NULL) {
		return fl_answer_ref(answer);
	}
	if (!fl_admin_respond(&connection->request, caller, &text, &head_len)) {
		return NULL;
	}
	answer = fl_answer_new(&text, head_len);
	if (again != NULL) {
		fl_answer_made(again, answer, uv_hrtime() - begun, round);
	}
	return answer;
}

static void give_answer(struct fl_admin_connection *connection)
{
	struct fl_admin *admin = connection->admin;
	struct fl_admin_caller caller = {.source = &admin->source,
					 .control = admin->has_control ? &admin->control : NULL,
					 .may_see_details = may_see_details(connection),
					 .uid = connection->uid,
					 .body = {connection->body, connection->body_len},
					 .asker = connection};
	struct fl_answer *answer = make_answer(connection, &caller);

	if (answer != NULL) {
		start_sending(connection, answer);
		fl_answer_unref(answer);
	} else {
		connection->waits = true;
		fl_admin_connection_move(connection, SLOW);
	}
}

/* --- reading ---------------------------------------------------------------------------------- */

static void refuse(struct fl_http_request *request, unsigned status, const char *reason)
{
	request->refused = status;
	request->reason = reason;
}

/* Makes room for the body, if the request has one. */
static void expect_body(struct fl_admin_connection *connection)
{
	struct fl_http_request *request = &connection->request;
	struct fl_admin *admin = connection->admin;

	if (!admin->has_control || !fl_admin_wants_body(request)) {
		return;
	}
	if (request->body_len > FL_ADMIN_BODY_MAX) {
		refuse(request, 413, "the body is too large: the maximum is 9 MiB");
		return;
	}
	if (admin->bodies + request->body_len > BODIES_MAX) {
		refuse(request, 503, "others are asking the same: try again in a moment");
		return;
	}
	connection->body = malloc((size_t)request->body_len + 1);
	if (connection->body == NULL) {
		refuse(request, 503, "the sidecar has no memory for this now; ask again");
		return;
	}
	connection->body_len = (size_t)request->body_len;
	admin->bodies += connection->body_len;
}

/* False: the body is not complete yet. */
static bool take_body(struct fl_admin_connection *connection, const uint8_t *data, size_t len)
{
	size_t left = connection->body_len - connection->body_have;

	len = len < left ? len : left;
	if (len > 0) {
		memcpy(connection->body + connection->body_have, data, len);
		connection->body_have += len;
	}
	return connection->body_have == connection->body_len;
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	struct fl_admin_connection *connection = user;

	if (connection->list != READING) {
		return;
	}
	if (!connection->has_head) {
		if (!fl_http_feed(&connection->request, data, len)) {
			return;
		}
		connection->has_head = true;
		expect_body(connection);
		if (connection->request.head_end < len) {
			data += connection->request.head_end;
			len -= connection->request.head_end;
		} else {
			len = 0;
		}
	}
	if (take_body(connection, data, len)) {
		give_answer(connection);
	}
}

/* A caller that has closed its side still gets its answer: `nc -N` closes its side immediately. */
static void on_eof(void *user)
{
	struct fl_admin_connection *connection = user;

	if (connection->list == SLOW) {
		connection->has_ended = true;
	} else {
		fl_admin_connection_close(connection);
	}
}

static void on_error(void *user, int sys)
{
	(void)sys;
	fl_admin_connection_close(user);
}

static const struct fl_sock_events connection_events = {on_data, on_eof, on_drain, on_error};

/* --- accepting -------------------------------------------------------------------------------- */

/* Decides before the connection counts and before the caller has sent anything. */
static bool is_welcome(const struct fl_admin *admin, const struct fl_sock *sock, uid_t *ret_uid)
{
	return !admin->has_control || (fl_sock_peer_uid(sock, ret_uid, NULL) == FL_OK &&
				       admin->control.may_ask(admin->control.user, *ret_uid));
}

static void turn_away(struct fl_sock *sock)
{
	static const char answer[] =
		"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Content-Length: 63\r\nConnection: close\r\n\r\n"
		"only root, the sidecar's own user and the agent's may ask here\n";

	if (fl_sock_write(sock, (const uint8_t *)answer, sizeof(answer) - 1) < 0) {
		fl_sock_close(sock, 0);
	} else {
		fl_sock_hang_up(sock, LINGER_MS);
	}
}

/* A caller whose request is already there, as with probes, is answered immediately and then no
 * longer counts. */
static void read_at_once(struct fl_admin_connection *connection)
{
	uint8_t buf[FIRST_READ];
	bool is_gone = false;

	connection->is_gone = &is_gone;
	fl_sock_read_now(connection->sock, buf, sizeof(buf));
	if (!is_gone) {
		connection->is_gone = NULL;
		fl_sock_read_start(connection->sock);
	}
}

static void on_connection(void *user, struct fl_listener *listener)
{
	struct fl_admin *admin = user;
	struct fl_sock *sock = fl_listener_accept(listener, &connection_events, NULL);
	struct fl_admin_connection *connection;
	uid_t uid = 0;

	if (sock == NULL) {
		return;
	}
	if (!is_welcome(admin, sock, &uid)) {
		turn_away(sock);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		fl_sock_close(sock, 0);
		return;
	}
	connection->admin = admin;
	connection->sock = sock;
	connection->uid = uid;
	fl_http_init(&connection->request);
	fl_sock_set_user(sock, &connection_events, connection);
	fl_admin_connection_enter(connection);
	read_at_once(connection);
}

void fl_admin_go_on(struct fl_admin *admin)
{
	struct fl_admin_connection *connection, *next;

	if (admin == NULL) {
		return;
	}
	admin->round++;
	admin->is_going_on = true;
	for (connection = admin->first[SLOW]; connection != NULL; connection = next) {
		next = connection->next; /* answering leaves other connections in their lists */
		if (connection->waits) {
			give_answer(connection);
		}
	}
	admin->is_going_on = false;
}

/* --- open and close --------------------------------------------------------------------------- */

/* mode: permissions of a Unix socket. */
static int open_listener(struct fl_net *net, const struct fl_addr *addr, mode_t mode,
			 const struct fl_admin_source *source, struct fl_admin **ret,
			 struct fl_err *err)
{
	struct fl_admin *admin;
	int fd = fl_inherited_take(source->inherited, addr);
	int rc = FL_OK;

	if (fd < 0) {
		rc = fl_net_bind(addr, false, mode, &fd, err);
	}
	if (rc != FL_OK) {
		return rc;
	}
	admin = fl_new(sizeof(*admin));
	admin->net = net;
	admin->source = *source;
	admin->source.inherited = NULL;
	admin->source.connections_max =
		source->connections_max > 0 ? source->connections_max : CONNECTIONS_MAX;
	rc = fl_listener_open(net, fd, addr->kind == FL_ADDR_UNIX, on_connection, admin,
			      &admin->listener, err);
	if (rc != FL_OK) {
		free(admin);
		return rc;
	}
	FL_REQUIRE(uv_timer_init(net->loop, &admin->timer) == 0);
	FL_REQUIRE(uv_idle_init(net->loop, &admin->sender) == 0);
	admin->timer.data = admin->sender.data = admin;
	admin->open_handles = 2;
	*ret = admin;
	return FL_OK;
}

int fl_admin_open(struct fl_net *net, const struct fl_addr *addr,
		  const struct fl_admin_source *source, struct fl_admin **ret, struct fl_err *err)
{
	return open_listener(net, addr, 0660, source, ret, err);
}

int fl_admin_open_control(struct fl_net *net, const char *path,
			  const struct fl_admin_source *source,
			  const struct fl_admin_control *control, struct fl_admin **ret,
			  struct fl_err *err)
{
	struct fl_addr addr = {.kind = FL_ADDR_UNIX, .sa_len = sizeof(addr.sa.un)};
	struct fl_admin *admin;
	struct stat st;
	int rc;

	addr.sa.un.sun_family = AF_UNIX;
	/* conf has checked the length */
	(void)snprintf(addr.sa.un.sun_path, sizeof(addr.sa.un.sun_path), "%s", path);
	/* The agent may run as a user that the INI does not name, so access is decided by uid, not
	 * by mode. */
	rc = open_listener(net, &addr, 0666, source, &admin, err);
	if (rc != FL_OK) {
		return rc;
	}
	admin->control = *control;
	admin->has_control = true;
	if (lstat(path, &st) == 0) {
		admin->path = fl_strdup(path);
		admin->dev = st.st_dev;
		admin->ino = st.st_ino;
	}
	*ret = admin;
	return FL_OK;
}

/* Another sidecar may have taken over the path since. */
static void remove_path(const struct fl_admin *admin)
{
	struct stat st;

	if (admin->path != NULL && lstat(admin->path, &st) == 0 && st.st_dev == admin->dev &&
	    st.st_ino == admin->ino) {
		(void)unlink(admin->path);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_admin *admin = handle->data;

	if (--admin->open_handles > 0) {
		return;
	}
	free(admin->path);
	free(admin);
}

int fl_admin_fd(const struct fl_admin *admin)
{
	return fl_listener_fd(admin->listener);
}

void fl_admin_hand_over(struct fl_admin *admin)
{
	if (admin == NULL || admin->listener == NULL) {
		return;
	}
	fl_listener_close(admin->listener);
	admin->listener = NULL;
	free(admin->path);
	admin->path = NULL;
}

void fl_admin_close(struct fl_admin *admin)
{
	if (admin == NULL) {
		return;
	}
	admin->is_closing = true;
	remove_path(admin);
	if (admin->listener != NULL) {
		fl_listener_end(admin->listener);
	}
	for (size_t i = 0; i < LISTS; i++) {
		while (admin->first[i] != NULL) {
			fl_admin_connection_close(admin->first[i]);
		}
	}
	for (size_t i = 0; i < FL_ADMIN_DOCUMENTS; i++) {
		fl_answer_forget(&admin->documents[i]);
	}
	uv_close((uv_handle_t *)&admin->timer, on_closed);
	uv_close((uv_handle_t *)&admin->sender, on_closed);
}
