/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_STATUS_PARTS_H
#define FL_REPORT_STATUS_PARTS_H
/* status_parts - what the files of status share. Pure; thread: any. */
#include "base/json.h"
#include "report/report.h"

/* A point in time, as report.h says. when: seconds since the epoch; 0: null. */
void fl_status_time(struct fl_json *json, const char *name, int64_t when);
/* {reason: count}; always_done: `done` is a member even if it is 0. */
void fl_status_reasons(struct fl_json *json, const char *name,
		       const uint64_t counts[FL_REASON_COUNT], bool always_done);
/* The members policy, redirect, services, upstreams. */
void fl_status_sections(struct fl_json *json, const struct fl_snapshot *snapshot);

#endif
