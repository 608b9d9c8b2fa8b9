/* SPDX-License-Identifier: GPL-3.0-or-later */
/* log - builds lines on the caller's stack and writes whole lines to a descriptor.
 *
 * A line grows field by field in struct fl_line; TAIL bytes stay free for its end, so that a cut line
 * is still valid JSON. fl_line_end() moves it to the log's buffer. write(2) empties the buffer
 * before it would overflow, at once for warnings and errors, and in fl_log_flush().
 * If the descriptor refuses, the lines in the buffer are lost and counted in `lost`; after a short write
 * the rest waits for the next flush. The process must ignore SIGPIPE. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hex.h"
#include "base/utf8.h"

/* `,"cut":true}` and a newline; the closing quote of a cut value. */
#define TAIL 16
#define LINE_LIMIT (sizeof(((struct fl_line *)NULL)->buf) - TAIL)

static const char *level_text(enum fl_log_level level)
{
	switch (level) {
	case FL_LOG_DEBUG:
		return "debug";
	case FL_LOG_INFO:
		return "info";
	case FL_LOG_WARN:
		return "warn";
	case FL_LOG_ERROR:
		return "error";
	}
	return "error";
}

/* --- the buffer of the thread -------------------------------------------------------------- */

void fl_log_init(struct fl_log *log, int fd, enum fl_log_level level, enum fl_log_format format,
		 const char *program)
{
	log->fd = fd;
	log->level = level;
	log->format = format;
	log->program = program;
	log->lost = 0;
	log->len = 0;
	log->lines = 0;
}

int fl_log_open_stderr(void)
{
	int fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd >= 0 ? fd : STDERR_FILENO;
}

static size_t count_lines(const char *data, size_t len)
{
	size_t lines = 0;

	for (size_t i = 0; i < len; i++) {
		lines += data[i] == '\n';
	}
	return lines;
}

static void drop_buffer(struct fl_log *log)
{
	/* Another thread may read it. */
	__atomic_store_n(&log->lost, log->lost + log->lines, __ATOMIC_RELAXED);
	log->len = 0;
	log->lines = 0;
}

uint64_t fl_log_lost(const struct fl_log *log)
{
	return __atomic_load_n(&log->lost, __ATOMIC_RELAXED);
}

void fl_log_flush(struct fl_log *log)
{
	ssize_t sent;

	if (log->len == 0) {
		return;
	}
	do {
		sent = write(log->fd, log->buf, log->len);
	} while (sent < 0 && errno == EINTR);
	if (sent <= 0) {
		drop_buffer(log);
	} else if ((size_t)sent < log->len) {
		/* Keep the rest: otherwise the next line would follow a torn one. */
		log->len -= (size_t)sent;
		memmove(log->buf, log->buf + sent, log->len);
		log->lines = count_lines(log->buf, log->len);
	} else {
		log->len = 0;
		log->lines = 0;
	}
}

static void push_line(struct fl_log *log, const char *data, size_t len)
{
	if (len > sizeof(log->buf) - log->len) {
		fl_log_flush(log);
	}
	if (len > sizeof(log->buf) - log->len) {
		drop_buffer(log); /* what a short write left behind still fills it */
	}
	memcpy(log->buf + log->len, data, len);
	log->len += len;
	log->lines++;
}

/* --- raw text ------------------------------------------------------------------------------ */

/* The closing quote of the last value may stand beyond the limit, in the tail. */
static size_t room(const struct fl_line *line)
{
	return line->cut || line->len > LINE_LIMIT ? 0 : LINE_LIMIT - line->len;
}

/* All or nothing, and nothing more once the line is cut. */
static bool put(struct fl_line *line, const char *data, size_t len)
{
	if (line->cut || len > room(line)) {
		line->cut = true;
		return false;
	}
	memcpy(line->buf + line->len, data, len);
	line->len += len;
	return true;
}

static bool put_text(struct fl_line *line, const char *text)
{
	return put(line, text, strlen(text));
}

