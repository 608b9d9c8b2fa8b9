/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run - the agent's main loop.
 *
 * The INI is read once; with an error in it nothing starts. The credentials are loaded at once,
 * and while they are missing or refused, again every second: a Secret may be mounted before it
 * is filled. When they are good, they become the generation that serve.c hands out, and
 * everything else is forgotten: the encoded frame is the only copy of the key in this process.
 *
 * It fails only at the start (INI, socket): exit 2 with a sentence on stderr. */
#include "agent/run.h"

#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include "agent/candidate.h"
#include "agent/serve.h"
#include "base/log.h"

#define RETRY_MS 1000
#define READ_CAP ((size_t)16 * 1024) /* HELLO and RESULT are small */

struct run {
	uv_loop_t loop;
	uv_prepare_t flush; /* lines leave before the loop sleeps */
	uv_timer_t retry;
	uv_signal_t signals[2];
	struct fl_net net;
	struct fl_log log;
	struct fl_serve *serve;
	struct fl_conf *conf; /* with ini: until there is a generation */
	char *ini;
	size_t ini_len;
	char *last_reason; /* why the credentials were refused last: said once, not every second */
};

/* --- credentials ------------------------------------------------------------------------------ */

/* Our own code and constants, which the kernel reads again where they are needed. Segments that are
 * writable (data, and what relocation has changed) are left alone. */
static int drop_pages(struct dl_phdr_info *info, size_t size, void *user)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)user;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t to =
			(info->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && from < to) {
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
		}
	}
	return 1; /* the program itself comes first, and the libraries are shared anyway */
}

static void forget_conf(struct run *run)
{
	fl_conf_free(run->conf);
	run->conf = NULL;
	free(run->ini);
	run->ini = NULL;
	free(run->last_reason);
	run->last_reason = NULL;
	/* The validation was by far the largest thing that this process does: without it, a
	 * megabyte and a half of its heap and of TLS code would lie idle in every pod. */
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(drop_pages, NULL);
}

static void log_finding(struct run *run, const struct fl_finding *finding)
{
	struct fl_line line;

	fl_line_begin(&line, &run->log, FL_LOG_WARN,
		      finding->is_error ? "credentials refused" : "credentials");
	fl_line_str(&line, "file", finding->path);
	fl_line_str(&line, "reason", finding->text);
	fl_line_end(&line);
}

/* Says all findings, unless they are those of the last time. */
static void log_findings(struct run *run, const struct fl_findings *findings)
{
	char *reason = fl_strdup("");

	for (size_t i = 0; i < findings->count; i++) {
		char *longer = fl_format("%s%s\n", reason, findings->items[i].text);

		free(reason);
		reason = longer;
	}
	if (run->last_reason == NULL || strcmp(run->last_reason, reason) != 0) {
		for (size_t i = 0; i < findings->count; i++) {
			log_finding(run, &findings->items[i]);
		}
	}
	free(run->last_reason);
	run->last_reason = reason;
}

static void log_validated(struct run *run, const struct fl_credentials *credentials, int64_t now)
{
	struct fl_line line;

	fl_line_begin(&line, &run->log, FL_LOG_INFO, "credentials validated");
	fl_line_str(&line, "id", credentials->id);
	fl_line_i64(&line, "expires_in", credentials->not_after - now);
	fl_line_u64(&line, "bundles", credentials->bundle_count);
	fl_line_end(&line);
}

/* True when there is a generation now, and no need to come again. */
static bool try_load(struct run *run)
{
	int64_t now = fl_candidate_now();
	struct fl_candidate candidate;
	struct fl_span ini = {(const uint8_t *)run->ini, run->ini_len};
	uint8_t digest[FL_DIGEST_LEN];
	uint8_t *frame;
	struct fl_err err;
	size_t len;
	int rc;

	rc = fl_candidate_load(run->conf, now, &candidate);
	log_findings(run, &candidate.findings);
	if (rc == FL_OK) {
		rc = fl_candidate_encode(&candidate, run->conf, ini, &frame, &len, digest, &err);
		if (rc != FL_OK) {
			fl_log_msg(&run->log, FL_LOG_ERROR, "generation not built: %s", err.text);
		}
	}
	if (rc == FL_OK) {
		log_validated(run, candidate.credentials, now);
		fl_serve_generation(run->serve, frame, len, digest);
	}
	fl_candidate_done(&candidate);
	return rc == FL_OK;
}

