/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_STDIN_FILE_H
#define FL_AGENT_COMMON_STDIN_FILE_H
/* input - a candidate from stdin: the image has no shell and no tar, so a file of somebody's own machine comes into
 * a container only so (`kubectl exec -i ... < FILE`).
 *
 * Read once, to its end, and bounded as a file is. Main thread. */
#include "conf/conf.h"

/* What messages call it. */
#define FL_STDIN_NAME "/dev/stdin"

/* `-`, or FL_STDIN_NAME itself. */
bool fl_stdin_is(const char *word);

/* fl_conf_load(), of stdin where path is fl_stdin_is(). */
int fl_stdin_load_conf(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
		       struct fl_problems *problems) FL_MUST_USE;

/* What stdin has, as a file in memory, for what takes a path; it is there until the process ends. ret_path: to free().
 * Errors: FL_ERR_LIMIT, FL_ERR_INVALID (it is empty), FL_ERR_IO. */
int fl_stdin_to_file(char **ret_path, struct fl_err *err) FL_MUST_USE;

#endif
