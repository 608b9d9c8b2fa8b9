/* SPDX-License-Identifier: GPL-3.0-or-later */
/* admin_client - connects, sends, and reads until the other end closes; all steps share one deadline. An answer that is
 * shorter than its Content-Length is an error. */
#include "agent/tools/admin_client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/values.h"
#include "net/rights.h"

/* Bytes, head included. The /status of an INI of 1 MiB that is full of short sections has about 12 MB, and twice as many if
 * all of them have failed. */
#define ANSWER_MAX (32u * 1024 * 1024)
#define PIECE 4096
#define FULL_PAUSE_MS 10

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- where ------------------------------------------------------------------------------------ */

/* NULL: it cannot be read, and the reason is on stderr. */
static struct fl_conf *load(const char *conf_path)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	if (fl_conf_load_lenient(conf_path, &conf, NULL, NULL, &problems) != FL_OK) {
		fl_problems_print(&problems, conf_path, stderr);
	}
	fl_problems_done(&problems);
	return conf;
}

char *fl_admin_client_ini_refused(const char *conf_path)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	char *summary = NULL;

	if (fl_conf_load_lenient(conf_path, &conf, NULL, NULL, &problems) == FL_OK &&
	    problems.errors > 0) {
		summary = fl_problems_summary(&problems, conf_path);
	}
	fl_conf_free(conf);
	fl_problems_done(&problems);
	return summary;
}

void fl_admin_client_warn(const char *conf_path)
{
	char *refused = fl_admin_client_ini_refused(conf_path);
	struct fl_text text = {0};

	if (refused != NULL) {
		fl_text_print(&text, "fairlead-agent: the INI is refused: ");
		fl_text_put_clean(&text, refused);
		(void)fprintf(stderr, "%s\n", text.data);
	}
	fl_text_done(&text);
	free(refused);
}

static void to_loopback(struct fl_addr *addr, int family)
{
	addr->kind = FL_ADDR_IP;
	addr->sa = fl_sockaddr_loopback(family, addr->port);
	addr->sa_len = family == AF_INET ? sizeof(addr->sa.in) : sizeof(addr->sa.in6);
}

/* The address to dial for a listener on addr: loopback, if it listens on all addresses. */
static struct fl_addr reachable(const struct fl_addr *addr)
{
	struct fl_addr to = *addr;

	if (addr->kind == FL_ADDR_ANY) {
		to_loopback(&to, AF_INET);
	} else if (fl_addr_is_unspecified(addr)) {
		to_loopback(&to, addr->sa.any.sa_family);
	}
	return to;
}

/* Is it reached over loopback? */
static bool is_on_loopback(const struct fl_addr *addr)
{
	const struct fl_addr to = reachable(addr);

	return fl_addr_is_loopback(&to);
}

static int to_unix(const char *path, struct fl_addr *ret, struct fl_err *err)
{
	char *text = fl_format("unix:%s", path);
	int rc = fl_addr_parse(text, FL_ADDR_ALLOW_UNIX, ret, err);

	free(text);
	return rc;
}

/* --control. The INI is read only to learn which user must answer there, so it may be missing. */
static int take_control(const struct fl_command_line *line, struct fl_admin_client *ret)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	struct fl_err err;

	/* The check of an address would propose `unix:`, which does not belong here. */
	if (fl_value_path(line->control, sizeof(ret->addr.sa.un.sun_path) - 1, &err) != FL_OK ||
	    to_unix(line->control, &ret->addr, &err) != FL_OK) {
		return fl_command_complain(line->command, "--control: %s", err.text);
	}
	ret->sidecar_uid = FL_CONF_DEFAULT_SIDECAR_UID;
	if (fl_conf_load_lenient(line->conf_path, &conf, NULL, NULL, &problems) == FL_OK) {
		ret->sidecar_uid = conf->agent.sidecar_uid;
	}
	fl_conf_free(conf);
	fl_problems_done(&problems);
	return 0;
}

/* --admin */
static int take_admin(const struct fl_command_line *line, struct fl_admin_client *ret)
{
	struct fl_err err;

	return fl_addr_parse(line->admin, FL_ADDR_ALLOW_ANY, &ret->addr, &err) == FL_OK
		       ? 0
		       : fl_command_complain(line->command, "--admin: %s", err.text);
}

