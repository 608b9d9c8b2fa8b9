/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_METRICS_PARTS_H
#define FL_REPORT_METRICS_PARTS_H
/* metrics_parts - helpers of the metrics files that write a family and its series. A label's value
 * may hold any bytes: it is written as valid UTF-8 on one line. Pure; thread: any. */
#include "report/report.h"

/* Writes HELP and TYPE; the caller writes the series next. */
void fl_metric_family(struct fl_text *text, const char *name, const char *type, const char *help);

/* name="value", with the character before it. */
void fl_metric_label(struct fl_text *text, char before, const char *name, const char *value);

/* A family of one series, without labels. */
void fl_metric_single(struct fl_text *text, const char *name, const char *type, const char *help,
		      int64_t value);

/* name{first_name="first",second_name="second"} value; second_name: NULL for none */
void fl_metric_series(struct fl_text *text, const char *name, const char *first_name,
		      const char *first, const char *second_name, const char *second,
		      uint64_t value);

/* The parts of the document that have files of their own. */
void fl_metrics_process(const struct fl_snapshot *snapshot, struct fl_text *ret);
void fl_metrics_credentials(const struct fl_snapshot *snapshot, struct fl_text *ret);
void fl_metrics_sections(const struct fl_snapshot *snapshot, struct fl_text *ret);

#endif
