/* SPDX-License-Identifier: GPL-3.0-or-later */
/* admin - connections and their deadlines; http.c reads, respond.c answers.
 *
 * A connection: accepted -> head, and on the control socket body, complete -> answered and our side closed -> the
 * caller closes. What the caller sends besides is read and dropped, because closing with unread bytes
 * would reset the connection and could cost the answer. One that is not through within its time
 * is closed, wherever it stands; so is the oldest when there is no room for the next, because who
 * is silent must not keep probes out.
 *
 * Only opening fails; from then on a failure costs its own connection. */
#include "admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/http.h"
#include "admin/respond.h"
#include "base/mem.h"

#define CONNECTIONS_MAX 64
#define REQUEST_MS 10000
#define LINGER_MS 1000

struct connection {
	struct fl_admin *admin;
	struct fl_sock *sock;
	uint64_t deadline; /* uv_now() in ms */
	uid_t uid;         /* on the control socket */
	bool forbidden;
	bool waiting; /* its request is there, the answer is not */
	bool answered;
	bool has_head;
	uint8_t *body; /* owned; NULL: none is wanted; may hold a key */
	size_t body_len, body_have;
	struct fl_http_request request;
};

struct fl_admin {
	struct fl_net *net;
	struct fl_admin_source source;
	struct fl_admin_control control;
	bool has_control;
	char *path; /* of the control socket; and which file it was when we made it */
	dev_t dev;
	ino_t ino;
	struct fl_listener *listener;
	uv_timer_t timer;                                /* at the oldest connection's deadline */
	struct connection *connections[CONNECTIONS_MAX]; /* oldest, and so next due, first */
	size_t count;
	bool is_closing;
};

/* --- deadlines -------------------------------------------------------------------------------- */

static void connection_close(struct connection *connection);

static void on_timer(uv_timer_t *timer)
{
	struct fl_admin *admin = timer->data;
	uint64_t now = uv_now(admin->net->loop);

	while (admin->count > 0 && admin->connections[0]->deadline <= now) {
		connection_close(admin->connections[0]);
	}
}

static void arm_timer(struct fl_admin *admin)
{
	uint64_t now = uv_now(admin->net->loop), due;

	if (admin->count == 0) {
		(void)uv_timer_stop(&admin->timer);
		return;
	}
	due = admin->connections[0]->deadline;
	FL_REQUIRE(uv_timer_start(&admin->timer, on_timer, due > now ? due - now : 0, 0) == 0);
}

/* --- connections ------------------------------------------------------------------------------ */

static void connection_close(struct connection *connection)
{
	struct fl_admin *admin = connection->admin;
	size_t i = 0;

	while (admin->connections[i] != connection) {
		i++;
	}
	admin->count--;
	for (; i < admin->count; i++) {
		admin->connections[i] = admin->connections[i + 1];
	}
	fl_sock_close(connection->sock, connection->answered ? LINGER_MS : 0);
	fl_wipe_free(connection->body, connection->body_len);
	free(connection);
	if (!admin->is_closing) {
		arm_timer(admin);
	}
}

/* Both ends: an address of loopback reaches nobody but processes of this pod, whatever rules of NAT there are. */
static bool is_on_loopback(const struct fl_sock *sock)
{
	struct fl_inet end = fl_sock_peer_inet(sock);

	if (end.family == 0 || !fl_inet_is_loopback(&end)) {
		return false;
	}
	end = fl_sock_local_inet(sock);
	return end.family != 0 && fl_inet_is_loopback(&end);
}

static bool may_see_details(const struct connection *connection)
{
	const struct fl_admin *admin = connection->admin;

	return admin->has_control || admin->source.everywhere(admin->source.user) ||
	       is_on_loopback(connection->sock);
}

static void send_answer(struct connection *connection)
{
	const struct fl_admin *admin = connection->admin;
	struct fl_admin_caller caller = {.source = &admin->source,
					 .control = admin->has_control ? &admin->control : NULL,
					 .may_see_details = may_see_details(connection),
					 .uid = connection->uid,
					 .body = {connection->body, connection->body_len},
					 .asker = connection};
	struct fl_text text = {0};
	int rc;

	if (connection->forbidden) {
		connection->request.refused = 403;
		connection->request.reason =
			"only root, the sidecar's own user and the agent's may ask here";
	}
	connection->waiting = !fl_admin_respond(&connection->request, &caller, &text);
	if (connection->waiting) {
		return;
	}
	rc = fl_sock_write(connection->sock, (const uint8_t *)text.data, text.len);
	fl_text_done(&text);
	if (rc < 0) {
		connection_close(connection);
		return;
	}
	connection->answered = true;
	fl_sock_shutdown(connection->sock);
}