static bool has_control(const struct fl_conf *conf, struct fl_admin_client *ret)
{
	ret->sidecar_uid = conf->agent.sidecar_uid;
	/* conf checked the length */
	return conf->sidecar.control != NULL &&
	       to_unix(conf->sidecar.control, &ret->addr, NULL) == FL_OK;
}

int fl_admin_client_find_control(const struct fl_command_line *line, struct fl_admin_client *ret)
{
	struct fl_conf *conf;
	bool found;

	*ret = (struct fl_admin_client){0};
	if (line->control != NULL) {
		return take_control(line, ret);
	}
	conf = load(line->conf_path);
	if (conf == NULL) {
		return 2;
	}
	found = has_control(conf, ret);
	fl_conf_free(conf);
	if (!found) {
		fl_admin_client_warn(line->conf_path);
		(void)fprintf(
			stderr,
			"fairlead-agent: `[sidecar] control` is empty in %s, so the sidecar "
			"accepts no commands: set it, for example to /run/fairlead/sidecar.sock\n",
			line->conf_path);
	}
	return found ? 0 : 2;
}

/* What the INI says. */
static int find(const struct fl_command_line *line, bool details, struct fl_admin_client *ret)
{
	struct fl_conf *conf = load(line->conf_path);
	const struct fl_addr *admin;
	bool found;

	if (conf == NULL) {
		return 2;
	}
	admin = &conf->sidecar.admin;
	found = admin->kind != FL_ADDR_NONE &&
		(!details || conf->sidecar.admin_everywhere || is_on_loopback(admin));
	if (found) {
		ret->addr = *admin;
	} else {
		found = has_control(conf, ret);
	}
	if (!found) {
		fl_admin_client_warn(line->conf_path);
		(void)fprintf(stderr,
			      "fairlead-agent: `[sidecar] %s in %s, and `control` is empty, so the "
			      "sidecar cannot be asked: set one of them, for example `admin = "
			      "127.0.0.1:15020`\n",
			      admin->kind == FL_ADDR_NONE ? "admin` is empty"
							  : "admin` is not on loopback",
			      line->conf_path);
	}
	fl_conf_free(conf);
	return found ? 0 : 2;
}

int fl_admin_client_find(const struct fl_command_line *line, bool details,
			 struct fl_admin_client *ret)
{
	*ret = (struct fl_admin_client){0};
	if (line->control != NULL && line->admin != NULL) {
		return fl_command_complain(line->command,
					   "--control and --admin exclude each other");
	}
	if (line->control != NULL) {
		return take_control(line, ret);
	}
	return line->admin != NULL ? take_admin(line, ret) : find(line, details, ret);
}

/* --- one request ------------------------------------------------------------------------------ */

static int wait_for(int fd, short events, int64_t deadline, struct fl_err *err)
{
	struct pollfd pfd = {.fd = fd, .events = events};
	int64_t left = deadline - now_ms();
	int rc = poll(&pfd, 1, left > 0 ? (int)left : 0);

	if (rc < 0 && errno != EINTR) {
		return fl_err_sys(err, errno, "cannot wait for the sidecar");
	}
	return rc > 0 || left > 0 ? FL_OK
				  : fl_err_set(err, FL_ERR_IO, "the sidecar does not answer");
}

/* 0 or an errno. A Unix socket whose queue is full refuses, and soon has room again. */
static int try_to_connect(int fd, const struct fl_addr *to, int64_t deadline)
{
	int sys;

	while ((sys = connect(fd, &to->sa.any, to->sa_len) == 0 ? 0 : errno) == EAGAIN &&
	       now_ms() < deadline) {
		(void)poll(NULL, 0, FULL_PAUSE_MS);
	}
	return sys;
}

static const char *remedy_of(int sys)
{
	switch (sys) {
	case ECONNREFUSED:
	case ENOENT:
		return "; is it running, with the same INI?";
	case EAGAIN:
		return "; it accepts no connection: is it stopped (SIGSTOP), or does it get no CPU?";
	default:
		return "";
	}
}

static int connect_to(const struct fl_addr *to, int64_t deadline, int *ret_fd, struct fl_err *err)
{
	char text[FL_ADDR_TEXT];
	socklen_t len = sizeof(int);
	struct fl_err cause;
	int sys = 0, rc;
	int fd = socket(to->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot make a socket");
	}
	if (to->kind == FL_ADDR_UNIX) {
		(void)fl_rights_refuse(fd);
	}
	rc = try_to_connect(fd, to, deadline);
	if (rc == EINPROGRESS) {
		rc = wait_for(fd, POLLOUT, deadline, err);
		if (rc == FL_OK) {
			rc = getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) == 0 ? sys : errno;
		}
	}
	if (rc > 0) {
		(void)fl_err_sys(&cause, rc, "cannot reach the sidecar at %s",
				 fl_addr_format(to, text));
		rc = fl_err_set(err, FL_ERR_IO, "%s%s", cause.text, remedy_of(rc));
	}
	if (rc != 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return FL_OK;
}

