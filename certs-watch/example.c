/* SPDX-License-Identifier: GPL-3.0-or-later */
/* example - certs-watch used alone: prints the mounted credentials, and again at each change, until SIGTERM.
 *
 *     certs-watch-example TLS.CRT TLS.KEY CA.CRT
 *
 * A refused set changes nothing: the previous one stays in force. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "certs-watch/source.h"
#include "certs-watch/watch.h"

struct example {
	struct fl_source source;
	struct fl_watch *watch;
	struct fl_credentials *in_force; /* NULL: nothing yet */
	uint8_t seen[FL_DIGEST_LEN];     /* of the files that were loaded last */
};

static const char *const groups[] = {"X25519"};
static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256"};
static const struct fl_tls_options tls = {
	.groups = groups, .group_count = 1, .ciphers = ciphers, .cipher_count = 1};

static void print_findings(const struct fl_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct fl_finding *finding = &findings->items[i];

		(void)printf("%s: %s%s%s\n", finding->is_error ? "refused" : "warning",
			     finding->path ? finding->path : "", finding->path ? ": " : "",
			     finding->text);
	}
}

static void reload(struct example *example)
{
	struct fl_credentials *credentials;
	struct fl_source_files files;
	struct fl_findings findings;
	int rc;

	example->source.late.in_force = example->in_force;
	rc = fl_source_load(&example->source, &tls, (int64_t)time(NULL), &credentials, &files,
			    &findings);
	/* watch reports too often rather than too late: skip the same files. */
	if (memcmp(findings.digest, example->seen, sizeof(example->seen)) != 0) {
		memcpy(example->seen, findings.digest, sizeof(example->seen));
		print_findings(&findings);
		if (rc == 0) {
			(void)printf("in force: %s, until %lld\n", credentials->id,
				     (long long)credentials->not_after);
		}
	}
	if (rc == 0) {
		fl_source_files_done(&files);
		fl_credentials_free(example->in_force);
		example->in_force = credentials;
	}
	fl_findings_done(&findings);
	(void)fflush(stdout);
}

static void on_change(void *user)
{
	reload(user);
}

static void on_note(void *user, const char *text)
{
	(void)user;
	(void)fprintf(stderr, "note: %s\n", text);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct example *example = handle->data;

	(void)number;
	fl_watch_close(example->watch);
	uv_close((uv_handle_t *)handle, NULL);
}

int main(int argc, char **argv)
{
	static const struct fl_watch_events events = {.on_change = on_change, .on_note = on_note};
	struct example example = {.in_force = NULL};
	uv_signal_t sigterm = {.data = &example};
	struct fl_err err;
	uv_loop_t loop;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: %s TLS.CRT TLS.KEY CA.CRT\n", argv[0]);
		return 2;
	}
	if (fl_tls_global_init(&err) != 0 || uv_loop_init(&loop) != 0) {
		(void)fprintf(stderr, "%s: cannot start\n", argv[0]);
		return 1;
	}
	example.source = (struct fl_source){.cert = argv[1], .key = argv[2], .bundle = argv[3]};
	(void)uv_signal_init(&loop, &sigterm);
	(void)uv_signal_start(&sigterm, on_signal, SIGTERM);
	example.watch = fl_watch_new(&loop, NULL, &events, &example);
	/* Watch first, then read: no change after reading is missed. */
	fl_watch_set(example.watch, (const char *const *)argv + 1, 3);
	reload(&example);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop);
	fl_credentials_free(example.in_force);
	fl_tls_global_done();
	return 0;
}
