/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The last line of a process that cannot go on. It is JSON, as all lines are by default: whoever collects them needs no second
 * parser for the one that matters most. The log that the INI asks for is not known here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static void begin(struct fl_log *log, struct fl_line *line, const char *msg)
{
	fl_log_init(log, STDERR_FILENO, FL_LOG_ERROR, FL_LOG_JSON, program_invocation_short_name);
	fl_line_begin(line, log, FL_LOG_ERROR, msg);
}

static _Noreturn void end(struct fl_log *log, struct fl_line *line)
{
	fl_line_end(line);
	fl_log_flush(log);
	abort();
}

_Noreturn void fl_require_failed(const char *cond, const char *file, int line)
{
	struct fl_log log;
	struct fl_line last;

	begin(&log, &last, "invariant violated");
	fl_line_str(&last, "detail", cond);
	fl_line_str(&last, "file", file);
	fl_line_i64(&last, "line", line);
	fl_line_str(&last, "remedy", "this is a defect: report it, with this line");
	end(&log, &last);
}

_Noreturn void fl_out_of_memory(size_t count, size_t size)
{
	struct fl_log log;
	struct fl_line last;

	begin(&log, &last, "out of memory");
	fl_line_u64(&last, "items", count);
	fl_line_u64(&last, "item_bytes", size);
	fl_line_str(&last, "remedy", "raise the memory limit of the container");
	end(&log, &last);
}
