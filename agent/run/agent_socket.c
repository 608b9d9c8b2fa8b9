/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent_socket - locks the directory, checks whether another agent listens, and binds. A watch on the path shows when
 * somebody removes it. */
#include "agent/run/agent_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/mem.h"
#include "certs-watch/watch.h"
#include "net/bind.h"
#include "net/rights.h"

#define LOCK_TRIES 10
#define LOCK_PAUSE_NS 10000000 /* an agent holds the lock far shorter */

struct fl_agent_socket {
	struct fl_net *net;
	struct fl_log *log;
	fl_listener_cb on_connection;
	void *user;
	struct fl_listener *listener;
	struct fl_watch *watch; /* of the path */
	uv_timer_t reopen;      /* while the path is not ours */
	uid_t sidecar_uid, agent_uid;
	bool lock_is_told; /* that somebody else holds it */
	char *path;        /* owned */
	struct stat made;  /* device and inode of the path as we made it */
	/* Why the path could not be created again, as logged last; "" if the path exists. */
	char trouble[sizeof(((struct fl_err *)0)->text)];
};

/* --- the directory ---------------------------------------------------------------------------- */

/* Readable for all, whatever our umask is: the sidecar may run as another user. The sandbox has no chmod(). */
static void make_directory(const char *dir)
{
	mode_t before;

	if (fl_guarded_above_is_shared(dir)) {
		before = umask(0022);
		(void)mkdir(dir, 0755);
		(void)umask(before);
	}
}

/* Everybody who may open the directory can lock it, and keep it locked. Then, as with file systems that have no locks, only the
 * short race between two agents remains. */
static void lock_soon(struct fl_agent_socket *agent_socket, int fd, const char *dir)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
			return;
		}
		(void)nanosleep(&pause, NULL);
	}
	if (!agent_socket->lock_is_told) {
		agent_socket->lock_is_told = true;
		fl_log_msg(agent_socket->log, FL_LOG_WARN,
			   "some process keeps %s locked, which only an agent does, and only for a "
			   "moment: going on without the lock",
			   dir);
	}
}

/* Opens the directory of the socket and locks it, so that one of two agents that start at the same time notices the
 * other. */
static int lock_directory(struct fl_agent_socket *agent_socket, int *ret_fd, struct fl_err *err)
{
	const char *path = agent_socket->path, *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);
	char *dir = slash == NULL ? fl_strdup(".") : fl_strndup(path, len > 0 ? len : 1);
	int fd, rc;

	make_directory(dir);
	rc = fl_conf_guard_socket(path, agent_socket->agent_uid, agent_socket->sidecar_uid, err);
	if (rc != FL_OK) {
		free(dir);
		return rc;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		rc = fl_err_set(
			err, FL_ERR_IO,
			"the directory %s of `[agent] socket` does not exist: create it (in "
			"Kubernetes an emptyDir that both containers mount there) or set "
			"`[agent] socket` to another path",
			dir);
	} else if (fd < 0) {
		rc = fl_err_sys(err, errno, "cannot open %s, the directory of `[agent] socket`",
				dir);
	} else {
		lock_soon(agent_socket, fd, dir);
		*ret_fd = fd;
	}
	free(dir);
	return rc;
}

/* --- listening -------------------------------------------------------------------------------- */

/* The name of a process; "" if it is not known. */
static void read_comm(pid_t pid, char *ret, size_t size)
{
	char path[64];
	ssize_t len = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, ret, size - 1);
		close(fd);
	}
	ret[len > 0 ? len : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* FL_ERR_IO, with the name of the process: another process listens there. */
static int check_free(const struct fl_addr *addr, const char *path, struct fl_err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred who = {0};
	socklen_t len = sizeof(who);
	char comm[32];
	int rc = FL_OK;

	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot make a socket");
	}
	(void)fl_rights_refuse(fd);
	/* EAGAIN: it is alive, and its queue is full. */
	if (connect(fd, &addr->sa.any, addr->sa_len) == 0 || errno == EAGAIN) {
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
		read_comm(who.pid, comm, sizeof(comm));
		rc = fl_err_set(
			err, FL_ERR_IO,
			"%s is in use by process %ld (%s, uid %lu): stop it, or set `[agent] "
			"socket` to another path",
			path, (long)who.pid, comm[0] != '\0' ? comm : "name unknown",
			(unsigned long)who.uid);
	}
	fl_rights_close(fd);
	return rc;
}

static int listen_on(struct fl_agent_socket *agent_socket, const struct fl_addr *addr,
		     struct fl_err *err)
{
	/* The uid check refuses other users. The mode must admit a sidecar of another uid, which may share no group with
	 * us. */
	mode_t mode = agent_socket->sidecar_uid == geteuid() ? 0600 : 0666;
	int fd, rc;

