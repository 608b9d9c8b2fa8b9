/* SPDX-License-Identifier: GPL-3.0-or-later */
/* path_judge - the path function as a filter, for tests that make thousands of chains. A line of stdin names two PEM files,
 * the anchors and the chain (leaf first); a line of stdout says which rule the chain breaks, how many signatures were
 * checked, how many microseconds that took, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pki/judge.h"
#include "pki/pem.h"

static void read_list(const char *path, struct fl_der_list *ret)
{
	static char text[4 * 1024 * 1024];
	FILE *file = fopen(path, "r");
	size_t len = file ? fread(text, 1, sizeof(text), file) : 0;
	struct fl_err err;

	if (!file || fl_pem_certificates(text, len, true, ret, &err) != 0) {
		fprintf(stderr, "%s: %s\n", path, file ? err.text : "it cannot be read");
		exit(2);
	}
	(void)fclose(file);
}

static double now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void judge(const char *anchors, const char *chain)
{
	struct fl_bundle bundle = {.trust_domain = NULL};
	struct fl_der_list sent = {0};
	struct fl_path path;
	struct fl_err detail = {.text = ""};
	struct fl_span *certs;
	double begin;

	read_list(anchors, &bundle.roots);
	read_list(chain, &sent);
	certs = fl_new((sent.count + 1) * sizeof(*certs));
	for (size_t i = 0; i < sent.count; i++) {
		certs[i] = (struct fl_span){sent.items[i].data, sent.items[i].len};
	}
	fl_bundle_index(&bundle);
	const struct fl_path_request request = {
		.certs = certs,
		.count = sent.count,
		.anchors = &bundle.anchors,
		.now = (int64_t)time(NULL),
		.usage = FL_EKU_SERVER | FL_EKU_CLIENT,
	};
	begin = now_us();
	if (fl_path_find(&request, &path, &detail) != 0) {
		exit(2);
	}
	printf("%s %u %.0f %s\n", fl_rule_name(path.rule), path.signatures, now_us() - begin,
	       path.rule == FL_RULE_NONE ? "" : detail.text);
	free(certs);
	fl_anchors_done(&bundle.anchors);
	fl_der_list_done(&bundle.roots);
	fl_der_list_done(&sent);
}

int main(void)
{
	char line[8192], anchors[4096], chain[4096];

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%4095s %4095s", anchors, chain) == 2) {
			judge(anchors, chain);
			(void)fflush(stdout);
		}
	}
	return 0;
}