static void on_retry(uv_timer_t *timer)
{
	struct run *run = timer->data;

	if (try_load(run)) {
		(void)uv_timer_stop(timer);
		forget_conf(run);
	}
}

/* --- the loop --------------------------------------------------------------------------------- */

static void on_prepare(uv_prepare_t *prepare)
{
	fl_log_flush(&((struct run *)prepare->data)->log);
}

static void stop(struct run *run)
{
	if (run->serve != NULL) {
		fl_serve_close(run->serve);
	}
	uv_close((uv_handle_t *)&run->retry, NULL);
	uv_close((uv_handle_t *)&run->flush, NULL);
	for (size_t i = 0; i < FL_COUNT_OF(run->signals); i++) {
		uv_close((uv_handle_t *)&run->signals[i], NULL);
	}
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct run *run = signal->data;

	fl_log_msg(&run->log, FL_LOG_INFO, "stopping on %s",
		   number == SIGINT ? "SIGINT" : "SIGTERM");
	stop(run);
}

static void start_handles(struct run *run)
{
	static const int numbers[] = {SIGTERM, SIGINT};

	for (size_t i = 0; i < FL_COUNT_OF(numbers); i++) {
		FL_REQUIRE(uv_signal_init(&run->loop, &run->signals[i]) == 0);
		run->signals[i].data = run;
		FL_REQUIRE(uv_signal_start(&run->signals[i], on_signal, numbers[i]) == 0);
	}
	FL_REQUIRE(uv_timer_init(&run->loop, &run->retry) == 0);
	run->retry.data = run;
	FL_REQUIRE(uv_timer_start(&run->retry, on_retry, 0, RETRY_MS) == 0);
	FL_REQUIRE(uv_prepare_init(&run->loop, &run->flush) == 0);
	run->flush.data = run;
	FL_REQUIRE(uv_prepare_start(&run->flush, on_prepare) == 0);
}

static int complain(const struct fl_err *err)
{
	(void)fprintf(stderr, "fairlead-agent: %s\n", err->text);
	return 2;
}

static int serve_until_signal(struct run *run)
{
	struct fl_err err;
	int rc;

	rc = uv_loop_init(&run->loop);
	if (rc != 0) {
		(void)fl_err_sys(&err, rc, "cannot make an event loop");
		return complain(&err);
	}
	fl_net_init(&run->net, &run->loop, READ_CAP);
	run->net.wipes = true; /* generations hold the key */
	/* Before the socket: who sees it may send a signal and expect a clean end. */
	start_handles(run);
	rc = fl_serve_open(&run->net, run->conf->agent.socket, run->conf->agent.sidecar_uid,
			   &run->log, &run->serve, &err);
	if (rc != FL_OK) {
		stop(run);
	}
	(void)uv_run(&run->loop, UV_RUN_DEFAULT);
	FL_REQUIRE(uv_loop_close(&run->loop) == 0);
	fl_net_done(&run->net);
	return rc == FL_OK ? 0 : complain(&err);
}

int fl_run(const char *conf_path)
{
	struct fl_problems problems = {0};
	struct run *run = fl_new(sizeof(*run));
	struct fl_err err;
	int code = 2;
	int rc;

	(void)signal(SIGPIPE, SIG_IGN);
	rc = fl_conf_load(conf_path, &run->conf, &run->ini, &run->ini_len, &problems);
	fl_problems_print(&problems, conf_path, stderr);
	fl_problems_done(&problems);
	if (rc == FL_OK) {
		fl_log_init(&run->log, STDERR_FILENO, run->conf->log.level, run->conf->log.format,
			    "fairlead-agent");
		if (fl_tls_global_init(&err) == FL_OK) {
			code = serve_until_signal(run);
			fl_tls_global_done();
		} else {
			code = complain(&err);
		}
		fl_log_flush(&run->log);
	}
	forget_conf(run);
	free(run);
	return code;
}
