/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/common/stdin_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "certs-watch/files.h"
#include "conf/problems.h"

#define MAX ((size_t)FL_SOURCE_FILE_MAX) /* the limit of an INI, too */

bool fl_stdin_is(const char *word)
{
	return strcmp(word, "-") == 0 || strcmp(word, FL_STDIN_NAME) == 0;
}

/* ret_text: to free(), with a NUL at its end. */
static int read_stdin(char **ret_text, size_t *ret_len, struct fl_err *err)
{
	char *text = fl_new(MAX + 2);
	size_t len = 0;
	ssize_t got = 1;
	int rc = FL_OK;

	while (got != 0 && len <= MAX) {
		got = read(STDIN_FILENO, text + len, MAX + 1 - len);
		if (got < 0 && errno != EINTR) {
			rc = fl_err_sys(err, errno, "stdin cannot be read");
			break;
		}
		len += got > 0 ? (size_t)got : 0;
	}
	if (rc == FL_OK && len > MAX) {
		rc = fl_err_set(err, FL_ERR_LIMIT, "there are more than %zu bytes", MAX);
	} else if (rc == FL_OK && len == 0) {
		rc = fl_err_set(err, FL_ERR_INVALID,
				"it is empty; kubectl exec passes stdin on only with -i");
	}
	if (rc != FL_OK) {
		fl_wipe_free(text, MAX + 2);
		return rc;
	}
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return FL_OK;
}

typedef int parse_fn(const char *path, const char *text, size_t len, struct fl_conf **ret,
		     struct fl_problems *problems);

static int load_from_stdin(parse_fn *parse, struct fl_conf **ret, char **ret_text, size_t *ret_len,
			   struct fl_problems *problems)
{
	char *text = NULL;
	size_t len = 0;
	struct fl_err err;
	int rc = read_stdin(&text, &len, &err);

	if (rc != FL_OK) {
		fl_problem_error(problems, 0, "%s", err.text);
		return rc;
	}
	rc = parse(FL_STDIN_NAME, text, len, ret, problems);
	if (rc == FL_OK && ret_text != NULL) {
		*ret_text = text;
		*ret_len = len;
	} else {
		free(text);
	}
	return rc;
}

int fl_stdin_load_conf(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
		       struct fl_problems *problems)
{
	return fl_stdin_is(path) ? load_from_stdin(fl_conf_parse, ret, ret_text, ret_len, problems)
				 : fl_conf_load(path, ret, ret_text, ret_len, problems);
}

int fl_stdin_load_conf_lenient(const char *path, struct fl_conf **ret, char **ret_text,
			       size_t *ret_len, struct fl_problems *problems)
{
	return fl_stdin_is(path)
		       ? load_from_stdin(fl_conf_parse_lenient, ret, ret_text, ret_len, problems)
		       : fl_conf_load_lenient(path, ret, ret_text, ret_len, problems);
}

int fl_stdin_to_file(char **ret_path, struct fl_err *err)
{
	char *text = NULL;
	size_t len = 0;
	int rc = read_stdin(&text, &len, err);
	int fd;

	if (rc != FL_OK) {
		return rc;
	}
	fd = memfd_create("fairlead", MFD_CLOEXEC);
	/* It is created with mode 0777, which would be reported as a finding. */
	if (fd < 0 || fchmod(fd, 0600) != 0 || !fl_fd_write_all(fd, text, len)) {
		rc = fl_err_sys(err, errno, "cannot make a file in memory");
		if (fd >= 0) {
			(void)close(fd);
		}
	} else {
		*ret_path = fl_format("/proc/self/fd/%d", fd);
	}
	fl_wipe_free(text, MAX + 2);
	return rc;
}
