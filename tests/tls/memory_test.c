/* SPDX-License-Identifier: GPL-3.0-or-later */
/* memory_test - what a connection costs, idle and before it is authenticated, and that running out
 * of memory at any point costs that connection and nothing else. wolfSSL allocates through the
 * functions here, which count, and refuse when told to. */
#include "pair.h"

#include <link.h>
#include <time.h>

static size_t in_use, peak, blocks;

/* Of the allocations to come, the one with this number fails (-1: none), and with `for_good` all
 * after it. */
static long failing = -1;
static bool for_good, has_failed;

static bool is_refused(void)
{
	if (failing > 0) {
		failing--;
		return false;
	}
	if (failing < 0) {
		return false;
	}
	has_failed = true;
	failing = for_good ? 0 : -1;
	return true;
}

static void *count_malloc(size_t size)
{
	uint8_t *data = is_refused() ? NULL : malloc(size + 16);
	if (data == NULL) {
		return NULL;
	}
	memcpy(data, &size, sizeof(size));
	in_use += size;
	blocks++;
	peak = in_use > peak ? in_use : peak;
	return data + 16;
}

static void count_free(void *at)
{
	size_t size;
	if (at != NULL) {
		memcpy(&size, (uint8_t *)at - 16, sizeof(size));
		in_use -= size;
		blocks--;
		free((uint8_t *)at - 16);
	}
}

static void *count_realloc(void *at, size_t size)
{
	size_t old = 0;
	void *data = count_malloc(size);
	if (data != NULL && at != NULL) {
		memcpy(&old, (uint8_t *)at - 16, sizeof(old));
		memcpy(data, at, old < size ? old : size);
		count_free(at);
	}
	return data;
}

static void count_allocations(void)
{
	cr_assert_eq(wolfSSL_SetAllocators(count_malloc, count_free, count_realloc), 0);
}

/* --- idle connections
 * ---------------------------------------------------------------------------- */

struct cost {
	size_t bytes, blocks, peak;
};

static struct fl_tls_options with_tickets(void)
{
	struct fl_tls_options options = default_options;
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_ticket_keys_new(NULL, &options.ticket_keys, &err), 0, "%s", err.text);
	return options;
}

/* What a handshake, full or resumed, leaves behind on one side. */
static struct cost cost_of(bool client, bool resumed)
{
	struct fl_tls_options options = with_tickets();
	const struct side_spec none = {.options = &options};
	struct fl_tls_saved *saved = NULL;
	struct pair pair;
	struct cost cost;
	pair_open(&pair, &none, &none);
	for (int i = 0; i < 2; i++) { /* the first one fills caches of the context */
		pair_again(&pair, &none, &none);
		if (saved != NULL) {
			cr_assert(fl_tls_resume(pair.client.tls, saved));
			fl_tls_saved_free(saved);
		}
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		side_write(&pair.client, (const uint8_t *)"ping", 4);
		side_write(&pair.server, (const uint8_t *)"pong", 4);
		pair_settle(&pair, 0);
		saved = resumed && i == 0 ? fl_tls_save(pair.client.tls) : NULL;
	}
	cr_assert_eq(fl_tls_resumed(pair.server.tls), resumed);
	struct side *side = client ? &pair.client : &pair.server;
	size_t bytes = in_use, count = blocks;
	cost.peak = peak;
	side_disconnect(side);
	cost.bytes = bytes - in_use;
	cost.blocks = count - blocks;
	pair_close(&pair);
	fl_tls_ticket_keys_unref(options.ticket_keys);
	return cost;
}

/* Regression bounds, a little above what was measured: 3.0 and 3.1 KB, 180 bytes of which are room for
 * the peer's ID in a ticket. */
static void expect_small(bool resumed)
{
	struct cost client = cost_of(true, resumed), server = cost_of(false, resumed);
	cr_log_info("idle: client %zu bytes in %zu blocks, server %zu in %zu", client.bytes,
		    client.blocks, server.bytes, server.blocks);
	cr_assert_leq(client.bytes, 3050, "client: %zu bytes, %zu blocks", client.bytes,
		      client.blocks);
	cr_assert_leq(server.bytes, 3250, "server: %zu bytes, %zu blocks", server.bytes,
		      server.blocks);
	cr_assert_eq(in_use, 0, "%zu bytes leaked", in_use);
}

