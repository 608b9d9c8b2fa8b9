/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Log lines: exact bytes, escaping, bounds, and failures of the descriptor. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define BUFFER sizeof(((struct fl_log *)NULL)->buf)
#define TIME_LEN (sizeof("2026-11-21T07:44:37.123456Z") - 1)

static int pipe_ends[2];
static struct fl_log log_under_test;
static char output[1 << 17];

static void open_pipe(void)
{
	cr_assert_eq(pipe2(pipe_ends, O_NONBLOCK | O_CLOEXEC), 0);
	(void)signal(SIGPIPE, SIG_IGN);
}

static void close_pipe(void)
{
	(void)close(pipe_ends[0]);
	(void)close(pipe_ends[1]);
}

TestSuite(log, .init = open_pipe, .fini = close_pipe);

static struct fl_log *start(enum fl_log_level level, enum fl_log_format format)
{
	fl_log_init(&log_under_test, pipe_ends[1], level, format, NULL);
	return &log_under_test;
}

/* All output of the log since the last call. */
static const char *received(void)
{
	size_t len = 0;
	ssize_t got;

	while ((got = read(pipe_ends[0], output + len, sizeof(output) - 1 - len)) > 0) {
		len += (size_t)got;
	}
	output[len] = '\0';
	return output;
}

/* The one line received, after its time. */
static const char *rest(enum fl_log_format format)
{
	const char *line = received();
	size_t skip = TIME_LEN + (format == FL_LOG_JSON ? strlen("{\"time\":\"\",") : 1);

	cr_assert_gt(strlen(line), skip, "nothing received");
	cr_assert_eq(line[strlen(line) - 1], '\n');
	return line + skip;
}

static void all_fields(struct fl_log *log)
{
	struct fl_line line;

	fl_line_begin(&line, log, FL_LOG_WARN, "connection closed");
	fl_line_str(&line, "peer", "spiffe://td/a");
	fl_line_str(&line, "none", NULL);
	fl_line_str(&line, "empty", "");
	fl_line_strn(&line, "part", "abcdef", 3);
	fl_line_u64(&line, "most", UINT64_MAX);
	fl_line_u64(&line, "zero", 0);
	fl_line_i64(&line, "least", INT64_MIN);
	fl_line_i64(&line, "minus", -7);
	fl_line_seconds(&line, "took", 1234567891);
	fl_line_seconds(&line, "short", 999);
	fl_line_seconds(&line, "exact", 2000001000);
	fl_line_bool(&line, "yes", true);
	fl_line_bool(&line, "no", false);
	fl_line_end(&line);
}

Test(log, test_log__json__has_every_type_of_field)
{
	all_fields(start(FL_LOG_INFO, FL_LOG_JSON));
	cr_expect_str_eq(rest(FL_LOG_JSON),
			 "\"level\":\"warn\",\"msg\":\"connection closed\","
			 "\"peer\":\"spiffe://td/a\",\"empty\":\"\",\"part\":\"abc\","
			 "\"most\":18446744073709551615,\"zero\":0,"
			 "\"least\":-9223372036854775808,\"minus\":-7,"
			 "\"took\":1.234567,\"short\":0.000000,\"exact\":2.000001,"
			 "\"yes\":true,\"no\":false}\n");
}

Test(log, test_log__text__has_every_type_of_field)
{
	all_fields(start(FL_LOG_INFO, FL_LOG_TEXT));
	cr_expect_str_eq(rest(FL_LOG_TEXT),
			 "warn connection closed peer=spiffe://td/a empty=\"\" part=abc "
			 "most=18446744073709551615 zero=0 least=-9223372036854775808 minus=-7 "
			 "took=1.234567 short=0.000000 exact=2.000001 yes=true no=false\n");
}

Test(log, test_log__time__is_utc_with_microseconds)
{
	static const char shape[] = "2026-11-21T07:44:37.123456Z error x\n";
	time_t before = time(NULL);
	const char *line;
	struct tm utc = {0};
	struct timespec after;

	fl_log_msg(start(FL_LOG_INFO, FL_LOG_TEXT), FL_LOG_ERROR, "x");
	line = received();
	cr_assert_eq(strlen(line), strlen(shape));
	for (size_t i = 0; shape[i] != '\0'; i++) {
		bool digit = shape[i] >= '0' && shape[i] <= '9';

		cr_expect(digit ? line[i] >= '0' && line[i] <= '9' : line[i] == shape[i], "%s",
			  line);
	}
	cr_assert_not_null(strptime(line, "%Y-%m-%dT%H:%M:%S", &utc));
	cr_expect_geq(timegm(&utc), before);
	/* time() may lag behind the clock that the line has, by a tick. */
	(void)clock_gettime(CLOCK_REALTIME, &after);
	cr_expect_leq(timegm(&utc), after.tv_sec);
}

Test(log, test_log__program__is_a_field)
{
	struct fl_log *log = start(FL_LOG_INFO, FL_LOG_TEXT);

	log->program = "fairlead-sidecar";
	fl_log_msg(log, FL_LOG_ERROR, "x %d", 1);
	cr_expect_str_eq(rest(FL_LOG_TEXT), "error x 1 program=fairlead-sidecar\n");
}