static size_t format_u64(char *end, uint64_t value)
{
	size_t len = 0;

	do {
		*--end = (char)('0' + value % 10);
		value /= 10;
		len++;
	} while (value > 0);
	return len;
}

/* --- escaping ------------------------------------------------------------------------------ */

static bool put_unicode_escape(struct fl_line *line, uint32_t point)
{
	const uint8_t bytes[2] = {(uint8_t)(point >> 8), (uint8_t)point};
	char text[2 + FL_HEX_TEXT(sizeof(bytes))] = "\\u";

	(void)fl_hex(bytes, sizeof(bytes), text + 2);
	return put(line, text, sizeof(text) - 1);
}

/* Puts one character of value, escaped; returns its length in value, 0 when it did not fit.
 * quoted: inside quotes, where `"` and `\` need escaping too. */
static size_t put_character(struct fl_line *line, const char *value, size_t len, bool quoted)
{
	uint32_t point = 0;
	size_t taken = fl_utf8_sequence(value, len, &point);
	bool fits;

	if (taken == 0) {
		return put_unicode_escape(line, 0xfffd) ? 1 : 0; /* not UTF-8 */
	}
	if (point == '\n') {
		fits = put(line, "\\n", 2);
	} else if (fl_utf8_is_control(point)) {
		fits = put_unicode_escape(line, point);
	} else if (quoted && (point == '"' || point == '\\')) {
		char pair[2] = {'\\', (char)point};
		fits = put(line, pair, 2);
	} else {
		fits = put(line, value, taken);
	}
	return fits ? taken : 0;
}

/* The number of characters at the start of value that need no escaping, at most as many as fit: usually all of
 * them, and a line has hundreds. */
static size_t plain_run(const struct fl_line *line, const char *value, size_t len)
{
	size_t most = room(line), run = 0;

	len = len < most ? len : most;
	while (run < len && value[run] >= ' ' && value[run] < 0x7f && value[run] != '"' &&
	       value[run] != '\\') {
		run++;
	}
	return run;
}

static void put_escaped(struct fl_line *line, const char *value, size_t len, bool quoted)
{
	size_t at = plain_run(line, value, len);

	(void)put(line, value, at);
	while (at < len) {
		size_t taken = put_character(line, value + at, len - at, quoted);

		if (taken == 0) {
			return;
		}
		at += taken;
	}
}

/* The closing quote comes out of the tail, so that a cut value is closed too. */
static void put_quoted(struct fl_line *line, const char *value, size_t len)
{
	if (put(line, "\"", 1)) {
		put_escaped(line, value, len, true);
		line->buf[line->len++] = '"';
	}
}

/* --- fields -------------------------------------------------------------------------------- */

static bool skip(const struct fl_line *line)
{
	return line->log == NULL || line->cut;
}

/* `,"name":` or ` name=`; also checks for room for a short value, so that no name is without a value. */
static bool put_name(struct fl_line *line, const char *name)
{
	bool json = line->log->format == FL_LOG_JSON;
	size_t len = strlen(name);

	if (len + 32 > room(line)) {
		line->cut = true;
		return false;
	}
	return put_text(line, json ? ",\"" : " ") && put(line, name, len) &&
	       put_text(line, json ? "\":" : "=");
}

/* In text format, a value without blanks, quotes and similar characters is not quoted. */
static bool is_bare(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') {
			return false;
		}
	}
	return len > 0;
}

static void put_digits_field(struct fl_line *line, const char *name, const char *digits, size_t len)
{
	if (!skip(line) && put_name(line, name)) {
		(void)put(line, digits, len);
	}
}

void fl_line_str(struct fl_line *line, const char *name, const char *value)
{
	if (value != NULL) {
		fl_line_strn(line, name, value, strlen(value));
	}
}

void fl_line_strn(struct fl_line *line, const char *name, const char *value, size_t len)
{
	if (value == NULL || skip(line) || !put_name(line, name)) {
		return;
	}
	if (line->log->format == FL_LOG_TEXT && is_bare(value, len)) {
		put_escaped(line, value, len, false);
	} else {
		put_quoted(line, value, len);
	}
}

