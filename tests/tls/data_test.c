/* SPDX-License-Identifier: GPL-3.0-or-later */
/* data_test - records: bytes arrive as they were sent, ends are recognized, and nothing forged gets through. */
#include "pair.h"

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void pair_up(struct pair *pair)
{
	pair_open(pair, NULL, NULL);
	pair_handshake(pair);
	ASSERT_UP(pair);
}

static void fill(uint8_t *data, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		data[i] = (uint8_t)next_random(&seed);
	}
}

/* Appends what a side reads with buffers of cap bytes. */
static void read_with(struct side *side, const uint8_t *in, size_t in_len, size_t cap)
{
	struct fl_tls_io io = side_io(side, in, in_len, FL_TLS_OUT_RESERVE);
	size_t n;
	do {
		side->got = fl_grow(side->got, side->got_len + cap, 1);
		side->got_cap = side->got_len + cap;
		side->step = fl_tls_read(side->tls, &io, side->got + side->got_len, cap, &n);
		side->got_len += n;
	} while (side->step == FL_TLS_MORE && n == cap);
	cr_assert_eq(io.in_len, 0);
	side->out_len = io.out_len;
}

Test(data, both_ways_in_random_chunks)
{
	enum { SIZE = 300000 };
	uint8_t *data = malloc(SIZE);
	uint32_t random = 1;
	for (uint32_t run = 1; run <= 30; run++) {
		struct pair pair;
		pair_up(&pair);
		fill(data, SIZE, run);
		struct side *sides[] = {&pair.client, &pair.server};
		size_t sent[2] = {0};
		while (sent[0] < SIZE || sent[1] < SIZE) {
			size_t who = next_random(&random) % 2;
			size_t most = run % 3 == 0 ? 70 : run % 3 == 1 ? 5000 : 70000;
			size_t n = next_random(&random) % most;
			n = n < SIZE - sent[who] ? n : SIZE - sent[who];
			side_write(sides[who], data + sent[who], n);
			sent[who] += n;
			side_deliver(sides[1 - who], sides[who], 1 + next_random(&random) % 3000);
		}
		for (size_t i = 0; i < 2; i++) {
			cr_assert_eq(sides[i]->got_len, SIZE);
			cr_assert_arr_eq(sides[i]->got, data, SIZE);
			cr_assert_eq(sides[i]->step, FL_TLS_MORE);
		}
		pair_close(&pair);
	}
	free(data);
}

Test(data, read_buffers_of_every_size)
{
	uint8_t data[40000];
	fill(data, sizeof(data), 7);
	for (size_t cap = 1; cap < 70000; cap = cap * 3 + 1) {
		struct pair pair;
		pair_up(&pair);
		side_write(&pair.client, data, sizeof(data));
		read_with(&pair.server, pair.client.out, pair.client.out_len, cap);
		cr_assert_eq(pair.server.got_len, sizeof(data));
		cr_assert_arr_eq(pair.server.got, data, sizeof(data));
		pair_close(&pair);
	}
}

Test(data, sealed_size_is_enough)
{
	static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 32768, 65536, 200000};
	uint8_t *data = calloc(1, 200000);
	struct pair pair;
	pair_up(&pair);
	for (size_t i = 0; i < FL_COUNT_OF(sizes); i++) {
		side_write(&pair.client, data, sizes[i]); /* asserts it */
		cr_assert_eq(pair.client.out_len == 0, sizes[i] == 0);
		side_deliver(&pair.server, &pair.client, 0);
		cr_assert_eq(pair.server.got_len, sizes[i]);
		pair.server.got_len = 0;
	}
	free(data);
	pair_close(&pair);
}

/* The client may send data in the same segment as its last flight. */
Test(data, behind_the_handshake)
{
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	pair_start(&pair);
	side_deliver(&pair.server, &pair.client, 0);
	side_deliver(&pair.client, &pair.server, 0);
	side_write(&pair.client, (const uint8_t *)"hello", 5);
	side_deliver(&pair.server, &pair.client, 0);
	ASSERT_UP(&pair);
	cr_assert_eq(pair.server.got_len, 5);
	cr_assert_arr_eq(pair.server.got, "hello", 5);
	pair_close(&pair);
}