/* SO_PEERCRED gives the process that listens. */
static int check_answerer(const struct fl_admin_client *target, int fd, struct fl_err *err)
{
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t len = sizeof(who);

	if (target->addr.kind != FL_ADDR_UNIX) {
		return FL_OK;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) {
		return fl_err_sys(err, errno, "cannot learn who listens at the sidecar's socket");
	}
	if (who.uid == 0 || who.uid == geteuid() || who.uid == target->sidecar_uid) {
		return FL_OK;
	}
	return fl_err_set(
		err, FL_ERR_PEER,
		"the process that listens at %s runs as uid %lu, so it is not trusted to be the "
		"sidecar: that runs as `[agent] sidecar_uid` (%lu) or root",
		target->addr.sa.un.sun_path, (unsigned long)who.uid,
		(unsigned long)target->sidecar_uid);
}

/* A machine with a dual-stack listener may have only one of the families. */
static int connect_admin(const struct fl_addr *admin, int64_t deadline, int *ret_fd,
			 struct fl_err *err)
{
	struct fl_addr to = reachable(admin);
	int rc = connect_to(&to, deadline, ret_fd, err);

	if (rc != FL_OK && admin->kind == FL_ADDR_ANY) {
		to_loopback(&to, AF_INET6);
		/* Keep the first error: it names the address that a person would try. */
		rc = connect_to(&to, deadline, ret_fd, NULL) == FL_OK ? FL_OK : rc;
	}
	return rc;
}

static int send_all(int fd, const char *data, size_t len, int64_t deadline, struct fl_err *err)
{
	size_t sent = 0;
	int rc = FL_OK;

	while (rc == FL_OK && sent < len) {
		ssize_t n = send(fd, data + sent, len - sent, MSG_NOSIGNAL);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN || errno == EINTR) {
			rc = wait_for(fd, POLLOUT, deadline, err);
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return FL_OK; /* it answered before it had read everything: the answer says why */
		} else {
			rc = fl_err_sys(err, errno, "cannot ask the sidecar");
		}
	}
	return rc;
}

static int send_request(int fd, const char *method, const char *path, struct fl_span body,
			int64_t deadline, struct fl_err *err)
{
	char *length = body.len > 0 ? fl_format("Content-Length: %zu\r\n", body.len) : NULL;
	char *head = fl_format("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s"
			       "User-Agent: fairlead-agent/" FL_VERSION "\r\n\r\n",
			       method, path, length != NULL ? length : "");
	int rc = send_all(fd, head, strlen(head), deadline, err);

	if (rc == FL_OK) {
		rc = send_all(fd, (const char *)body.data, body.len, deadline, err);
	}
	free(head);
	free(length);
	return rc;
}

static int read_answer(int fd, int64_t deadline, struct fl_text *answer, struct fl_err *err)
{
	char piece[PIECE];
	int rc = FL_OK;

	while (rc == FL_OK) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);

		if (n == 0) {
			return FL_OK;
		}
		if (n > 0 && answer->len + (size_t)n > ANSWER_MAX) {
			rc = fl_err_set(
				err, FL_ERR_PEER,
				"the answer is longer than 32 MB: is this a Fairlead sidecar?");
		} else if (n > 0) {
			fl_text_put(answer, piece, (size_t)n);
		} else if (errno == EAGAIN || errno == EINTR) {
			rc = wait_for(fd, POLLIN, deadline, err);
		} else if (errno == ECONNRESET && answer->len > 0) {
			return FL_OK; /* it did not read everything; Content-Length shows whether the answer is whole */
		} else {
			rc = fl_err_sys(err, errno, "the sidecar broke off its answer");
		}
	}
	return rc;
}

/* The Content-Length in a head that ends at end; -1: there is none. */
static long stated_length(const char *head, const char *end)
{
	static const char name[] = "Content-Length:";

	for (const char *line = head; line != NULL && line < end; line = strstr(line, "\r\n")) {
		line += line > head ? 2 : 0;
		if (strncasecmp(line, name, sizeof(name) - 1) == 0) {
			return strtol(line + sizeof(name) - 1, NULL, 10);
		}
	}
	return -1;
}

