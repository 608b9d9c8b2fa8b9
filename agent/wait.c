/* SPDX-License-Identifier: GPL-3.0-or-later */
/* wait - one short HTTP request after the other, with pauses that grow from 10 ms to half a
 * second.
 *
 * Every step of a request has the deadline of the whole, and of 5 s at most, so that a sidecar
 * that accepts and then hangs is asked again. Whatever goes wrong becomes the reason that is
 * printed when time is up. */
#include "agent/wait.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"

#define REQUEST_MS 5000
#define LEAST_MS 250
#define FIRST_PAUSE_MS 10
#define LAST_PAUSE_MS 500
#define ANSWER_MAX 8192

#define REQUEST                                                                                    \
	"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"                         \
	"User-Agent: fairlead-agent/" FL_VERSION "\r\n\r\n"

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms)
{
	struct timespec ts = {ms / 1000, (ms % 1000) * 1000000};

	(void)nanosleep(&ts, NULL);
}

/* --- where ------------------------------------------------------------------------------------ */

static void to_loopback(struct fl_addr *addr, bool v6)
{
	memset(&addr->sa, 0, sizeof(addr->sa));
	addr->kind = FL_ADDR_IP;
	if (v6) {
		addr->sa.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
						     .sin6_port = htons(addr->port),
						     .sin6_addr = IN6ADDR_LOOPBACK_INIT};
		addr->sa_len = sizeof(addr->sa.in6);
	} else {
		addr->sa.in = (struct sockaddr_in){.sin_family = AF_INET,
						   .sin_port = htons(addr->port),
						   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		addr->sa_len = sizeof(addr->sa.in);
	}
}

/* Where to ask a listener on addr: one bound to all addresses answers on loopback. Of a dual-stack
 * one, machines may have either family only, so the attempts take turns. */
static struct fl_addr reachable(const struct fl_addr *addr, unsigned attempt)
{
	struct fl_addr to = *addr;

	if (addr->kind == FL_ADDR_ANY) {
		to_loopback(&to, attempt % 2 == 1);
	} else if (addr->sa.any.sa_family == AF_INET && addr->sa.in.sin_addr.s_addr == INADDR_ANY) {
		to_loopback(&to, false);
	} else if (addr->sa.any.sa_family == AF_INET6 &&
		   IN6_IS_ADDR_UNSPECIFIED(&addr->sa.in6.sin6_addr)) {
		to_loopback(&to, true);
	}
	return to;
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

static int connect_to(const struct fl_addr *to, int64_t deadline, int *ret_fd, struct fl_err *err)
{
	char text[FL_ADDR_TEXT];
	socklen_t len = sizeof(int);
	int sys = 0, rc;
	int fd = socket(to->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot make a socket");
	}
	rc = connect(fd, &to->sa.any, to->sa_len) == 0 ? 0 : errno;
	if (rc == EINPROGRESS) {
		rc = wait_for(fd, POLLOUT, deadline, err);
		if (rc == FL_OK) {
			rc = getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) == 0 ? sys : errno;
		}
	}
	if (rc > 0) {
		rc = fl_err_sys(err, rc, "cannot reach the sidecar's admin endpoint at %s",
				fl_addr_format(to, text));
	}
	if (rc != 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return FL_OK;
}

/* Sends the request and collects the answer until the other end closes; buf is NUL-terminated. */
static int converse(int fd, int64_t deadline, char *buf, size_t size, struct fl_err *err)
{
	const char *request = REQUEST;
	size_t sent = 0, have = 0;
	int rc = FL_OK;

	while (rc == FL_OK && sent < sizeof(REQUEST) - 1) {
		ssize_t n = send(fd, request + sent, sizeof(REQUEST) - 1 - sent, MSG_NOSIGNAL);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN || errno == EINTR) {
			rc = wait_for(fd, POLLOUT, deadline, err);
		} else {
			rc = fl_err_sys(err, errno, "cannot ask the sidecar");
		}
	}
	while (rc == FL_OK && have < size - 1) {
		ssize_t n = recv(fd, buf + have, size - 1 - have, 0);

		if (n == 0) {
			break;
		}
		if (n > 0) {
			have += (size_t)n;
		} else if (errno == EAGAIN || errno == EINTR) {
			rc = wait_for(fd, POLLIN, deadline, err);
		} else {
			rc = fl_err_sys(err, errno, "the sidecar broke off its answer");
		}
	}
	buf[have] = '\0';
	return rc;
}