/* One side has finished, the other goes on, then finishes too. */
static void half_close(bool client_first, bool data_with_close)
{
	struct pair pair;
	pair_up(&pair);
	struct side *first = client_first ? &pair.client : &pair.server;
	struct side *last = client_first ? &pair.server : &pair.client;
	side_write(first, (const uint8_t *)"question", 8);
	if (!data_with_close) {
		side_deliver(last, first, 0);
	}
	side_shut(first);
	side_deliver(last, first, 0);
	cr_assert_eq(last->step, FL_TLS_EOF);
	cr_assert_eq(last->got_len, 8);
	for (size_t i = 1; i <= 100; i++) {
		side_write(last, (const uint8_t *)"answer", 6);
		side_deliver(first, last, i);
		cr_assert_eq(first->step, FL_TLS_MORE);
		cr_assert_eq(first->got_len, 6 * i);
	}
	side_feed(last, (const uint8_t *)"x", 1); /* after the end anything is ignored */
	cr_assert_eq(last->step, FL_TLS_EOF);
	side_shut(last);
	cr_assert_eq(last->step, FL_TLS_EOF);
	side_deliver(first, last, 0);
	cr_assert_eq(first->step, FL_TLS_EOF);
	cr_assert_eq(first->got_len, 600);
	cr_assert_eq(pair.client.out_len + pair.server.out_len, 0);
	pair_close(&pair);
}

Test(data, half_close_in_both_orders)
{
	for (int i = 0; i < 4; i++) {
		half_close(i & 1, i & 2);
	}
}

Test(data, both_close_at_once)
{
	struct pair pair;
	pair_up(&pair);
	side_shut(&pair.client);
	side_shut(&pair.server);
	side_deliver(&pair.server, &pair.client, 0);
	side_deliver(&pair.client, &pair.server, 0);
	cr_assert_eq(pair.server.step, FL_TLS_EOF);
	cr_assert_eq(pair.client.step, FL_TLS_EOF);
	cr_assert_eq(pair.client.out_len + pair.server.out_len, 0);
	pair_close(&pair);
}

/* A stream cut off anywhere is "more", never an end: what to make of the end of TCP is the
 * caller's. */
Test(data, truncation__is_no_eof)
{
	struct pair pair;
	pair_up(&pair);
	side_write(&pair.client, (const uint8_t *)"0123456789", 10);
	side_shut(&pair.client);
	uint8_t *all = pair.client.out;
	size_t len = pair.client.out_len;
	for (size_t i = 0; i + 1 < len; i++) {
		side_feed(&pair.server, all + i, 1);
		cr_assert_eq(pair.server.step, FL_TLS_MORE);
	}
	side_feed(&pair.server, all + len - 1, 1);
	cr_assert_eq(pair.server.step, FL_TLS_EOF);
	pair_close(&pair);
}

/* Each byte of a record turned over, one a run. A longer length makes the engine wait for more
 * bytes, which is as good: it says MORE and gives nothing out. */
static void flip_each_byte(const char *cipher)
{
	const struct fl_tls_options options = {all_groups, 2, &cipher, 1, .ticket_keys = NULL};
	struct side_spec spec = {.options = &options};
	size_t len = 1;
	struct pair pair;
	pair_open(&pair, &spec, &spec);
	for (size_t at = 0; at < len; at++) {
		pair_again(&pair, &spec, &spec);
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		side_write(&pair.client, (const uint8_t *)"0123456789", 10);
		len = pair.client.out_len;
		pair.client.out[at] ^= (uint8_t)(1 << (at % 8));
		side_deliver(&pair.server, &pair.client, 0);
		cr_assert_eq(pair.server.got_len, 0);
		if (at >= 5) {
			ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PROTOCOL, FL_RULE_NONE, 20);
			side_deliver(&pair.client, &pair.server, 0);
			ASSERT_FAILED(&pair.client, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 20);
		} else if (pair.server.step == FL_TLS_FAILED) {
			cr_assert_eq(fl_tls_failure(pair.server.tls)->cause, FL_TLS_CAUSE_PROTOCOL,
				     "byte %zu: %s", at, fl_tls_failure(pair.server.tls)->text);
			cr_assert_neq(fl_tls_failure(pair.server.tls)->alert, 0);
		} else {
			cr_assert_eq(pair.server.step, FL_TLS_MORE);
		}
	}
	pair_close(&pair);
}

Test(data, tampered_record__alert_20)
{
	for (size_t i = 0; i < FL_COUNT_OF(all_ciphers); i++) {
		flip_each_byte(all_ciphers[i]);
	}
}

/* What a peer sends never ends in an error that failure.c does not know. */
static void assert_known(const struct side *side)
{
	const struct fl_tls_failure *failure = fl_tls_failure(side->tls);
	cr_expect_neq(failure->cause, FL_TLS_CAUSE_INTERNAL, "%s", failure->text);
}

