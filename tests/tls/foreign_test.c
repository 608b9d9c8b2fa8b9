/* SPDX-License-Identifier: GPL-3.0-or-later */
/* foreign_test - messages that other stacks send and ours never would: legal ones are answered, the others get the alert
 * that RFC 8446 requires. Hellos are ours, with extensions put in by hand; messages under keys are sealed by the engine
 * that holds them. */
#include "pair.h"

#include <wolfssl/internal.h>

#include "tls/tls_internal.h"

#define HELLO_MAX (80 * 1024)

struct hello {
	uint8_t data[HELLO_MAX]; /* the handshake message, its header included */
	size_t len;
	size_t ciphers_at, extensions_at; /* of their lengths */
};

static size_t number16(const uint8_t *at)
{
	return (size_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, size_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

static void make_hello(struct pair *pair, struct hello *hello)
{
	pair_start(pair);
	hello->len = pair->client.out_len - 5;
	memcpy(hello->data, pair->client.out + 5, hello->len);
	hello->ciphers_at = 4 + 2 + 32 + 1 + hello->data[4 + 2 + 32];
	hello->extensions_at =
		hello->ciphers_at + 2 + number16(hello->data + hello->ciphers_at) + 2;
	pair->client.out_len = 0;
}

static void insert(struct hello *hello, size_t at, const uint8_t *data, size_t len)
{
	cr_assert_leq(hello->len + len, sizeof(hello->data));
	memmove(hello->data + at + len, hello->data + at, hello->len - at);
	memcpy(hello->data + at, data, len);
	hello->len += len;
}

static void insert_ciphers(struct hello *hello, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t unknown[] = {0x5a, (uint8_t)i};
		insert(hello, hello->ciphers_at + 2, unknown, 2);
	}
	put16(hello->data + hello->ciphers_at,
	      number16(hello->data + hello->ciphers_at) + 2 * count);
	hello->extensions_at += 2 * count;
}

static void insert_session_id(struct hello *hello)
{
	static const uint8_t id[32] = {1, 2, 3};
	hello->data[4 + 2 + 32] = sizeof(id);
	insert(hello, 4 + 2 + 32 + 1, id, sizeof(id));
	hello->ciphers_at += sizeof(id);
	hello->extensions_at += sizeof(id);
}

static size_t find_extension(const struct hello *hello, unsigned type)
{
	size_t at = hello->extensions_at + 2;
	while (at < hello->len && number16(hello->data + at) != type) {
		at += 4 + number16(hello->data + at + 2);
	}
	return at;
}

static void append_extension(struct hello *hello, unsigned type, const uint8_t *data, size_t len)
{
	uint8_t header[4];
	put16(header, type);
	put16(header + 2, len);
	insert(hello, hello->len, header, 4);
	insert(hello, hello->len, data, len);
	put16(hello->data + hello->extensions_at,
	      number16(hello->data + hello->extensions_at) + 4 + len);
}

/* In place of the one that there may be; at the end. */
static void set_extension(struct hello *hello, unsigned type, const uint8_t *data, size_t len)
{
	size_t at = find_extension(hello, type);
	size_t old = at < hello->len ? 4 + number16(hello->data + at + 2) : 0;
	memmove(hello->data + at, hello->data + at + old, hello->len - at - old);
	hello->len -= old;
	put16(hello->data + hello->extensions_at,
	      number16(hello->data + hello->extensions_at) - old);
	append_extension(hello, type, data, len);
}

static void append_ticket(struct hello *hello, size_t size)
{
	static const uint8_t modes[] = {1, 1}; /* psk_dhe_ke */
	uint8_t *psk = fl_new(2 + 2 + size + 4 + 2 + 1 + 32);
	set_extension(hello, TLSX_PSK_KEY_EXCHANGE_MODES, modes, sizeof(modes));
	put16(psk, 2 + size + 4);
	put16(psk + 2, size);
	memset(psk + 4, 0x5c, size);
	put16(psk + 8 + size, 33);
	psk[10 + size] = 32;
	append_extension(hello, TLSX_PRE_SHARED_KEY, psk, 2 + 2 + size + 4 + 2 + 1 + 32);
	free(psk);
}

/* In records as long as they may be. */
static void send_hello(struct pair *pair, struct hello *hello)
{
	uint8_t record[5 + 16384];
	size_t body = hello->len - 4;
	hello->data[1] = (uint8_t)(body >> 16);
	put16(hello->data + 2, body);
	for (size_t at = 0; at < hello->len; at += 16384) {
		size_t n = hello->len - at < 16384 ? hello->len - at : 16384;
		record[0] = handshake;
		put16(record + 1, 0x0301);
		put16(record + 3, n);
		memcpy(record + 5, hello->data + at, n);
		side_feed(&pair->server, record, 5 + n);
	}
}

/* The server has gone on: a ServerHello that is no HelloRetryRequest, and more behind it. */
#define ASSERT_ANSWERED(pair)                                                                      \
	do {                                                                                       \
		cr_assert_eq((pair)->server.step, FL_TLS_MORE, "%s",                               \
			     fl_tls_failure((pair)->server.tls)->text);                            \
		cr_assert_gt((pair)->server.out_len, 1000);                                        \
		cr_assert_eq((pair)->server.out[0], handshake);                                    \
		cr_assert_eq((pair)->server.out[5], server_hello);                                 \
	} while (0)

static struct side_spec with_tickets(struct fl_tls_options *options)
{
	*options = default_options;
	cr_assert_eq(fl_tls_ticket_keys_new(NULL, &options->ticket_keys, NULL), 0);
	return (struct side_spec){.options = options};
}

static struct hello hello; /* too big for the stack under AddressSanitizer */

/* Tickets of Go, OpenSSL and Java grow with the client's chain. Whatever server issued the ticket, the handshake is a full
 * one. */
Test(foreign, tickets_of_every_size__full_handshake)
{
	static const size_t sizes[] = {1, 16, 100, 300, 400, 500, 1536, 5000, 16000, 33000, 64000};
	struct fl_tls_options options;
	struct side_spec spec = with_tickets(&options);
	for (int with = 0; with < 2; with++) {
		for (size_t i = 0; i < FL_COUNT_OF(sizes); i++) {
			struct pair pair;
			pair_open(&pair, NULL, with ? &spec : NULL);
			make_hello(&pair, &hello);
			append_ticket(&hello, sizes[i]);
			send_hello(&pair, &hello);
			ASSERT_ANSWERED(&pair);
			pair_close(&pair);
		}
	}
	fl_tls_ticket_keys_unref(options.ticket_keys);
}

Test(foreign, many_ciphers_and_signature_algorithms__ours_are_found)
{
	for (size_t count = 100; count <= 6400; count *= 8) {
		struct pair pair;
		pair_open(&pair, NULL, NULL);
		make_hello(&pair, &hello);
		size_t at = find_extension(&hello, TLSX_SIGNATURE_ALGORITHMS);
		size_t ours = number16(hello.data + at + 4), all = ours + 2 * count;
		uint8_t *list = fl_new(2 + all);
		put16(list, all);
		for (size_t i = 0; i < count; i++) {
			put16(list + 2 + 2 * i, 0x7f00 + i % 256);
		}
		memcpy(list + 2 + 2 * count, hello.data + at + 6, ours);
		set_extension(&hello, TLSX_SIGNATURE_ALGORITHMS, list, 2 + all);
		insert_ciphers(&hello, count);
		send_hello(&pair, &hello);
		ASSERT_ANSWERED(&pair);
		free(list);
		pair_close(&pair);
	}
}

static void expect_alert(struct pair *pair, enum fl_tls_cause cause, uint8_t alert,
			 const char *words)
{
	ASSERT_FAILED(&pair->server, cause, FL_RULE_NONE, alert);
	cr_assert_not_null(strstr(fl_tls_failure(pair->server.tls)->text, words), "%s",
			   fl_tls_failure(pair->server.tls)->text);
}

/* Key shares of unknown groups, before ours. */
Test(foreign, many_key_shares__ours_is_found)
{
	static uint8_t list[65536];
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	size_t at = find_extension(&hello, TLSX_KEY_SHARE);
	size_t ours = number16(hello.data + at + 4), unknown = 200, len = 2;
	for (size_t i = 0; i < unknown; i++, len += 4 + 64) {
		put16(list + len, 0x5000 + i);
		put16(list + len + 2, 64);
	}
	memcpy(list + len, hello.data + at + 6, ours);
	len += ours;
	put16(list, len - 2);
	set_extension(&hello, TLSX_KEY_SHARE, list, len);
	send_hello(&pair, &hello);
	ASSERT_ANSWERED(&pair);
	pair_close(&pair);
}

/* RFC 8446 section 4.1.1 and 4.1.4: a client is never asked for a group that it has not offered. */
Test(foreign, no_group_in_common__handshake_failure_and_no_retry)
{
	static const uint8_t groups[] = {0, 4, 0, 24, 0, 30}; /* P-384, X448 */
	static const uint8_t no_shares[] = {0, 0};
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	set_extension(&hello, TLSX_SUPPORTED_GROUPS, groups, sizeof(groups));
	set_extension(&hello, TLSX_KEY_SHARE, no_shares, sizeof(no_shares));
	send_hello(&pair, &hello);
	expect_alert(&pair, FL_TLS_CAUSE_PARAMETERS, 40, "no TLS group in common");
	cr_assert_eq(pair.server.out_len, 7, "the alert alone");
	pair_close(&pair);
}

/* The alert is about the wrong extension, even if another error would have followed it. */
Test(foreign, broken_key_share__is_not_called_a_missing_extension)
{
	static const uint8_t empty[] = {0, 4, 0, 29, 0, 0};
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	size_t at = find_extension(&hello, TLSX_SUPPORTED_GROUPS);
	uint8_t groups[64];
	size_t len = number16(hello.data + at + 2);
	memcpy(groups, hello.data + at + 4, len);
	set_extension(&hello, TLSX_KEY_SHARE, empty, sizeof(empty));
	set_extension(&hello, TLSX_SUPPORTED_GROUPS, groups, len); /* the last one now */
	send_hello(&pair, &hello);
	expect_alert(&pair, FL_TLS_CAUSE_PROTOCOL, 50, "cut short");
	pair_close(&pair);
}

/* A group of ours without a share for it: that one is asked for. */
Test(foreign, group_without_a_share__is_asked_for)
{
	static const uint8_t groups[] = {0, 4, 0, 24, 0, 29}; /* P-384, X25519 */
	static const uint8_t no_shares[] = {0, 0};
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	set_extension(&hello, TLSX_SUPPORTED_GROUPS, groups, sizeof(groups));
	set_extension(&hello, TLSX_KEY_SHARE, no_shares, sizeof(no_shares));
	send_hello(&pair, &hello);
	cr_assert_eq(pair.server.step, FL_TLS_MORE);
	static const uint8_t x25519[] = {0, 51, 0, 2, 0, 29};
	cr_assert_not_null(memmem(pair.server.out, pair.server.out_len, x25519, sizeof(x25519)));
	pair_close(&pair);
}

Test(foreign, no_signature_algorithm_in_common__handshake_failure)
{
	static const uint8_t unknown[] = {0, 4, 0x7f, 1, 0x7f, 2};
	static const uint8_t none[] = {0, 0};
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	set_extension(&hello, TLSX_SIGNATURE_ALGORITHMS, unknown, sizeof(unknown));
	send_hello(&pair, &hello);
	expect_alert(&pair, FL_TLS_CAUSE_PARAMETERS, 40, "no signature algorithm in common");
	pair_close(&pair);
	pair_open(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	set_extension(&hello, TLSX_SIGNATURE_ALGORITHMS, none, sizeof(none));
	send_hello(&pair, &hello);
	expect_alert(&pair, FL_TLS_CAUSE_PROTOCOL, 50, "cut short");
	pair_close(&pair);
}

static size_t count_records(const struct side *side, uint8_t type)
{
	size_t count = 0;
	for (size_t at = 0; at < side->out_len; at += 5 + number16(side->out + at + 3)) {
		count += side->out[at] == type;
	}
	return count;
}

/* RFC 8446 appendix D.4: only a client that sends a session ID gets one. Between our own ends it costs nothing. */
Test(foreign, change_cipher_spec__for_who_sends_a_session_id)
{
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	cr_assert_eq(hello.data[4 + 2 + 32], 0, "our own hello has no session ID");
	send_hello(&pair, &hello);
	ASSERT_ANSWERED(&pair);
	cr_assert_eq(count_records(&pair.server, change_cipher_spec), 0);
	pair_again(&pair, NULL, NULL);
	make_hello(&pair, &hello);
	insert_session_id(&hello);
	send_hello(&pair, &hello);
	ASSERT_ANSWERED(&pair);
	cr_assert_eq(count_records(&pair.server, change_cipher_spec), 1);
	size_t second = 5 + number16(pair.server.out + 3);
	static const uint8_t dummy[] = {20, 3, 3, 0, 1, 1};
	cr_assert_arr_eq(pair.server.out + second, dummy, sizeof(dummy));
	pair_close(&pair);
}

/* RFC 8446 section 5.1: the version of a record is ignored. */
Test(foreign, change_cipher_spec_of_a_client__whatever_its_version)
{
	static const uint8_t minors[] = {1, 3};
	for (size_t i = 0; i < FL_COUNT_OF(minors); i++) {
		uint8_t record[] = {20, 3, minors[i], 0, 1, 1};
		struct pair pair;
		pair_open(&pair, NULL, NULL);
		pair_start(&pair);
		side_deliver(&pair.server, &pair.client, 0);
		side_feed(&pair.server, record, sizeof(record));
		cr_assert_eq(pair.server.step, FL_TLS_MORE, "%s",
			     fl_tls_failure(pair.server.tls)->text);
		pair_settle(&pair, 0);
		ASSERT_UP(&pair);
		pair_close(&pair);
	}
}

/* --- under keys ------------------------------------------------------------------------------------- */

/* One record of a side, sealed under its present keys. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* wolfSSL's word for "internal" */
static void seal(struct side *side, const uint8_t *data, size_t len, int type)
{
	uint8_t *record = malloc(len + 64);
	int n = BuildTls13Message(side->tls->wolf, record, (int)len + 64, data, (int)len, type, 0,
				  0, 0);
	cr_assert_gt(n, 0, "%d", n);
	side->out = realloc(side->out, side->out_len + (size_t)n);
	side->out_cap = side->out_len + (size_t)n;
	memcpy(side->out + side->out_len, record, (size_t)n);
	side->out_len += (size_t)n;
	free(record);
}
#pragma GCC diagnostic pop

/* A NewSessionTicket in records of at most chunk bytes. */
static void send_ticket(struct pair *pair, size_t nonce_len, size_t ticket_len, size_t chunk)
{
	size_t len = 4 + 4 + 4 + 1 + nonce_len + 2 + ticket_len + 2;
	uint8_t *message = fl_new(len), *at = message + 4;
	message[0] = session_ticket;
	message[1] = (uint8_t)((len - 4) >> 16);
	put16(message + 2, len - 4);
	put16(at + 2, 3600);
	at[8] = (uint8_t)nonce_len;
	memset(at + 9, 0x17, nonce_len);
	put16(at + 9 + nonce_len, ticket_len);
	memset(at + 11 + nonce_len, 0x18, ticket_len);
	for (size_t i = 0; i < len; i += chunk) {
		size_t n = len - i < chunk ? len - i : chunk;
		uint8_t *copy = malloc(n + 1);
		memcpy(copy, message + i, n);
		seal(&pair->server, copy, n, handshake);
		free(copy);
	}
	free(message);
}

static void expect_data(struct pair *pair)
{
	side_write(&pair->server, (const uint8_t *)"hello", 5);
	side_deliver(&pair->client, &pair->server, 0);
	ASSERT_UP(pair);
	cr_assert_eq(pair->client.got_len, 5, "%s", fl_tls_failure(pair->client.tls)->text);
	pair->client.got_len = 0;
	side_write(&pair->client, (const uint8_t *)"world", 5);
	side_deliver(&pair->server, &pair->client, 0);
	cr_assert_eq(pair->server.got_len, 5);
	pair->server.got_len = 0;
}

/* rustls has a nonce of 32 bytes; 255 are legal, and 64 KB of ticket, in as many records as the server likes. */
Test(foreign, tickets_and_nonces_of_every_size__are_read)
{
	static const size_t nonces[] = {0, 1, 8, 9, 32, 255};
	static const size_t tickets[] = {1, 500, 4096, 4097, 16000, 65535};
	static const size_t chunks[] = {16384, 1000, 100};
	struct fl_tls_options options;
	struct side_spec spec = with_tickets(&options);
	for (size_t i = 0; i < FL_COUNT_OF(chunks); i++) {
		struct pair pair;
		pair_open(&pair, &spec, NULL);
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		for (size_t n = 0; n < FL_COUNT_OF(nonces); n++) {
			for (size_t t = 0; t < FL_COUNT_OF(tickets); t++) {
				send_ticket(&pair, nonces[n], tickets[t], chunks[i]);
				expect_data(&pair);
				struct fl_tls_saved *saved = fl_tls_save(pair.client.tls);
				cr_assert_not_null(saved);
				/* One that is too big to be kept leaves the one before it in place. */
				if (tickets[t] <= 4096) {
					cr_assert_eq(saved->session->ticketLen, tickets[t]);
					cr_assert_eq(saved->session->ticketNonce.len, nonces[n]);
				}
				fl_tls_saved_free(saved);
			}
		}
		pair_close(&pair);
	}
	fl_tls_ticket_keys_unref(options.ticket_keys);
}

/* A session that was saved with a long nonce can be offered; a server that does not know it makes a full handshake. */
Test(foreign, session_with_a_long_nonce__is_offered)
{
	struct fl_tls_options options;
	struct side_spec spec = with_tickets(&options);
	struct pair pair;
	pair_open(&pair, &spec, &spec);
	pair_handshake(&pair);
	send_ticket(&pair, 255, 4000, 16384);
	expect_data(&pair);
	struct fl_tls_saved *saved = fl_tls_save(pair.client.tls);
	cr_assert_not_null(saved);
	pair_again(&pair, &spec, &spec);
	cr_assert(fl_tls_resume(pair.client.tls, saved));
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_not(fl_tls_resumed(pair.client.tls));
	expect_data(&pair);
	fl_tls_saved_free(saved);
	pair_close(&pair);
	fl_tls_ticket_keys_unref(options.ticket_keys);
}

Test(foreign, empty_alert__unexpected_message)
{
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	seal(&pair.client, (const uint8_t *)"", 0, alert);
	side_deliver(&pair.server, &pair.client, 0);
	ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PROTOCOL, FL_RULE_NONE, 10);
	pair_again(&pair, NULL, NULL);
	static const uint8_t empty[] = {21, 3, 3, 0, 0};
	pair_start(&pair);
	side_feed(&pair.server, empty, sizeof(empty));
	cr_assert_eq(pair.server.step, FL_TLS_FAILED);
	cr_assert_eq(fl_tls_failure(pair.server.tls)->alert, 10);
	pair_close(&pair);
}

/* A peer that cannot process our first flight sends an unencrypted alert, and gets no answer. Later, no unencrypted record
 * is accepted. */
Test(foreign, alert_in_the_clear)
{
	static const uint8_t unknown_ca[] = {21, 3, 3, 0, 2, 2, 48};
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	pair_start(&pair);
	side_deliver(&pair.server, &pair.client, 0);
	pair.server.out_len = 0;
	side_feed(&pair.server, unknown_ca, sizeof(unknown_ca));
	ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 48);
	cr_assert_eq(pair.server.out_len, 0);
	pair_again(&pair, NULL, NULL);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	side_feed(&pair.server, unknown_ca, sizeof(unknown_ca));
	ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PROTOCOL, FL_RULE_NONE, 10);
	cr_assert_gt(pair.server.out_len, 0);
	pair_close(&pair);
}
