/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A short list by name, which only grows. Nothing here fails. */
#include "count/plaintext_counts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct entry {
	char *name;
	struct fl_plaintext_counter *workers; /* one for each */
};

struct fl_plaintext_counts {
	unsigned worker_count;
	struct entry *entries;
	size_t count;
};

struct fl_plaintext_counts *fl_plaintext_counts_new(unsigned worker_count)
{
	struct fl_plaintext_counts *counts = fl_new(sizeof(*counts));

	counts->worker_count = worker_count;
	return counts;
}

void fl_plaintext_counts_free(struct fl_plaintext_counts *counts)
{
	if (counts == NULL) {
		return;
	}
	for (size_t i = 0; i < counts->count; i++) {
		free(counts->entries[i].name);
		free(counts->entries[i].workers);
	}
	free(counts->entries);
	free(counts);
}

static struct entry *find_or_add(struct fl_plaintext_counts *counts, const char *name)
{
	struct entry *entry;

	for (size_t i = 0; i < counts->count; i++) {
		if (strcmp(counts->entries[i].name, name) == 0) {
			return &counts->entries[i];
		}
	}
	if (counts->count == FL_PLAINTEXT_MAX) {
		return &counts->entries[FL_PLAINTEXT_MAX - 1];
	}
	counts->entries = fl_grow(counts->entries, counts->count + 1, sizeof(*counts->entries));
	entry = &counts->entries[counts->count++];
	entry->name = fl_strdup(counts->count == FL_PLAINTEXT_MAX ? "[others]" : name);
	entry->workers = fl_new(counts->worker_count * sizeof(*entry->workers));
	return entry;
}

struct fl_plaintext_counter **fl_plaintext_counters(struct fl_plaintext_counts *counts,
						    const struct fl_conf *conf, unsigned worker)
{
	struct fl_plaintext_counter **counters =
		fl_new((conf->upstream_count + 1) * sizeof(struct fl_plaintext_counter *));

	for (size_t i = 0; i <= conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream =
			i < conf->upstream_count ? &conf->upstreams[i] : &conf->outbound;
		const char *name = upstream->name != NULL ? upstream->name : "[outbound]";

		if (upstream->mode == FL_OUTBOUND_PLAINTEXT) {
			counters[i] = &find_or_add(counts, name)->workers[worker];
		}
	}
	return counters;
}

bool fl_plaintext_counts_sum(const struct fl_plaintext_counts *counts, size_t index,
			     const char **ret_name, struct fl_plaintext_counter *ret)
{
	struct fl_plaintext_counter sum = {0};

	if (counts == NULL || index >= counts->count) {
		return false;
	}
	for (unsigned i = 0; i < counts->worker_count; i++) {
		const struct fl_plaintext_counter *counter = &counts->entries[index].workers[i];

		sum.connections += __atomic_load_n(&counter->connections, __ATOMIC_RELAXED);
		sum.bytes_to_app += __atomic_load_n(&counter->bytes_to_app, __ATOMIC_RELAXED);
		sum.bytes_to_mesh += __atomic_load_n(&counter->bytes_to_mesh, __ATOMIC_RELAXED);
	}
	*ret_name = counts->entries[index].name;
	*ret = sum;
	return true;
}