/* Each byte of each handshake flight: never established on both sides with different views, no
 * crash. */
/* Turns over one byte of the n-th flight; returns the length of that flight. */
static size_t flip_in_flight(struct pair *pair, size_t flight, size_t at)
{
	struct side *from = &pair->client, *to = &pair->server;
	pair_start(pair);
	for (size_t i = 0; i < flight; i++) {
		struct side *other = from;
		side_deliver(to, from, 0);
		from = to;
		to = other;
	}
	size_t len = from->out_len;
	from->out[at] ^= (uint8_t)(1 << (at % 8));
	pair_settle(pair, 0);
	return len;
}

Test(data, tampered_handshake__never_both_with_different_views)
{
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	for (size_t flight = 0; flight < 3; flight++) {
		size_t len = 1;
		for (size_t at = 0; at < len; at++) {
			pair_again(&pair, NULL, NULL);
			len = flip_in_flight(&pair, flight, at);
			assert_known(&pair.client);
			assert_known(&pair.server);
			/* Some bytes, such as the legacy version of a record, are outside of all
			 * protection and to be ignored. */
			if (side_is_up(&pair.client) && side_is_up(&pair.server)) {
				side_write(&pair.client, (const uint8_t *)"x", 1);
				side_write(&pair.server, (const uint8_t *)"x", 1);
				pair_settle(&pair, 0);
				cr_assert_eq(pair.client.got_len + pair.server.got_len, 2);
			}
		}
	}
	pair_close(&pair);
}

static void first_bytes(const void *data, size_t len, enum fl_tls_cause cause, uint8_t alert)
{
	static const struct side_spec none;
	struct fl_err err = {0};
	struct side server;
	cr_assert_eq(fl_tls_global_init(&err), 0);
	side_open(&server, FL_TLS_SERVER, &none);
	side_feed(&server, data, len);
	ASSERT_FAILED(&server, cause, FL_RULE_NONE, alert);
	cr_assert_eq(server.out_len, 7, "a plain alert record has 7 bytes, not %zu",
		     server.out_len);
	cr_assert_eq(server.out[0], 21);
	cr_assert_eq(server.out[6], alert);
	side_close(&server);
	fl_tls_global_done();
}

Test(data, plaintext_and_garbage__not_tls)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
	static const uint8_t zeros[64], ones[] = {255, 255, 255, 255, 255, 255, 255, 255};
	first_bytes(http, sizeof(http) - 1, FL_TLS_CAUSE_NOT_TLS, 10);
	first_bytes("SSH-2.0-OpenSSH_9.2\r\n", 21, FL_TLS_CAUSE_NOT_TLS, 10);
	first_bytes(zeros, sizeof(zeros), FL_TLS_CAUSE_NOT_TLS, 10);
	first_bytes(ones, sizeof(ones), FL_TLS_CAUSE_NOT_TLS, 10);
}

/* A ClientHello of TLS 1.2: no supported_versions. */
Test(data, tls12_hello__alert_70)
{
	uint8_t hello[] = {22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3};
	uint8_t message[256];
	static const uint8_t tail[] = {0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0, 0, 16, 0, 10, 0,
				       4, 0, 2, 0,    23,   0,    13,   0, 4, 0, 2,  4, 3};
	size_t len = sizeof(hello);
	memcpy(message, hello, len);
	memset(message + len, 0x5a, 32);
	len += 32;
	memcpy(message + len, tail, sizeof(tail));
	len += sizeof(tail);
	message[4] = (uint8_t)(len - 5);
	message[8] = (uint8_t)(len - 9);
	first_bytes(message, len, FL_TLS_CAUSE_VERSION, 70);
}

/* Random bytes after a plausible record header. */
Test(data, random_records__fail_or_wait)
{
	static const struct side_spec none;
	struct fl_err err = {0};
	struct side server;
	uint32_t random = 42;
	cr_assert_eq(fl_tls_global_init(&err), 0);
	side_open(&server, FL_TLS_SERVER, &none);
	for (int run = 0; run < 5000; run++) {
		uint8_t data[600];
		side_disconnect(&server);
		side_connect(&server, &none);
		fill(data, sizeof(data), next_random(&random));
		data[0] = (uint8_t)(20 + run % 5);
		data[1] = 3;
		data[2] = 3;
		data[3] = 0;
		data[4] = (uint8_t)(next_random(&random));
		if (run % 3 == 0) {
			data[5] = 1; /* client_hello */
			data[6] = 0;
			data[7] = 0;
			data[8] = (uint8_t)(data[4] - 4);
		}
		side_feed(&server, data, sizeof(data));
		cr_assert_not(side_is_up(&server));
		assert_known(&server);
	}
	side_close(&server);
	fl_tls_global_done();
}

