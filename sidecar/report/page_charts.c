/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The charts of the last hour: two series each, one upon the other, a step of the history as one column. */
#include <inttypes.h>
#include <stdio.h>

#include "base/when.h"
#include "report/page_internal.h"

#define HEIGHT 100.0
#define SERIES 2

/* A step that has just begun says nothing about its rate yet. */
#define SHORTEST_S 5.0

typedef uint64_t value_fn(const struct fl_history_step *step);

struct chart {
	const char *id, *heading, *tone; /* tone: a class for its colours */
	const char *names[SERIES];
	value_fn *values[SERIES];
	/* Writes a rate per second, as short as possible. */
	void (*put_rate)(struct fl_text *text, double rate);
	double (*unit)(double rate); /* that put_rate writes it in */
	/* Writes the sum of the hour. */
	void (*put_sum)(struct fl_text *text, uint64_t sum);
};

static uint64_t to_app(const struct fl_history_step *step)
{
	return step->bytes_to_app;
}

static uint64_t to_mesh(const struct fl_history_step *step)
{
	return step->bytes_to_mesh;
}

static uint64_t inbound(const struct fl_history_step *step)
{
	return step->opened[FL_INBOUND];
}

static uint64_t outbound(const struct fl_history_step *step)
{
	return step->opened[FL_OUTBOUND];
}

static uint64_t refused(const struct fl_history_step *step)
{
	return step->refused;
}

static uint64_t failed(const struct fl_history_step *step)
{
	return step->failed;
}

static void put_byte_rate(struct fl_text *text, double rate)
{
	fl_text_put_bytes(text, (uint64_t)(rate + 0.5));
	fl_page_put(text, "/s");
}

static void put_count_rate(struct fl_text *text, double rate)
{
	if (rate >= 100) {
		fl_text_print(text, "%.0f/s", rate);
	} else if (rate >= 1) {
		fl_text_print(text, "%.1f/s", rate);
	} else {
		fl_text_print(text, "%.3g/min", rate * 60);
	}
}

static double byte_unit(double rate)
{
	double unit = 1;

	while (rate >= unit * 1024) {
		unit *= 1024;
	}
	return unit;
}

static double count_unit(double rate)
{
	return rate > 50.0 / 60 ? 1 : 1.0 / 60;
}

static const struct chart charts[] = {
	{"plot-bytes",
	 "Throughput",
	 "",
	 {"to the app", "to the mesh"},
	 {to_app, to_mesh},
	 put_byte_rate,
	 byte_unit,
	 fl_text_put_bytes},
	{"plot-opened",
	 "New connections",
	 "",
	 {"inbound", "outbound"},
	 {inbound, outbound},
	 put_count_rate,
	 count_unit,
	 fl_page_number},
	{"plot-refused",
	 "Refused and failed connections",
	 "trouble",
	 {"refused", "failed or reset"},
	 {refused, failed},
	 put_count_rate,
	 count_unit,
	 fl_page_number},
};

/* What a chart shows: rates per second, oldest first. */
struct rates {
	double of[SERIES][FL_HISTORY_STEPS];
	double now[SERIES], highest; /* highest: of the sum of both */
	uint64_t sum[SERIES];
};

/* The rate now, with the step before it, for a steady number. */
static double rate_now(value_fn *value, const struct fl_history *history, double under_way)
{
	const struct fl_history_step *step = fl_history_step(history, 0);
	const struct fl_history_step *before = fl_history_step(history, 1);

	if (before == NULL) {
		return (double)value(step) / under_way;
	}
	return (double)(value(step) + value(before)) / (under_way + FL_HISTORY_STEP_S);
}

static void compute_series(value_fn *value, const struct fl_history *history, double under_way,
			   double ret_rates[FL_HISTORY_STEPS], uint64_t *ret_sum)
{
	const struct fl_history_step *step;

	for (size_t back = 0; (step = fl_history_step(history, back)) != NULL; back++) {
		double rate = (double)value(step) / FL_HISTORY_STEP_S;

		if (back == 0) {
			rate = under_way < SHORTEST_S ? rate_now(value, history, under_way)
						      : (double)value(step) / under_way;
		}
		ret_rates[FL_HISTORY_STEPS - 1 - back] = rate;
		*ret_sum += value(step);
	}
}

static void compute(const struct chart *chart, const struct fl_history *history, uint64_t now_ns,
		    struct rates *ret)
{
	double under_way = fl_history_under_way_s(history, now_ns);

	*ret = (struct rates){.highest = 0};
	for (size_t i = 0; i < SERIES; i++) {
		compute_series(chart->values[i], history, under_way, ret->of[i], &ret->sum[i]);
		ret->now[i] = rate_now(chart->values[i], history, under_way);
	}
	for (size_t at = 0; at < FL_HISTORY_STEPS; at++) {
		double all = ret->of[0][at] + ret->of[1][at];

		ret->highest = all > ret->highest ? all : ret->highest;
	}
}

/* The next round number of units that is not less. */
static double round_up(double value, double unit)
{
	static const double of_ten[] = {1, 1.5, 2, 3, 4, 5, 6, 8};

	for (;; unit *= 10) {
		for (size_t i = 0; i < FL_COUNT_OF(of_ten); i++) {
			if (unit * of_ten[i] >= value) {
				return unit * of_ten[i];
			}
		}
	}
}

static double level(const struct rates *rates, size_t series, size_t at, double top)
{
	double sum = 0;

	for (size_t i = 0; i <= series; i++) {
		sum += rates->of[i][at];
	}
	return HEIGHT - HEIGHT * sum / top;
}