/* Status and the body's first line. */
static int judge_answer(char *answer, struct fl_err *err)
{
	char *body = strstr(answer, "\r\n\r\n");

	/* "HTTP/1.1 200 ..." */
	if (strncmp(answer, "HTTP/1.", 7) != 0 || strlen(answer) < 12 || answer[8] != ' ' ||
	    body == NULL) {
		return fl_err_set(err, FL_ERR_PEER,
				  "what answers there is not Fairlead's admin endpoint");
	}
	if (strncmp(answer + 9, "200", 3) == 0) {
		return FL_OK;
	}
	body += 4;
	body[strcspn(body, "\r\n")] = '\0';
	for (char *c = body; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			*c = '?';
		}
	}
	return fl_err_set(err, FL_ERR_PEER, "%s", body[0] != '\0' ? body : "it gives no reason");
}

static int ask(const struct fl_addr *to, int64_t deadline, struct fl_err *err)
{
	char answer[ANSWER_MAX];
	int64_t now = now_ms();
	int fd = -1, rc;

	/* Not less than LEAST_MS, or the last attempt would only ever say that it had no time. */
	deadline = deadline < now + LEAST_MS ? now + LEAST_MS : deadline;
	deadline = deadline > now + REQUEST_MS ? now + REQUEST_MS : deadline;
	rc = connect_to(to, deadline, &fd, err);
	if (rc != FL_OK) {
		return rc;
	}
	rc = converse(fd, deadline, answer, sizeof(answer), err);
	close(fd);
	return rc == FL_OK ? judge_answer(answer, err) : rc;
}

/* --- until ------------------------------------------------------------------------------------ */

static int ask_until(const struct fl_addr *admin, unsigned timeout_ms)
{
	int64_t start = now_ms(), deadline = start + timeout_ms, pause = FIRST_PAUSE_MS;
	struct fl_err err;

	for (unsigned attempt = 0;; attempt++) {
		struct fl_addr to = reachable(admin, attempt);
		int64_t left;

		if (ask(&to, deadline, &err) == FL_OK) {
			(void)puts("ready");
			return 0;
		}
		left = deadline - now_ms();
		if (left <= 0) {
			break;
		}
		pause_ms(pause < left ? pause : left);
		pause = pause * 2 < LAST_PAUSE_MS ? pause * 2 : LAST_PAUSE_MS;
	}
	(void)fprintf(stderr, "fairlead-agent: not ready after %g s: %s\n", timeout_ms / 1000.0,
		      err.text);
	return 1;
}

int fl_wait(const char *conf_path, unsigned timeout_ms)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf;
	int rc, code = 2;

	rc = fl_conf_load(conf_path, &conf, NULL, NULL, &problems);
	if (rc != FL_OK) {
		fl_problems_print(&problems, conf_path, stderr);
	} else if (conf->sidecar.admin.kind == FL_ADDR_NONE) {
		(void)fprintf(stderr,
			      "fairlead-agent: `[sidecar] admin` is empty in %s, so the sidecar "
			      "cannot be asked: set it, for example to 127.0.0.1:15020\n",
			      conf_path);
	} else {
		code = ask_until(&conf->sidecar.admin, timeout_ms);
	}
	if (rc == FL_OK) {
		fl_conf_free(conf);
	}
	fl_problems_done(&problems);
	return code;
}