Test(memory, idle_connection__small)
{
	count_allocations();
	expect_small(false);
	expect_small(true);
	cr_assert_leq(sizeof(struct fl_tls), 88);
}

/* --- a thread
 * ------------------------------------------------------------------------------------ */

static int own_tls_size(struct dl_phdr_info *info, size_t size, void *user)
{
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_TLS) {
			*(size_t *)user = info->dlpi_phdr[i].p_memsz;
		}
	}
	return 1; /* the program itself comes first */
}

/* glibc writes zeros to all of it when a thread starts. */
Test(memory, thread_local_variables__small)
{
	size_t size = 0;

	dl_iterate_phdr(own_tls_size, &size);
	cr_assert_gt(size, 0);
	cr_assert_leq(size, 8192, "%zu bytes", size);
}

/* wolfSSL verifies faster with a table for a public key that it has seen twice. */
Test(memory, tables_of_public_keys__made_when_needed_and_freed)
{
	struct pair pair;
	size_t before;

	count_allocations();
	pair_open(&pair, NULL, NULL);
	fl_tls_thread_done();
	before = in_use;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 4; i++) {
			pair_handshake(&pair);
			ASSERT_UP(&pair);
			pair_again(&pair, NULL, NULL);
		}
		cr_assert_geq(in_use, before + 4096, "there is a table");
		fl_tls_thread_done();
		cr_assert_lt(in_use, before + 4096, "there is none");
	}
	pair_close(&pair);
	cr_assert_eq(in_use, 0);
}

/* --- before authentication
 * ----------------------------------------------------------------------- */

/* A peer that promises the largest messages and records, and keeps us waiting for the rest. */
Test(memory, before_authentication__bounded)
{
	static const struct side_spec none;
	struct fl_err err = {0};
	struct side server;
	static uint8_t record[5 + 16384];
	count_allocations();
	cr_assert_eq(fl_tls_global_init(&err), 0);
	side_open(&server, FL_TLS_SERVER, &none);
	/* A ClientHello of 16 MB, in full records: refused at once. */
	static const uint8_t huge[] = {22, 3, 1, 64, 0, 1, 255, 255, 255, 3, 3};
	memcpy(record, huge, sizeof(huge));
	size_t before = in_use;
	peak = in_use;
	side_feed(&server, record, sizeof(record));
	cr_assert_eq(server.step, FL_TLS_FAILED);
	cr_assert_leq(peak - before, 24 * 1024, "%zu", peak - before);
	/* The largest that passes for a message, in small records, never ended. */
	side_disconnect(&server);
	side_connect(&server, &none);
	static const uint8_t large[] = {22, 3, 1, 0, 100, 1, 0, 70, 0, 3, 3};
	memset(record, 0, sizeof(record));
	memcpy(record, large, sizeof(large));
	before = in_use;
	peak = in_use;
	side_feed(&server, record, 105);
	for (int i = 0; i < 1000 && server.step == FL_TLS_MORE; i++) {
		memset(record, 0, 105);
		memcpy(record, large, 5);
		side_feed(&server, record, 105);
	}
	cr_assert_leq(peak - before, 48 * 1024, "%zu", peak - before);
	cr_assert_not(side_is_up(&server));
	/* 64 KB announced, which a big ticket may need, and little sent: only the bytes that were sent are kept. */
	side_disconnect(&server);
	side_connect(&server, &none);
	static const uint8_t announced[] = {22, 3, 1, 0, 100, 1, 1, 0, 0, 3, 3};
	memset(record, 0, sizeof(record));
	memcpy(record, announced, sizeof(announced));
	before = in_use;
	peak = in_use;
	side_feed(&server, record, 105);
	cr_assert_eq(server.step, FL_TLS_MORE);
	cr_assert_leq(peak - before, 8 * 1024, "%zu", peak - before);
	side_close(&server);
	fl_tls_global_done();
	cr_assert_eq(in_use, 0);
}

/* --- out of memory
 * ------------------------------------------------------------------------------- */