/* The area below one series, down to the bottom; the one in front of it is drawn later. Equal neighbours are one line. */
static void put_area(struct fl_text *text, const struct rates *rates, size_t series, double top)
{
	static const char *const classes[SERIES] = {"one", "two"};
	double last = HEIGHT;

	fl_text_print(text, "<path class=\"%s\" d=\"M0 %.0f", classes[series], HEIGHT);
	for (size_t at = 0; at < FL_HISTORY_STEPS; at++) {
		double now = level(rates, series, at, top);

		/* What has happened is seen, however little it is. */
		now = now < HEIGHT && now > HEIGHT - 1.5 ? HEIGHT - 1.5 : now;
		if (now < last || now > last) {
			fl_text_print(text, "H%zuV%.1f", at, now);
			last = now;
		}
	}
	fl_text_print(text, "H%uV%.0fZ\"/>", FL_HISTORY_STEPS, HEIGHT);
}

/* The time before the start. */
static void put_before(struct fl_text *text, const struct fl_history *history)
{
	if (history->steps_over + 1 < FL_HISTORY_STEPS) {
		fl_text_print(text,
			      "<rect class=\"before\" width=\"%" PRIu64 "\" height=\"%.0f\"/>",
			      FL_HISTORY_STEPS - 1 - history->steps_over, HEIGHT);
	}
}

/* When the generation in use arrived. */
static void put_mark(struct fl_text *text, const struct fl_snapshot *s)
{
	int64_t ago = s->now - s->rotations->last_used;
	double at = FL_HISTORY_STEPS - (double)ago / FL_HISTORY_STEP_S;

	if (s->rotations->last_used > 0 && s->generation > 1 && at > 0 && ago >= 0) {
		fl_text_print(text,
			      "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" "
			      "y2=\"%.0f\"><title>generation %" PRIu64 "</title></line>",
			      at, at, HEIGHT, s->generation);
	}
}

static void put_key(struct fl_text *text, const struct chart *chart, const struct rates *rates)
{
	for (size_t i = 0; i < SERIES; i++) {
		fl_text_print(text, "<div class=\"key%s\"><span>%s</span> <span>",
			      i > 0 ? " two" : "", chart->names[i]);
		chart->put_rate(text, rates->now[i]);
		fl_page_put(text, " <small>");
		chart->put_sum(text, rates->sum[i]);
		fl_page_put(text, "</small></span></div>\n");
	}
}

/* For the script: the values of each step, which it shows where the pointer is. */
static void put_steps(struct fl_text *text, const struct chart *chart, const struct rates *rates)
{
	fl_text_print(text, " data-every=\"%u\" data-names=\"%s|%s\" data-steps=\"",
		      FL_HISTORY_STEP_S, chart->names[0], chart->names[1]);
	for (size_t at = 0; at < FL_HISTORY_STEPS; at++) {
		fl_page_put(text, at > 0 ? "|" : "");
		for (size_t i = 0; i < SERIES; i++) {
			fl_page_put(text, i > 0 ? "," : "");
			if (rates->of[i][at] > 0) {
				chart->put_rate(text, rates->of[i][at]);
			}
		}
	}
	fl_page_put(text, "\"");
}

/* For those who do not see it. */
static void put_label(struct fl_text *text, const struct chart *chart, const struct rates *rates)
{
	fl_text_print(text, " aria-label=\"%s in the last hour. Now ", chart->heading);
	for (size_t i = 0; i < SERIES; i++) {
		chart->put_rate(text, rates->now[i]);
		fl_text_print(text, " %s%s", chart->names[i], i + 1 < SERIES ? ", " : "; ");
	}
	fl_page_put(text, "at most ");
	chart->put_rate(text, rates->highest);
	fl_page_put(text, ".\"");
}

static void put_chart(struct fl_text *text, const struct chart *chart, const struct fl_snapshot *s)
{
	struct rates rates;
	double top;

	compute(chart, s->history, s->now_ns, &rates);
	top = round_up(rates.highest, chart->unit(rates.highest));
	fl_text_print(text, "<figure class=\"card %s\"><figcaption><h3>%s</h3>\n", chart->tone,
		      chart->heading);
	put_key(text, chart, &rates);
	fl_text_print(text,
		      "</figcaption>\n<div class=\"plot\" id=\"%s\" role=\"img\" tabindex=\"0\"",
		      chart->id);
	put_label(text, chart, &rates);
	put_steps(text, chart, &rates);
	fl_text_print(text,
		      "><svg viewBox=\"0 0 %u %.0f\" preserveAspectRatio=\"none\" "
		      "aria-hidden=\"true\">",
		      FL_HISTORY_STEPS, HEIGHT);
	put_before(text, s->history);
	for (size_t i = SERIES; i-- > 0;) {
		put_area(text, &rates, i, top);
	}
	put_mark(text, s);
	fl_text_print(text,
		      "<line class=\"pin\" y1=\"0\" y2=\"%.0f\" visibility=\"hidden\"/></svg>"
		      "<small class=\"top\">",
		      HEIGHT);
	if (rates.highest > 0) {
		chart->put_rate(text, top);
	}
	fl_page_put(text, "</small></div>\n"
			  "<div class=\"axis\"><small>60 min ago</small><small>30 min</small>"
			  "<small>now</small><p class=\"said\" role=\"status\"></p></div>"
			  "</figure>\n");
}

void fl_page_charts(struct fl_text *text, const struct fl_snapshot *s)
{
	if (s->history == NULL) {
		return;
	}
	fl_page_section(text, "hour", "The last hour");
	fl_page_put(text, "<div class=\"charts\">\n");
	for (size_t i = 0; i < FL_COUNT_OF(charts); i++) {
		put_chart(text, &charts[i], s);
	}
	fl_page_put(text, "</div>\n");
	fl_page_section_end(text);
}
