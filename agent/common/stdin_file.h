/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_STDIN_FILE_H
#define FL_AGENT_COMMON_STDIN_FILE_H
/* stdin_file - stdin in place of a file. The image has no shell and no tar, so this is the only way to bring a file from
 * another machine into a container: `kubectl exec -i ... < FILE`.
 *
 * stdin is read once, to its end, with the limit of a file. Blocks. Main thread. */
#include "conf/conf.h"

/* Its name in messages. */
#define FL_STDIN_NAME "/dev/stdin"

/* Does the word mean stdin: `-`, or FL_STDIN_NAME itself? */
bool fl_stdin_is(const char *word);

/* fl_conf_load() and fl_conf_load_lenient(), from stdin if path means stdin. Errors: as those. */
int fl_stdin_load_conf(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
		       struct fl_problems *problems) FL_MUST_USE;
int fl_stdin_load_conf_lenient(const char *path, struct fl_conf **ret, char **ret_text,
			       size_t *ret_len, struct fl_problems *problems) FL_MUST_USE;

/* Copies stdin into a file in memory, for functions that need a path; the file exists until the process ends. ret_path: to
 * free(). Errors: FL_ERR_LIMIT, stdin is larger than a file may be; FL_ERR_INVALID, it is empty; FL_ERR_IO. */
int fl_stdin_to_file(char **ret_path, struct fl_err *err) FL_MUST_USE;

#endif