Test(log, test_log__hostile_text__is_escaped)
{
	static const struct {
		const char *value;
		const char *json;
		const char *text;
	} rows[] = {
		{"a\"b\\c", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\""},
		{"a b", "\"a b\"", "\"a b\""},
		{"a=b", "\"a=b\"", "\"a=b\""},
		{"line\nforged=1", "\"line\\nforged=1\"", "\"line\\nforged=1\""},
		{"\x1b[31mred\r\t\x7f", "\"\\u001b[31mred\\u000d\\u0009\\u007f\"",
		 "\"\\u001b[31mred\\u000d\\u0009\\u007f\""},
		{"\xc2\x9b", "\"\\u009b\"", "\"\\u009b\""},     /* C1: a one-byte ESC [ */
		{"\xe2\x80\xae", "\"\\u202e\"", "\"\\u202e\""}, /* right-to-left override */
		{"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"", "\"gr\xc3\xbc\xc3\x9f\""},
		{"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\"\xf0\x9f\x98\x80\""},
		{"\xff", "\"\\ufffd\"", "\"\\ufffd\""},
		{"\xc0\x80", "\"\\ufffd\\ufffd\"", "\"\\ufffd\\ufffd\""}, /* overlong */
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"", "\"\\ufffd\\ufffd\\ufffd\""},
		{"\xe2\x82", "\"\\ufffd\\ufffd\"", "\"\\ufffd\\ufffd\""}, /* cut short */
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"",
		 "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* above U+10FFFF */
	};
	static const enum fl_log_format formats[] = {FL_LOG_JSON, FL_LOG_TEXT};

	for (size_t f = 0; f < FL_COUNT_OF(formats); f++) {
		for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
			struct fl_log *log = start(FL_LOG_INFO, formats[f]);
			bool json = formats[f] == FL_LOG_JSON;
			struct fl_line line;
			char want[200];

			fl_line_begin(&line, log, FL_LOG_ERROR, "m");
			fl_line_str(&line, "v", rows[i].value);
			fl_line_end(&line);
			(void)snprintf(want, sizeof(want),
				       json ? "\"level\":\"error\",\"msg\":\"m\",\"v\":%s}\n"
					    : "error m v=%s\n",
				       json ? rows[i].json : rows[i].text);
			cr_expect_str_eq(rest(formats[f]), want, "row %zu", i);
		}
	}
}

Test(log, test_log__hostile_message__stays_one_line)
{
	fl_log_msg(start(FL_LOG_INFO, FL_LOG_TEXT), FL_LOG_ERROR, "a\nb \"c\" \x1b[2J");
	cr_expect_str_eq(rest(FL_LOG_TEXT), "error a\\nb \"c\" \\u001b[2J\n");
	fl_log_msg(start(FL_LOG_INFO, FL_LOG_JSON), FL_LOG_ERROR, "a\nb \"c\"");
	cr_expect_str_eq(rest(FL_LOG_JSON), "\"level\":\"error\",\"msg\":\"a\\nb \\\"c\\\"\"}\n");
}

Test(log, test_log__below_the_level__nothing_is_built)
{
	struct fl_log *log = start(FL_LOG_WARN, FL_LOG_JSON);
	struct fl_line line;

	fl_line_begin(&line, log, FL_LOG_INFO, "x");
	fl_line_str(&line, "a", "b");
	fl_line_u64(&line, "n", 1);
	fl_line_seconds(&line, "s", 1);
	fl_line_bool(&line, "t", true);
	fl_line_end(&line);
	fl_log_msg(log, FL_LOG_DEBUG, "x");
	fl_log_msg(NULL, FL_LOG_ERROR, "x");
	fl_log_flush(log);
	cr_expect_str_empty(received());
	fl_log_msg(log, FL_LOG_WARN, "x");
	cr_expect_str_not_empty(received());
}

Test(log, test_log__info__waits_for_the_flush_and_a_warning_takes_it_along)
{
	struct fl_log *log = start(FL_LOG_DEBUG, FL_LOG_TEXT);

	fl_log_msg(log, FL_LOG_INFO, "one");
	fl_log_msg(log, FL_LOG_DEBUG, "two");
	cr_expect_str_empty(received());
	fl_log_flush(log);
	cr_expect_not_null(strstr(received(), "info one\n"));
	cr_expect_not_null(strstr(output, "debug two\n"));
	fl_log_msg(log, FL_LOG_INFO, "three");
	fl_log_msg(log, FL_LOG_WARN, "four");
	cr_expect_not_null(strstr(received(), "info three\n"));
	cr_expect_not_null(strstr(output, "warn four\n"));
	cr_expect_eq(log->lost, 0);
}