	rc = check_free(addr, agent_socket->path, err);
	if (rc == FL_OK) {
		rc = fl_net_bind(addr, false, mode, &fd, err);
	}
	if (rc == FL_OK) {
		rc = fl_listener_open(agent_socket->net, fd, true, agent_socket->on_connection,
				      agent_socket->user, &agent_socket->listener, err);
	}
	if (rc == FL_OK && lstat(agent_socket->path, &agent_socket->made) != 0) {
		memset(&agent_socket->made, 0, sizeof(agent_socket->made));
	}
	return rc;
}

/* Listens on the path, in place of the present listener. */
static int open_path(struct fl_agent_socket *agent_socket, struct fl_err *err)
{
	struct fl_listener *old = agent_socket->listener;
	struct fl_addr addr;
	char *text = fl_format("unix:%s", agent_socket->path);
	int dir = -1;
	int rc = fl_addr_parse(text, FL_ADDR_ALLOW_UNIX, &addr, err);

	free(text);
	if (rc != FL_OK) {
		return fl_err_prefix(err, "`[agent] socket`");
	}
	rc = lock_directory(agent_socket, &dir, err);
	if (rc != FL_OK) {
		return rc;
	}
	rc = listen_on(agent_socket, &addr, err);
	close(dir);
	if (rc == FL_OK && old != NULL) {
		fl_listener_end(old);
	}
	return rc;
}

/* --- a path that somebody removes ------------------------------------------------------------- */

static bool is_path_ours(const struct fl_agent_socket *agent_socket)
{
	struct stat now;

	return lstat(agent_socket->path, &now) == 0 && now.st_dev == agent_socket->made.st_dev &&
	       now.st_ino == agent_socket->made.st_ino;
}

static void on_reopen(uv_timer_t *timer);

/* Open connections stay, but no new one can be made until the path is back. */
static void regain_path(struct fl_agent_socket *agent_socket)
{
	struct fl_err err;

	if (is_path_ours(agent_socket)) {
		return;
	}
	if (open_path(agent_socket, &err) == FL_OK) {
		agent_socket->trouble[0] = '\0';
		fl_log_msg(agent_socket->log, FL_LOG_WARN,
			   "somebody removed our socket %s: it has been made again",
			   agent_socket->path);
		return;
	}
	if (strcmp(agent_socket->trouble, err.text) != 0) {
		memcpy(agent_socket->trouble, err.text, sizeof(agent_socket->trouble));
		fl_log_msg(agent_socket->log, FL_LOG_WARN,
			   "somebody removed our socket, and we cannot make it again yet: %s",
			   err.text);
	}
	FL_REQUIRE(uv_timer_start(&agent_socket->reopen, on_reopen, FL_AGENT_SOCKET_REOPEN_MS, 0) ==
		   0);
}

static void on_reopen(uv_timer_t *timer)
{
	regain_path(timer->data);
}

static void on_path_change(void *user)
{
	regain_path(user);
}

static void on_path_note(void *user, const char *text)
{
	struct fl_agent_socket *agent_socket = user;

	fl_log_msg(agent_socket->log, FL_LOG_WARN, "%s", text);
}

static const struct fl_watch_events path_events = {.on_change = on_path_change,
						   .on_note = on_path_note};

static void watch_path(struct fl_agent_socket *agent_socket)
{
	const char *path = agent_socket->path;

	agent_socket->watch =
		fl_watch_new(agent_socket->net->loop, NULL, &path_events, agent_socket);
	fl_watch_set(agent_socket->watch, &path, 1);
}

/* --- the interface ---------------------------------------------------------------------------- */

int fl_agent_socket_open(struct fl_net *net, const struct fl_conf *conf, struct fl_log *log,
			 fl_listener_cb on_connection, void *user, struct fl_agent_socket **ret,
			 struct fl_err *err)
{
	struct fl_agent_socket *agent_socket = fl_new(sizeof(*agent_socket));
	int rc;

	agent_socket->net = net;
	agent_socket->log = log;
	agent_socket->on_connection = on_connection;
	agent_socket->user = user;
	agent_socket->sidecar_uid = conf->agent.sidecar_uid;
	agent_socket->agent_uid = conf->agent.uid;
	agent_socket->path = fl_strdup(conf->agent.socket);
	rc = open_path(agent_socket, err);
	if (rc != FL_OK) {
		free(agent_socket->path);
		free(agent_socket);
		return rc;
	}
	FL_REQUIRE(uv_timer_init(net->loop, &agent_socket->reopen) == 0);
	agent_socket->reopen.data = agent_socket;
	watch_path(agent_socket);
	/* Somebody may have removed it before the watch began. */
	regain_path(agent_socket);
	*ret = agent_socket;
	return FL_OK;
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_agent_socket *agent_socket = handle->data;

	free(agent_socket->path);
	free(agent_socket);
}

void fl_agent_socket_close(struct fl_agent_socket *agent_socket)
{
	/* Remove only the socket that we created: a successor may have put its own there. */
	if (is_path_ours(agent_socket)) {
		(void)unlink(agent_socket->path);
	}
	fl_watch_close(agent_socket->watch);
	fl_listener_end(agent_socket->listener);
	uv_close((uv_handle_t *)&agent_socket->reopen, on_closed);
}
