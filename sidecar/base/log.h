/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_LOG_H
#define FL_BASE_LOG_H
/* log - one line per event, as JSON or as text, to a file descriptor.
 *
 * Lines are built from typed fields and appended to a buffer that belongs to one thread; they
 * leave in whole lines by write(2) before the loop may sleep (fl_log_flush), when the buffer is
 * full, or at once for warnings and errors. A line longer than the buffer is cut and marked. Writing never allocates.
 * Untrusted text (peer IDs, file contents) is escaped; control characters never reach a terminal.
 *
 * Thread: a struct fl_log belongs to one thread. Several may share a descriptor: O_APPEND files
 * and pipes get whole lines, because no write is longer than PIPE_BUF (4096). A descriptor that
 * refuses (EAGAIN, EPIPE, ENOSPC) loses those lines, counted in `lost`; it never blocks traffic
 * for longer than one write and never ends the process. Layers below `conn` do not log. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fl_log_level { FL_LOG_DEBUG, FL_LOG_INFO, FL_LOG_WARN, FL_LOG_ERROR };
enum fl_log_format { FL_LOG_JSON, FL_LOG_TEXT };

struct fl_log {
	int fd;
	enum fl_log_level level; /* lines below this are dropped before they are built */
	enum fl_log_format format;
	const char *program; /* borrowed: "fairlead-sidecar" */
	uint64_t lost;       /* lines that the descriptor refused */
	size_t len;
	size_t lines;
	char buf[4096];
};

/* A line being built. Lives on the stack; the functions below append a field each. Field names
 * are literals of ours ([a-z_]); values are escaped. */
struct fl_line {
	struct fl_log *log; /* NULL: below the level, all calls are no-ops */
	enum fl_log_level level;
	size_t len;
	bool cut;
	char buf[4096];
};

void fl_log_init(struct fl_log *log, int fd, enum fl_log_level level, enum fl_log_format format,
		 const char *program);
void fl_log_flush(struct fl_log *log);
uint64_t fl_log_lost(const struct fl_log *log); /* any thread */

/* A descriptor for standard error that refuses instead of blocking: a log reader that hangs must not
 * stop traffic. If the system allows it (files, pipes, terminals), it is a separate open file, because O_NONBLOCK on the
 * inherited one would affect every process that shares it; otherwise it is standard error itself. */
int fl_log_open_stderr(void);

/* Begins a line: {"time":"2026-11-21T07:44:37.123456Z","level":"info","msg":msg ...} or, as text,
 * `2026-11-21T07:44:37.123456Z info msg key=value`. */
void fl_line_begin(struct fl_line *line, struct fl_log *log, enum fl_log_level level,
		   const char *msg);
/* A NULL value leaves the field out. */
void fl_line_str(struct fl_line *line, const char *name, const char *value);
/* Appends the field whole or not at all: for a text whose meaning a cut would change, such as one to paste. */
void fl_line_whole(struct fl_line *line, const char *name, const char *value);
void fl_line_strn(struct fl_line *line, const char *name, const char *value, size_t len);
void fl_line_u64(struct fl_line *line, const char *name, uint64_t value);
void fl_line_i64(struct fl_line *line, const char *name, int64_t value);
void fl_line_seconds(struct fl_line *line, const char *name, uint64_t ns); /* 1.234567 */
void fl_line_bool(struct fl_line *line, const char *name, bool value);
void fl_line_end(struct fl_line *line);

/* Shorthand for a line without fields. */
void fl_log_msg(struct fl_log *log, enum fl_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
