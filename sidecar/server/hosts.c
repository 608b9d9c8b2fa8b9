/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "server/hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define BLANKS " \t\r\v\f"

/* --- the text --------------------------------------------------------------------------------------- */

struct found {
	union fl_sockaddr *items;
	size_t count;
};

static bool parse_address(const char *text, int family, union fl_sockaddr *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->any.sa_family = (sa_family_t)family;
	return inet_pton(family, text,
			 family == AF_INET ? (void *)&ret->in.sin_addr
					   : (void *)&ret->in6.sin6_addr) == 1;
}

/* One line: an address, and the names that have it. */
static void search_line(struct found *found, char *line, const char *host, int family)
{
	union fl_sockaddr address;
	char *rest, *word;
	bool is_host = false;

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, BLANKS, &rest);
	if (word == NULL || !parse_address(word, family, &address)) {
		return;
	}
	while (!is_host && (word = strtok_r(NULL, BLANKS, &rest)) != NULL) {
		is_host = strcasecmp(word, host) == 0;
	}
	if (is_host) {
		found->items = fl_grow(found->items, found->count + 1, sizeof(address));
		found->items[found->count++] = address;
	}
}

union fl_sockaddr *fl_hosts_search(char *text, size_t len, const char *host, int family,
				   size_t *ret_count)
{
	struct found found = {0};
	char *end = text + len;

	for (char *line = text; line < end;) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		char *next = newline != NULL ? newline + 1 : end;

		/* The byte behind the last line is the caller's NUL; a NUL inside a line ends it. */
		if (newline != NULL) {
			*newline = '\0';
		}
		search_line(&found, line, host, family);
		line = next;
	}
	*ret_count = found.count;
	return found.items;
}

/* --- the file --------------------------------------------------------------------------------------- */

void fl_hosts_open(struct fl_hosts *hosts, const char *path, struct fl_log *log)
{
	*hosts =
		(struct fl_hosts){.path = path, .log = log, .fd = open(path, O_RDONLY | O_CLOEXEC)};
}

void fl_hosts_close(struct fl_hosts *hosts)
{
	if (hosts->fd >= 0) {
		(void)close(hosts->fd);
	}
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Editors put a new file in the place of the old one. */
static void follow_path(struct fl_hosts *hosts)
{
	struct stat now, ours;
	int fd;

	if (stat(hosts->path, &now) != 0 ||
	    (hosts->fd >= 0 && fstat(hosts->fd, &ours) == 0 && is_same(&now, &ours)) ||
	    (now.st_dev == hosts->refused_dev && now.st_ino == hosts->refused_ino)) {
		return;
	}
	fd = open(hosts->path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		fl_hosts_close(hosts);
		hosts->fd = fd;
		return;
	}
	hosts->refused_dev = now.st_dev;
	hosts->refused_ino = now.st_ino;
	fl_log_msg(
		hosts->log, FL_LOG_WARN,
		"%s is another file now, and the sandbox opens none: the names of the one that was there at the start stay. Restart the sidecar, or write to the file instead of replacing it",
		hosts->path);
}

/* Returns the text with a NUL behind it, to free(). */
static char *read_text(const struct fl_hosts *hosts, size_t *ret_len)
{
	struct stat st;
	size_t size = 0, len = 0;
	ssize_t got = 1;
	char *text;

	if (hosts->fd >= 0 && fstat(hosts->fd, &st) == 0 && st.st_size > 0) {
		size = (size_t)st.st_size < FL_HOSTS_MAX ? (size_t)st.st_size : FL_HOSTS_MAX;
	}
	text = fl_new(size + 1);
	while (len < size && got > 0) {
		got = pread(hosts->fd, text + len, size - len, (off_t)len);
		len += got > 0 ? (size_t)got : 0;
	}
	*ret_len = len;
	return text;
}

union fl_sockaddr *fl_hosts_find(struct fl_hosts *hosts, const char *host, int family,
				 size_t *ret_count)
{
	union fl_sockaddr *found;
	size_t len;
	char *text;

	follow_path(hosts);
	text = read_text(hosts, &len);
	found = fl_hosts_search(text, len, host, family, ret_count);
	free(text);
	return found;
}