Test(log, test_log__many_lines__leave_in_whole_lines_before_the_buffer_overflows)
{
	struct fl_log *log = start(FL_LOG_INFO, FL_LOG_JSON);
	size_t lines = 0;

	for (unsigned i = 0; i < 400; i++) {
		fl_log_msg(log, FL_LOG_INFO, "line %u", i);
		cr_assert_leq(log->len, BUFFER);
	}
	fl_log_flush(log);
	for (const char *at = received(); *at != '\0'; at = strchr(at, '\n') + 1) {
		char want[40];

		(void)snprintf(want, sizeof(want), "\"msg\":\"line %zu\"}\n", lines++);
		cr_assert_eq(strncmp(at, "{\"time\":\"", 9), 0);
		cr_assert_eq(strncmp(strstr(at, "\"msg\""), want, strlen(want)), 0);
	}
	cr_expect_eq(lines, 400);
}

/* A value of any length is either complete, or the line says that it was cut. */
Test(log, test_log__any_length__fits_the_buffer_and_stays_json)
{
	static char value[5000];

	for (size_t len = 3900; len < 4200; len++) {
		struct fl_log *log = start(FL_LOG_INFO, FL_LOG_JSON);
		struct fl_line line;
		size_t total;

		memset(value, len % 2 == 0 ? 'a' : '"', len);
		fl_line_begin(&line, log, FL_LOG_ERROR, "m");
		fl_line_strn(&line, "v", value, len);
		fl_line_u64(&line, "n", 12345);
		fl_line_end(&line);
		total = strlen(received());
		cr_assert_leq(total, BUFFER, "length %zu", len);
		cr_assert_eq(output[total - 1], '\n');
		cr_assert_eq(output[total - 2], '}');
		if (strstr(output, "\"cut\":true}\n") == NULL) {
			cr_assert_not_null(strstr(output, "\",\"n\":12345}\n"), "length %zu", len);
		} else {
			cr_assert_geq(total, BUFFER - 64, "cut early: %zu", total);
			cr_assert(strstr(output, "\",\"cut\":true}\n") != NULL ||
				  strstr(output, "\"n\":12345,\"cut\":true}\n") != NULL);
		}
		cr_assert_eq(log->lost, 0);
	}
}

/* The closing quote of a value that fills the line exactly is beyond the limit; nothing may follow it. */
Test(log, test_log__value_that_fills_the_line__is_followed_by_nothing)
{
	static char value[4200], later[4200];

	memset(later, 'b', sizeof(later) - 1);
	for (int format = FL_LOG_JSON; format <= FL_LOG_TEXT; format++) {
		for (size_t len = 3900; len < sizeof(value); len++) {
			struct fl_log *log = start(FL_LOG_INFO, (enum fl_log_format)format);
			struct fl_line line;

			memset(value, 'a', len);
			value[0] = ' '; /* quoted, as text too */
			fl_line_begin(&line, log, FL_LOG_ERROR, "m");
			fl_line_strn(&line, "v", value, len);
			fl_line_u64(&line, "number", UINT64_MAX);
			fl_line_str(&line, "later", later);
			cr_assert_leq(line.len, sizeof(line.buf), "length %zu", len);
			fl_line_end(&line);
			size_t total = strlen(received());
			cr_assert_leq(total, BUFFER, "length %zu", len);
			cr_assert_eq(output[total - 1], '\n');
			cr_assert_not_null(strstr(output, format == FL_LOG_JSON ? "\"cut\":true}\n"
										: " cut=true\n"));
		}
	}
}

Test(log, test_log__long_text_line__is_cut_and_marked)
{
	struct fl_log *log = start(FL_LOG_INFO, FL_LOG_TEXT);
	static char value[5000];
	struct fl_line line;
	size_t len;

	memset(value, 'a', sizeof(value));
	fl_line_begin(&line, log, FL_LOG_ERROR, "m");
	fl_line_strn(&line, "v", value, sizeof(value));
	fl_line_bool(&line, "later", true);
	fl_line_end(&line);
	len = strlen(received());
	cr_expect_leq(len, BUFFER);
	cr_expect_str_eq(output + len - strlen("a cut=true\n"), "a cut=true\n");
}

Test(log, test_log__descriptor_refuses__lines_are_counted_as_lost)
{
	struct fl_log *log = start(FL_LOG_INFO, FL_LOG_TEXT);
	char block[4096] = {0};

	while (write(pipe_ends[1], block, sizeof(block)) > 0) {
	}
	fl_log_msg(log, FL_LOG_INFO, "one");
	fl_log_msg(log, FL_LOG_INFO, "two");
	fl_log_flush(log);
	cr_expect_eq(log->lost, 2);
	cr_expect_eq(log->len, 0);
	(void)received();
	fl_log_msg(log, FL_LOG_ERROR, "three");
	cr_expect_str_eq(rest(FL_LOG_TEXT), "error three\n");
	cr_expect_eq(log->lost, 2);
}

Test(log, test_log__nobody_reads__the_process_goes_on)
{
	struct fl_log *log = start(FL_LOG_INFO, FL_LOG_TEXT);

	(void)close(pipe_ends[0]);
	fl_log_msg(log, FL_LOG_ERROR, "x");
	cr_expect_eq(log->lost, 1);
	fl_log_init(log, -1, FL_LOG_INFO, FL_LOG_TEXT, NULL);
	fl_log_msg(log, FL_LOG_ERROR, "x");
	cr_expect_eq(log->lost, 1);
}