void fl_line_whole(struct fl_line *line, const char *name, const char *value)
{
	size_t before = line->len;

	fl_line_str(line, name, value);
	if (line->cut) {
		line->len = before;
	}
}

void fl_line_u64(struct fl_line *line, const char *name, uint64_t value)
{
	char text[20];
	size_t len = format_u64(text + sizeof(text), value);

	put_digits_field(line, name, text + sizeof(text) - len, len);
}

void fl_line_i64(struct fl_line *line, const char *name, int64_t value)
{
	char text[21];
	size_t len =
		format_u64(text + sizeof(text), value < 0 ? 0 - (uint64_t)value : (uint64_t)value);

	if (value < 0) {
		text[sizeof(text) - ++len] = '-';
	}
	put_digits_field(line, name, text + sizeof(text) - len, len);
}

void fl_line_seconds(struct fl_line *line, const char *name, uint64_t ns)
{
	char text[32];
	char *end = text + sizeof(text);
	uint64_t us = ns / 1000;
	size_t len = format_u64(end, us % 1000000);

	while (len < 6) {
		*(end - ++len) = '0';
	}
	*(end - ++len) = '.';
	len += format_u64(end - len, us / 1000000);
	put_digits_field(line, name, end - len, len);
}

void fl_line_bool(struct fl_line *line, const char *name, bool value)
{
	put_digits_field(line, name, value ? "true" : "false", value ? 4 : 5);
}

/* --- lines --------------------------------------------------------------------------------- */

/* 2026-11-21T07:44:37.123456Z */
static void put_time(struct fl_line *line)
{
	char text[40];
	struct timespec now = {0};
	struct tm utc = {0};
	size_t len;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &utc);
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &utc);
	for (long us = now.tv_nsec / 1000, unit = 100000; unit > 0; unit /= 10) {
		text[len++] = (char)('0' + us / unit % 10);
	}
	text[len++] = 'Z';
	(void)put(line, text, len);
}

void fl_line_begin(struct fl_line *line, struct fl_log *log, enum fl_log_level level,
		   const char *msg)
{
	line->log = log != NULL && level >= log->level ? log : NULL;
	line->level = level;
	line->len = 0;
	line->cut = false;
	if (line->log == NULL) {
		return;
	}
	if (log->format == FL_LOG_JSON) {
		(void)put_text(line, "{\"time\":\"");
		put_time(line);
		(void)put_text(line, "\",\"level\":\"");
		(void)put_text(line, level_text(level));
		(void)put_text(line, "\",\"msg\":");
		put_quoted(line, msg, strlen(msg));
	} else {
		put_time(line);
		(void)put_text(line, " ");
		(void)put_text(line, level_text(level));
		(void)put_text(line, " ");
		put_escaped(line, msg, strlen(msg), false);
	}
	fl_line_str(line, "program", log->program);
}

void fl_line_end(struct fl_line *line)
{
	struct fl_log *log = line->log;
	const char *end;
	size_t len;

	if (log == NULL) {
		return;
	}
	if (log->format == FL_LOG_JSON) {
		end = line->cut ? ",\"cut\":true}\n" : "}\n";
	} else {
		end = line->cut ? " cut=true\n" : "\n";
	}
	len = strlen(end);
	FL_REQUIRE(len <= sizeof(line->buf) - line->len);
	memcpy(line->buf + line->len, end, len);
	push_line(log, line->buf, line->len + len);
	if (line->level >= FL_LOG_WARN) {
		fl_log_flush(log);
	}
	line->log = NULL; /* a line ends once */
}

void fl_log_msg(struct fl_log *log, enum fl_log_level level, const char *fmt, ...)
{
	struct fl_line line;
	char msg[2048];
	va_list args;

	if (log == NULL || level < log->level) {
		return;
	}
	va_start(args, fmt);
	if (vsnprintf(msg, sizeof(msg), fmt, args) >= (int)sizeof(msg)) {
		memcpy(msg + sizeof(msg) - 4, "...", 4);
	}
	va_end(args);
	fl_line_begin(&line, log, level, msg);
	fl_line_end(&line);
}