/* One handshake and an exchange during which allocation `number` fails. False: nothing failed. */
static bool starve(struct pair *pair, const struct side_spec *client,
		   const struct side_spec *server, const struct fl_tls_saved *saved, long number,
		   bool all_after)
{
	fl_tls_thread_done(); /* tables of public keys are made anew in each of these handshakes, or fail to be */
	size_t before = in_use;
	has_failed = false;
	failing = number;
	for_good = all_after;
	int c = fl_tls_new(pair->client.ctx, client->expect, NULL, &pair->client.tls, NULL);
	int s = fl_tls_new(pair->server.ctx, server->expect, NULL, &pair->server.tls, NULL);
	pair->client.step = pair->server.step = FL_TLS_MORE;
	if (c == 0 && s == 0) {
		if (saved != NULL) {
			(void)fl_tls_resume(pair->client.tls, saved);
		}
		pair_handshake(pair);
		fl_tls_saved_free(fl_tls_save(pair->client.tls));
		cr_assert(!has_failed || pair->client.step == FL_TLS_FAILED ||
				  pair->server.step == FL_TLS_FAILED ||
				  (side_is_up(&pair->client) && side_is_up(&pair->server)),
			  "allocation %ld is missing and nobody minds", number);
	} else {
		cr_assert(has_failed);
		cr_assert(c == FL_ERR_NOMEM || s == FL_ERR_NOMEM);
		pair->client.tls = c == 0 ? pair->client.tls : NULL;
		pair->server.tls = s == 0 ? pair->server.tls : NULL;
	}
	failing = -1;
	side_disconnect(&pair->client);
	side_disconnect(&pair->server);
	fl_tls_thread_done();
	cr_assert_eq(in_use, before, "allocation %ld: %zu bytes leaked", number, in_use - before);
	return has_failed;
}

static bool expect_any(void *user, const char *id, size_t len)
{
	(void)user;
	(void)id;
	(void)len;
	return true;
}

Test(memory, every_allocation_fails__costs_that_connection_only)
{
	static const char *const two[] = {"prod.example=root", "other.example=other"};
	static const char *const theirs[] = {"other.example=other", "prod.example=root"};
	struct fl_tls_options options = with_tickets();
	struct side_spec specs[][2] = {
		{{.own = NULL}, {.own = NULL}},
		{{.own = "intermediate", .bundles = two, .bundle_count = 2, .expect = expect_any},
		 {.own = "other-chain", .bundles = theirs, .bundle_count = 2}},
		{{.own = NULL, .options = &options}, {.own = NULL, .options = &options}},
		{{.own = "expired"}, {.own = NULL}},
		{{.own = NULL}, {.own = "other-web"}},
	};
	count_allocations();
	for (size_t i = 0; i < FL_COUNT_OF(specs); i++) {
		struct pair pair;
		pair_open(&pair, &specs[i][0], &specs[i][1]);
		pair_handshake(&pair);
		bool good = side_is_up(&pair.server);
		struct fl_tls_saved *saved = fl_tls_save(pair.client.tls);
		cr_assert_eq(saved != NULL, specs[i][0].options != NULL);
		side_disconnect(&pair.client);
		side_disconnect(&pair.server);
		for (int all_after = 0; all_after < 2; all_after++) {
			long n = 0;
			while (starve(&pair, &specs[i][0], &specs[i][1], saved, n,
				      all_after != 0)) {
				n++;
			}
			cr_assert_gt(n, 20);
		}
		/* The contexts are as good, or as strict, as before. */
		side_connect(&pair.client, &specs[i][0]);
		side_connect(&pair.server, &specs[i][1]);
		pair_handshake(&pair);
		cr_assert_eq(side_is_up(&pair.server), good);
		fl_tls_saved_free(saved);
		pair_close(&pair);
		cr_assert_eq(in_use, 0);
	}
	fl_tls_ticket_keys_unref(options.ticket_keys);
}