/* Only who may ask is listened to, and only where there is something to say. */
static void expect_body(struct connection *connection)
{
	struct fl_http_request *request = &connection->request;

	if (!connection->admin->has_control || connection->forbidden ||
	    !fl_admin_wants_body(request)) {
		return;
	}
	if (request->body_len > FL_ADMIN_BODY_MAX) {
		request->refused = 413;
		request->reason = "the body is too large: 9 MiB are the most";
		return;
	}
	connection->body = malloc((size_t)request->body_len + 1);
	connection->body_len = connection->body != NULL ? (size_t)request->body_len : 0;
}

/* False: more of it has to come. */
static bool take_body(struct connection *connection, const uint8_t *data, size_t len)
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
	struct connection *connection = user;

	if (connection->answered || connection->waiting) {
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
		send_answer(connection);
	}
}

static void on_eof(void *user)
{
	connection_close(user);
}

static void on_drain(void *user)
{
	(void)user;
}

static void on_error(void *user, int sys)
{
	(void)sys;
	connection_close(user);
}

static const struct fl_sock_events connection_events = {on_data, on_eof, on_drain, on_error};

/* Who may not ask gets an answer like everybody else, when the question is there. */
static void judge_caller(struct connection *connection)
{
	const struct fl_admin *admin = connection->admin;

	connection->forbidden =
		admin->has_control &&
		(fl_sock_peer_uid(connection->sock, &connection->uid, NULL) != FL_OK ||
		 !admin->control.may_ask(admin->control.user, connection->uid));
}

static void on_connection(void *user, struct fl_listener *listener)
{
	struct fl_admin *admin = user;
	struct fl_sock *sock = fl_listener_accept(listener, &connection_events, NULL);
	struct connection *connection;

	if (sock == NULL) {
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		fl_sock_close(sock, 0);
		return;
	}
	if (admin->count == CONNECTIONS_MAX) {
		connection_close(admin->connections[0]);
	}
	connection->admin = admin;
	connection->sock = sock;
	connection->deadline = uv_now(admin->net->loop) + REQUEST_MS;
	judge_caller(connection);
	fl_http_init(&connection->request);
	fl_sock_set_user(sock, &connection_events, connection);
	admin->connections[admin->count++] = connection;
	arm_timer(admin);
	fl_sock_read_start(sock);
}

void fl_admin_go_on(struct fl_admin *admin)
{
	/* From behind: answering may close the connection. */
	for (size_t i = admin != NULL ? admin->count : 0; i > 0; i--) {
		if (admin->connections[i - 1]->waiting) {
			send_answer(admin->connections[i - 1]);
		}
	}
}

/* --- open and close --------------------------------------------------------------------------- */

/* mode: of a Unix socket. */
static int open_listener(struct fl_net *net, const struct fl_addr *addr, mode_t mode,
			 const struct fl_admin_source *source, struct fl_admin **ret,
			 struct fl_err *err)
{
	struct fl_admin *admin;
	int fd = -1;
	int rc;

	rc = fl_net_bind(addr, false, mode, &fd, err);
	if (rc != FL_OK) {
		return rc;
	}
	admin = fl_new(sizeof(*admin));
	admin->net = net;
	admin->source = *source;
	rc = fl_listener_open(net, fd, addr->kind == FL_ADDR_UNIX, on_connection, admin,
			      &admin->listener, err);
	if (rc != FL_OK) {
		free(admin);
		return rc;
	}
	FL_REQUIRE(uv_timer_init(net->loop, &admin->timer) == 0);
	admin->timer.data = admin;
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
	/* The agent may run as another user, whom nobody has named: who may ask is judged by uid. */
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

/* Another sidecar may have taken the path since. */
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

	free(admin->path);
	free(admin);
}

void fl_admin_close(struct fl_admin *admin)
{
	if (admin == NULL) {
		return;
	}
	admin->is_closing = true;
	remove_path(admin);
	fl_listener_close(admin->listener);
	while (admin->count > 0) {
		connection_close(admin->connections[admin->count - 1]);
	}
	uv_close((uv_handle_t *)&admin->timer, on_closed);
}
