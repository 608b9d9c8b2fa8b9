/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "server/hand_over.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/inherited.h"
#include "net/listener.h"

struct fl_hand_over {
	struct fl_listener *listener;
	struct fl_log *log;
	const struct fl_hand_over_events *events;
	void *user;
	struct fl_sock *successor; /* NULL: none has asked */
	char *path;
	dev_t dev;
	ino_t ino;
};

char *fl_hand_over_path(const char *control)
{
	return fl_format("%s" FL_HAND_OVER_SUFFIX, control);
}

static void lose_successor(struct fl_hand_over *hand_over, const char *why)
{
	fl_log_msg(hand_over->log, FL_LOG_WARN,
		   "the sidecar that was to replace this one has ended: going on (%s)", why);
	fl_sock_close(hand_over->successor, 0);
	hand_over->successor = NULL;
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	struct fl_hand_over *hand_over = user;

	if (len == 1 && data[0] == FL_INHERITED_REPLACED) {
		hand_over->events->on_replaced(hand_over->user);
	}
}

static void on_eof(void *user)
{
	lose_successor(user, "it has closed its end");
}

static void on_error(void *user, int sys)
{
	(void)sys;
	lose_successor(user, "its end is gone");
}

static void on_drain(void *user)
{
	(void)user;
}

static const struct fl_sock_events successor_events = {on_data, on_eof, on_drain, on_error};

static void give(struct fl_hand_over *hand_over, struct fl_sock *sock)
{
	int *fds = fl_new(FL_INHERITED_MAX * sizeof(int));
	size_t count = hand_over->events->give(hand_over->user, fds, FL_INHERITED_MAX);

	if (count > 0 && fl_inherited_give(sock, fds, count) == 0) {
		hand_over->successor = sock;
		fl_sock_set_user(sock, &successor_events, hand_over);
		fl_sock_read_start(sock);
		fl_log_msg(hand_over->log, FL_LOG_INFO,
			   "another sidecar asks to replace this one: it has our %zu sockets now",
			   count);
	} else {
		fl_sock_close(sock, 0);
	}
	free(fds);
}

static void on_connection(void *user, struct fl_listener *listener)
{
	struct fl_hand_over *hand_over = user;
	struct fl_sock *sock = fl_listener_accept(listener, &successor_events, hand_over);
	uid_t uid;

	if (sock == NULL) {
		return;
	}
	if (hand_over->successor != NULL || fl_sock_peer_uid(sock, &uid, NULL) != FL_OK ||
	    (uid != geteuid() && uid != 0)) {
		fl_sock_close(sock, 0);
		return;
	}
	give(hand_over, sock);
}

int fl_hand_over_open(struct fl_net *net, int fd, const char *path, struct fl_log *log,
		      const struct fl_hand_over_events *events, void *user,
		      struct fl_hand_over **ret, struct fl_err *err)
{
	struct fl_hand_over *hand_over = fl_new(sizeof(*hand_over));
	struct stat st;
	int rc;

	*hand_over = (struct fl_hand_over){.log = log, .events = events, .user = user};
	rc = fl_listener_open(net, fd, true, on_connection, hand_over, &hand_over->listener, err);
	if (rc != FL_OK) {
		free(hand_over);
		return rc;
	}
	if (lstat(path, &st) == 0) {
		hand_over->path = fl_strdup(path);
		hand_over->dev = st.st_dev;
		hand_over->ino = st.st_ino;
	}
	*ret = hand_over;
	return FL_OK;
}

int fl_hand_over_fd(const struct fl_hand_over *hand_over)
{
	return fl_listener_fd(hand_over->listener);
}

bool fl_hand_over_has_successor(const struct fl_hand_over *hand_over)
{
	return hand_over != NULL && hand_over->successor != NULL;
}

void fl_hand_over_close(struct fl_hand_over *hand_over, bool keep_path)
{
	struct stat st;

	if (hand_over == NULL) {
		return;
	}
	if (!keep_path && hand_over->path != NULL && lstat(hand_over->path, &st) == 0 &&
	    st.st_dev == hand_over->dev && st.st_ino == hand_over->ino) {
		(void)unlink(hand_over->path);
	}
	if (keep_path) {
		fl_listener_close(hand_over->listener); /* another sidecar has it too */
	} else {
		fl_listener_end(hand_over->listener);
	}
	if (hand_over->successor != NULL) {
		fl_sock_close(hand_over->successor, 0);
	}
	free(hand_over->path);
	free(hand_over);
}