static int parse_answer(const struct fl_text *answer, unsigned *ret_status,
			struct fl_text *ret_body, struct fl_err *err)
{
	const char *head = answer->len > 0 ? answer->data : "";
	const char *body = strstr(head, "\r\n\r\n");
	long stated;
	size_t len;

	if (answer->len == 0) {
		return fl_err_set(err, FL_ERR_IO,
				  "the sidecar closed the connection without an answer: it has too "
				  "many requests, or no memory; try again");
	}
	/* "HTTP/1.1 200 ..." */
	if (strncmp(head, "HTTP/1.", 7) != 0 || body == NULL || head[8] != ' ') {
		return fl_err_set(
			err, FL_ERR_PEER,
			"what answers there is not the admin endpoint of a Fairlead sidecar");
	}
	stated = stated_length(head, body);
	body += 4;
	len = answer->len - (size_t)(body - head);
	if (stated >= 0 && (unsigned long)stated > len) {
		return fl_err_set(err, FL_ERR_IO, "the sidecar broke off its answer");
	}
	*ret_status = (unsigned)strtoul(head + 9, NULL, 10);
	fl_text_put(ret_body, body, len);
	return FL_OK;
}

static int request(const struct fl_admin_client *target, const char *method, const char *path,
		   struct fl_span body, unsigned timeout_ms, unsigned *ret_status,
		   struct fl_text *ret_body, struct fl_err *err)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct fl_text answer = {0};
	int fd = -1;
	int rc = connect_admin(&target->addr, deadline, &fd, err);

	if (rc != FL_OK) {
		return rc;
	}
	rc = check_answerer(target, fd, err);
	if (rc == FL_OK) {
		rc = send_request(fd, method, path, body, deadline, err);
	}
	if (rc == FL_OK) {
		rc = read_answer(fd, deadline, &answer, err);
	}
	close(fd);
	if (rc == FL_OK) {
		rc = parse_answer(&answer, ret_status, ret_body, err);
	}
	fl_text_done(&answer);
	return rc;
}

int fl_admin_client_get(const struct fl_admin_client *target, const char *path, unsigned timeout_ms,
			unsigned *ret_status, struct fl_text *ret_body, struct fl_err *err)
{
	return request(target, "GET", path, (struct fl_span){0}, timeout_ms, ret_status, ret_body,
		       err);
}

int fl_admin_client_post(const struct fl_admin_client *control, const char *path,
			 unsigned timeout_ms, unsigned *ret_status, struct fl_text *ret_body,
			 struct fl_err *err)
{
	return request(control, "POST", path, (struct fl_span){0}, timeout_ms, ret_status, ret_body,
		       err);
}

int fl_admin_client_post_body(const struct fl_admin_client *control, const char *path,
			      struct fl_span body, unsigned timeout_ms, unsigned *ret_status,
			      struct fl_text *ret_body, struct fl_err *err)
{
	return request(control, "POST", path, body, timeout_ms, ret_status, ret_body, err);
}

int fl_admin_client_document(const struct fl_admin_client *target, const char *path,
			     unsigned timeout_ms, struct fl_text *ret_body, struct fl_err *err)
{
	unsigned status = 0;
	int rc = fl_admin_client_get(target, path, timeout_ms, &status, ret_body, err);
	char *reason;

	if (rc != FL_OK || status == 200) {
		return rc;
	}
	if (status != 403 && status != 503) {
		return fl_err_set(err, FL_ERR_PEER,
				  "what answers there has no %s of a Fairlead sidecar: is it "
				  "another program, or an older sidecar?",
				  path);
	}
	reason = fl_admin_client_line(ret_body);
	rc = fl_err_set(err, FL_ERR_IO, "the sidecar does not tell%s%s",
			reason[0] != '\0' ? ": " : "", reason);
	free(reason);
	return rc;
}

char *fl_admin_client_line(const struct fl_text *body)
{
	const char *text = body->len > 0 ? body->data : "";
	char *line = fl_strndup(text, strcspn(text, "\r\n"));
	struct fl_text clean = {0};

	fl_text_print(&clean, "%s", ""); /* at least a NUL */
	fl_text_put_clean(&clean, line);
	free(line);
	return clean.data;
}
