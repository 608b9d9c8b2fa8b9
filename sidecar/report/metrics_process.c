/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The metrics of the process: our own, and those that every Prometheus client exports by
 * convention. */
#include <inttypes.h>

#include "report/metrics_parts.h"

static void put_process(struct fl_text *text, const struct fl_snapshot *s)
{
	fl_metric_family(text, "fairlead_build_info", "gauge",
			 "The version that runs, as a label; always 1.");
	fl_metric_series(text, "fairlead_build_info", "version", FL_VERSION, NULL, NULL, 1);
#define PUT_VALUE(c_type, member, type, name, help)                                                \
	fl_metric_single(text, name, type, help, (int64_t)s->member);
	FL_VALUE_METRICS(PUT_VALUE)
#undef PUT_VALUE
}

/* An unknown value has no series. */
static void put_known(struct fl_text *text, const char *name, const char *help, int64_t value)
{
	if (value >= 0) {
		fl_metric_single(text, name, "gauge", help, value);
	}
}

static void put_by_convention(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char cpu[] = "process_cpu_seconds_total";

	put_known(text, "process_start_time_seconds",
		  "When the process was started, in seconds since the epoch.", s->started);
	if (s->usage.cpu_us >= 0) {
		fl_metric_family(text, cpu, "counter",
				 "CPU time of all threads, user and system, in seconds.");
		fl_text_print(text, "%s %" PRId64 ".%06" PRId64 "\n", cpu,
			      s->usage.cpu_us / 1000000, s->usage.cpu_us % 1000000);
	}
	put_known(text, "process_resident_memory_bytes",
		  "Memory that is resident, shared libraries included.", s->usage.resident_bytes);
	put_known(text, "process_open_fds", "Descriptors that are open.", s->usage.descriptors);
	put_known(text, "process_max_fds", "How many descriptors may be open.",
		  s->usage.descriptors_max);
}

void fl_metrics_process(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	put_process(ret, snapshot);
	put_by_convention(ret, snapshot);
}
