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
	struct fl_plaintext_counts *plain = fl_new(sizeof(*plain));

	plain->worker_count = worker_count;
	return plain;
}

void fl_plaintext_counts_free(struct fl_plaintext_counts *plain)
{
	if (plain == NULL) {
		return;
	}
	for (size_t i = 0; i < plain->count; i++) {
		free(plain->entries[i].name);
		free(plain->entries[i].workers);
	}
	free(plain->entries);
	free(plain);
}

static struct entry *find_or_add(struct fl_plaintext_counts *plain, const char *name)
{
	struct entry *entry;

	for (size_t i = 0; i < plain->count; i++) {
		if (strcmp(plain->entries[i].name, name) == 0) {
			return &plain->entries[i];
		}
	}
	if (plain->count == FL_PLAIN_MAX) {
		return &plain->entries[FL_PLAIN_MAX - 1];
	}
	plain->entries = fl_grow(plain->entries, plain->count + 1, sizeof(*plain->entries));
	entry = &plain->entries[plain->count++];
	entry->name = fl_strdup(plain->count == FL_PLAIN_MAX ? "[others]" : name);
	entry->workers = fl_new(plain->worker_count * sizeof(*entry->workers));
	return entry;
}

struct fl_plaintext_counter **fl_plaintext_counters(struct fl_plaintext_counts *plain,
						    const struct fl_conf *conf, unsigned worker)
{
	struct fl_plaintext_counter **counters =
		fl_new((conf->upstream_count + 1) * sizeof(struct fl_plaintext_counter *));

	for (size_t i = 0; i <= conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream =
			i < conf->upstream_count ? &conf->upstreams[i] : &conf->outbound;
		const char *name = upstream->name != NULL ? upstream->name : "[outbound]";

		if (upstream->mode == FL_OUTBOUND_PLAINTEXT) {
			counters[i] = &find_or_add(plain, name)->workers[worker];
		}
	}
	return counters;
}

bool fl_plaintext_counts_sum(const struct fl_plaintext_counts *plain, size_t index,
			     const char **ret_name, struct fl_plaintext_counter *ret)
{
	struct fl_plaintext_counter sum = {0};

	if (plain == NULL || index >= plain->count) {
		return false;
	}
	for (unsigned i = 0; i < plain->worker_count; i++) {
		const struct fl_plaintext_counter *counter = &plain->entries[index].workers[i];

		sum.connections += __atomic_load_n(&counter->connections, __ATOMIC_RELAXED);
		sum.bytes_to_app += __atomic_load_n(&counter->bytes_to_app, __ATOMIC_RELAXED);
		sum.bytes_to_mesh += __atomic_load_n(&counter->bytes_to_mesh, __ATOMIC_RELAXED);
	}
	*ret_name = plain->entries[index].name;
	*ret = sum;
	return true;
}