/* Policy refuses the peer once it is known. */
Test(data, our_alert_is_seen_by_the_peer)
{
	for (int by_server = 0; by_server < 2; by_server++) {
		struct pair pair;
		pair_up(&pair);
		struct side *judge = by_server ? &pair.server : &pair.client;
		struct side *other = by_server ? &pair.client : &pair.server;
		struct fl_tls_io io = side_io(judge, NULL, 0, FL_TLS_OUT_RESERVE);
		fl_tls_alert(judge->tls, &io, 49);
		judge->out_len = io.out_len;
		cr_assert_gt(io.out_len, 0);
		cr_assert_eq(fl_tls_failure(judge->tls)->alert, 49);
		cr_assert_eq(fl_tls_failure(judge->tls)->cause, FL_TLS_CAUSE_NONE);
		uint8_t buf[16];
		size_t n;
		cr_assert_eq(fl_tls_read(judge->tls, &io, buf, sizeof(buf), &n), FL_TLS_FAILED);
		side_deliver(other, judge, 0);
		ASSERT_FAILED(other, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 49);
		cr_assert_not_null(strstr(fl_tls_failure(other->tls)->text, "access_denied"));
		pair_close(&pair);
	}
}

Test(data, garbage_after_the_handshake)
{
	struct pair pair;
	pair_up(&pair);
	side_feed(&pair.server, (const uint8_t *)"GET / HTTP/1.1\r\n", 16);
	ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PROTOCOL, FL_RULE_NONE, 10);
	side_deliver(&pair.client, &pair.server, 0);
	ASSERT_FAILED(&pair.client, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 10);
	pair_close(&pair);
}

/* The peer changes its keys, with and without asking us to do the same. */
Test(data, key_update)
{
	struct pair pair;
	pair_up(&pair);
	for (int i = 0; i < 20; i++) {
		struct side *from = i % 2 == 0 ? &pair.client : &pair.server;
		struct side *to = i % 2 == 0 ? &pair.server : &pair.client;
		struct fl_tls_io io = side_io(from, NULL, 0, FL_TLS_OUT_RESERVE);
		from->tls->io = &io;
		cr_assert_eq(wolfSSL_update_keys(from->tls->wolf), WOLFSSL_SUCCESS);
		from->tls->io = NULL;
		from->out_len = io.out_len;
		side_write(from, (const uint8_t *)"new", 3);
		side_deliver(to, from, 1 + (size_t)i);
		side_write(to, (const uint8_t *)"keys", 4);
		pair_settle(&pair, 0);
		cr_assert_eq(to->step, FL_TLS_MORE, "%s", fl_tls_failure(to->tls)->text);
		cr_assert_eq(to->got_len, 3);
		cr_assert_eq(from->got_len, 4);
		to->got_len = from->got_len = 0;
	}
	pair_close(&pair);
}

/* A peer that asks for a key update over and over gets as many answers as there is room for in one call,
 * and is then dropped; the process lives on. */
Test(data, key_update_flood__fails)
{
	struct pair pair;
	size_t fed = 0;
	pair_up(&pair);
	struct fl_tls_io io = side_io(&pair.client, NULL, 0, 4000 * 64);
	pair.client.tls->io = &io;
	for (int i = 0; i < 4000; i++) {
		cr_assert_eq(wolfSSL_update_keys(pair.client.tls->wolf), WOLFSSL_SUCCESS);
	}
	pair.client.tls->io = NULL;
	pair.client.out_len = io.out_len;
	uint8_t *flood = side_take(&pair.client);
	fed = pair.client.out_len;
	pair.client.out_len = 0;
	cr_assert_gt(fed, 100000);
	side_feed(&pair.server, flood, fed);
	cr_assert_eq(pair.server.step, FL_TLS_FAILED);
	cr_assert_eq(fl_tls_failure(pair.server.tls)->cause, FL_TLS_CAUSE_PROTOCOL, "%s",
		     fl_tls_failure(pair.server.tls)->text);
	cr_assert_leq(pair.server.out_len, FL_TLS_OUT_RESERVE);
	free(flood);
	pair_close(&pair);
}