Test(memory, context__every_allocation_fails)
{
	static const char *const two[] = {"prod.example=root", "other.example=other"};
	struct fl_err err = {0};
	struct fl_tls_ctx *ctx = NULL;
	count_allocations();
	cr_assert_eq(fl_tls_global_init(&err), 0);
	struct fl_credentials *c = pki_credentials("intermediate", two, 2);
	size_t before = in_use;
	for (long n = 0;; n++) {
		failing = n;
		has_failed = false;
		int rc = fl_tls_ctx_new(c, &default_options, FL_TLS_SERVER, &ctx, &err);
		failing = -1;
		if (rc == 0) {
			fl_tls_ctx_free(ctx);
			ctx = NULL;
		}
		cr_assert_eq(in_use, before, "allocation %ld: %zu bytes leaked", n,
			     in_use - before);
		if (!has_failed) {
			cr_assert_eq(rc, 0);
			cr_assert_gt(n, 10);
			break;
		}
	}
	pki_credentials_free(c);
	fl_tls_global_done();
	cr_assert_eq(in_use, 0);
}

/* A trial without memory says nothing about the credentials: it must not look like a refusal, except where wolfSSL hides what
 * failed. */
static void try_without_memory(const char *own)
{
	static const char *const one[] = {"prod.example=root"};
	struct fl_credentials *c = pki_credentials(own, one, 1);
	struct fl_err err = {0};
	long n = 0, told = 0, hidden = 0;
	int rc;

	do {
		failing = n++;
		has_failed = false;
		rc = fl_tls_trial(c, &default_options, &err);
		failing = -1;
		told += rc == FL_ERR_NOMEM;
		hidden += rc != 0 && rc != FL_ERR_NOMEM;
		cr_assert(rc == 0 || (has_failed && err.code == rc), "allocation %ld", n);
		cr_assert(rc == 0 || rc == FL_ERR_NOMEM || strstr(err.text, "(wolfSSL -"),
			  "%s, allocation %ld: %s", own, n, err.text);
	} while (has_failed);
	cr_assert_gt(told, 10 * hidden, "%ld told, %ld hidden", told, hidden);
	pki_credentials_free(c);
}

Test(memory, trial__every_allocation_fails__no_refusal)
{
	struct fl_err err = {0};

	count_allocations();
	cr_assert_eq(fl_tls_global_init(&err), 0);
	try_without_memory("intermediate");
	try_without_memory("rsa2048");
	fl_tls_global_done();
	cr_assert_eq(in_use, 0);
}

static int parse_set(const char *own, struct fl_err *err)
{
	struct fl_credentials_pem pem = {
		.cert_name = "tls.crt", .key_name = "tls.key", .bundle_name = "ca.crt"};
	char name[64];
	struct fl_credentials *c = NULL;
	int rc;

	(void)snprintf(name, sizeof(name), "%s.crt", own);
	pem.cert.data = (const uint8_t *)fl_fixture(name, &pem.cert.len);
	(void)snprintf(name, sizeof(name), "%s.key", own);
	pem.key.data = (const uint8_t *)fl_fixture(name, &pem.key.len);
	pem.bundle.data = (const uint8_t *)fl_fixture("root.crt", &pem.bundle.len);
	rc = fl_credentials_parse(&pem, (int64_t)time(NULL), &c, err);
	if (rc == 0) {
		fl_credentials_free(c);
	}
	free((char *)pem.cert.data);
	free((char *)pem.key.data);
	free((char *)pem.bundle.data);
	return rc;
}

Test(memory, parsing__every_allocation_fails__no_refusal)
{
	static const char *const own[] = {"p256", "p384", "ed25519", "rsa2048", "intermediate"};
	struct fl_err err = {0};
	long failed = 0;

	count_allocations();
	cr_assert_eq(fl_tls_global_init(&err), 0);
	for (size_t i = 0; i < FL_COUNT_OF(own); i++) {
		long n = 0;
		int rc;

		do {
			failing = n++;
			has_failed = false;
			rc = parse_set(own[i], &err);
			failing = -1;
			cr_assert(rc == 0 || (has_failed && rc == FL_ERR_NOMEM && err.code == rc),
				  "%s, allocation %ld: %s", own[i], n, err.text);
			failed += rc != 0;
		} while (has_failed);
	}
	cr_assert_gt(failed, 10);
	fl_tls_global_done();
	cr_assert_eq(in_use, 0);
}
