/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tls_bench - what TLS costs in CPU, without sockets: mutual handshakes, full and resumed, records of several
 * sizes.
 *
 *   FL_TEST_PKI=<folder of tests/lib/pki.py> tls_bench
 *   FL_TEST_PKI=... valgrind --tool=callgrind tls_bench full|resumed|x25519|records COUNT
 *
 * The second form measures nothing itself: it does COUNT of one thing, for a tool that counts instructions, which a busy
 * machine does not disturb. What two COUNTs differ by is what the thing costs. full and resumed are with both groups, x25519
 * is a full handshake with that group alone and without a ticket.
 *
 * One thread; client and server take turns and are timed apart. Each figure is the best of many short
 * runs, by the monotonic clock: the CPU clock of a thread costs a system call, which is more than
 * a small record does. Not part of the test run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "pki/credentials.h"
#include "tls/tls.h"

#define RUNS 40
#define HANDSHAKES 60
#define OUT_CAP (FL_TLS_OUT_RESERVE + FL_TLS_SEALED_SIZE(65536))

static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
				      "TLS_CHACHA20_POLY1305_SHA256"};
static const char *const hybrid[] = {"X25519MLKEM768", "X25519"}, *const classic[] = {"X25519"},
			 *const p256[] = {"P-256"};

struct end {
	struct fl_tls_ctx *ctx;
	struct fl_tls *tls;
	uint8_t *out;
	size_t out_len;
	double us;
};

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "tls_bench: %s: %s\n", what, why);
	exit(1);
}

static double now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static char *slurp(const char *name, const char *suffix, struct fl_span *ret)
{
	const char *folder = getenv("FL_TEST_PKI");
	char *path = fl_format("%s/%s%s", folder != NULL ? folder : ".", name, suffix);
	FILE *file = fopen(path, "rb");
	if (file == NULL) {
		die(path, "does not open; FL_TEST_PKI must name the folder of tests/lib/pki.py");
	}
	char *data = fl_new(1 << 16);
	*ret = (struct fl_span){(const uint8_t *)data, fread(data, 1, 1 << 16, file)};
	(void)fclose(file);
	free(path);
	return data;
}

/* As in a sidecar: of all generations, each with an epoch of its own. */
static struct fl_tls_peers *peers;
static uint64_t next_epoch = 1;

static struct fl_credentials *credentials(const char *leaf, const char *root, const char *foreign)
{
	struct fl_credentials *c;
	struct fl_err err = {0};
	struct fl_span partner;
	struct fl_credentials_pem pem = {.cert_name = leaf, .key_name = leaf, .bundle_name = root};
	char *a = slurp(leaf, ".crt", &pem.cert), *b = slurp(leaf, ".key", &pem.key);
	char *d = slurp(root, ".crt", &pem.bundle), *e = NULL;
	struct fl_foreign_bundle other = {.trust_domain = "other.example", .name = foreign};
	if (foreign != NULL) {
		e = slurp(foreign, ".crt", &partner);
		other.pem = partner;
		pem.foreign = &other;
		pem.foreign_count = 1;
	}
	if (fl_credentials_parse(&pem, (int64_t)time(NULL), &c, &err) != 0) {
		die(leaf, err.text);
	}
	free(a);
	free(b);
	free(d);
	free(e);
	return c;
}

static void turn(struct end *end, struct end *from, enum fl_tls_step *ret_step)
{
	struct fl_tls_io io = {
		.in = from->out, .in_len = from->out_len, .out = end->out, .out_cap = OUT_CAP};
	double start = now_us();
	*ret_step = fl_tls_handshake(end->tls, &io);
	end->us += now_us() - start;
	if (*ret_step == FL_TLS_FAILED) {
		die("handshake", fl_tls_failure(end->tls)->text);
	}
	end->out_len = io.out_len;
	from->out_len = 0;
}

/* The client reads the ticket. */
static void take_ticket(struct end *client, struct end *server)
{
	struct fl_tls_io io = {.in = server->out,
			       .in_len = server->out_len,
			       .out = client->out,
			       .out_cap = OUT_CAP};
	uint8_t none[1];
	size_t n;
	double start = now_us();
	if (fl_tls_read(client->tls, &io, none, sizeof(none), &n) != FL_TLS_MORE) {
		die("ticket", fl_tls_failure(client->tls)->text);
	}
	client->us += now_us() - start;
	server->out_len = 0;
}

/* saved: to be resumed, or NULL. */
static void connect_ends(struct end *client, struct end *server, const struct fl_tls_saved *saved)
{
	enum fl_tls_step c, s;
	struct end *const ends[] = {client, server};
	for (size_t i = 0; i < 2; i++) {
		double start = now_us();
		if (fl_tls_new(ends[i]->ctx, NULL, NULL, &ends[i]->tls, NULL) != 0) {
			die("fl_tls_new", "fails");
		}
		if (i == 0 && saved != NULL && !fl_tls_resume(client->tls, saved)) {
			die("fl_tls_resume", "refuses");
		}
		ends[i]->us += now_us() - start;
		ends[i]->out_len = 0;
	}
	do {
		turn(client, server, &c);
		turn(server, client, &s);
	} while (c != FL_TLS_ESTABLISHED || s != FL_TLS_ESTABLISHED);
	if (server->out_len > 0) {
		take_ticket(client, server);
	}
	if (fl_tls_resumed(server->tls) != (saved != NULL)) {
		die("handshake", "resumed or not: not as it should be");
	}
}

static void drop_ends(struct end *client, struct end *server)
{
	struct end *const ends[] = {client, server};
	for (size_t i = 0; i < 2; i++) {
		double start = now_us();
		fl_tls_free(ends[i]->tls);
		ends[i]->us += now_us() - start;
	}
}

static void open_ends(struct end *client, struct end *server, const struct fl_credentials *c,
		      const struct fl_tls_options *options)
{
	struct fl_err err = {0};
	if (fl_tls_ctx_new(c, options, FL_TLS_CLIENT, &client->ctx, &err) != 0 ||
	    fl_tls_ctx_new(c, options, FL_TLS_SERVER, &server->ctx, &err) != 0) {
		die("fl_tls_ctx_new", err.text);
	}
	client->out = fl_new(OUT_CAP);
	server->out = fl_new(OUT_CAP);
}

static void close_ends(struct end *client, struct end *server)
{
	fl_tls_ctx_free(client->ctx);
	fl_tls_ctx_free(server->ctx);
	free(client->out);
	free(server->out);
}

static void report(const char *what, struct end *client, struct end *server,
		   const struct fl_tls_saved *saved)
{
	double best_client = 1e9, best_server = 1e9;
	for (int run = 0; run < RUNS; run++) {
		client->us = server->us = 0;
		for (int i = 0; i < HANDSHAKES; i++) {
			connect_ends(client, server, saved);
			drop_ends(client, server);
		}
		double c = client->us / HANDSHAKES, s = server->us / HANDSHAKES;
		best_client = c < best_client ? c : best_client;
		best_server = s < best_server ? s : best_server;
	}
	(void)printf("%-34s %8.1f %8.1f %8.1f\n", what, best_client, best_server,
		     best_client + best_server);
}

/* With tickets: a full handshake gives one out, a resumed one takes one and gives out another. */
static void resumptions(const char *what, const char *const *groups, size_t group_count)
{
	struct fl_tls_options options = {groups, group_count,    ciphers,
					 3,      .peers = peers, .epoch = next_epoch++};
	struct fl_credentials *c = credentials("p256", "root", NULL);
	struct end client = {0}, server = {0};
	struct fl_err err = {0};
	char *full = fl_format("%s, full, ticket", what), *resumed = fl_format("%s, resumed", what);
	if (fl_tls_ticket_keys_new(NULL, &options.ticket_keys, &err) != 0) {
		die("fl_tls_ticket_keys_new", err.text);
	}
	open_ends(&client, &server, c, &options);
	report(full, &client, &server, NULL);
	connect_ends(&client, &server, NULL);
	struct fl_tls_saved *saved = fl_tls_save(client.tls);
	if (saved == NULL) {
		die("fl_tls_save", "nothing");
	}
	drop_ends(&client, &server);
	report(resumed, &client, &server, saved);
	fl_tls_saved_free(saved);
	close_ends(&client, &server);
	fl_tls_ticket_keys_unref(options.ticket_keys);
	fl_credentials_free(c);
	free(full);
	free(resumed);
}

static void handshakes(const char *what, const char *leaf, const char *root, const char *foreign,
		       const char *const *groups, size_t group_count)
{
	struct fl_tls_options options = {groups, group_count,    ciphers,
					 3,      .peers = peers, .epoch = next_epoch++};
	struct fl_credentials *c = credentials(leaf, root, foreign);
	struct end client = {0}, server = {0};
	open_ends(&client, &server, c, &options);
	report(what, &client, &server, NULL);
	close_ends(&client, &server);
	fl_credentials_free(c);
}

/* Seals and opens writes of size bytes; MB/s each, or ns a record. */
static void records(size_t cipher, size_t size)
{
	struct fl_tls_options options = {hybrid, 2, &ciphers[cipher], 1, .peers = peers};
	struct fl_credentials *c = credentials("p256", "root", NULL);
	struct end client = {0}, server = {0};
	uint8_t *data = fl_new(65536), *got = fl_new(65536);
	size_t count = 4u * 1024 * 1024 / (size < 1024 ? 1024 : size);
	double best_seal = 1e12, best_open = 1e12;
	open_ends(&client, &server, c, &options);
	connect_ends(&client, &server, NULL);
	for (int run = 0; run < RUNS; run++) {
		double seal = 0, open = 0;
		for (size_t i = 0; i < count; i++) {
			struct fl_tls_io io = {.out = client.out, .out_cap = OUT_CAP};
			double t0 = now_us();
			if (fl_tls_write(client.tls, &io, data, size) != 0) {
				die("fl_tls_write", fl_tls_failure(client.tls)->text);
			}
			double t1 = now_us();
			struct fl_tls_io in = {.in = client.out,
					       .in_len = io.out_len,
					       .out = server.out,
					       .out_cap = OUT_CAP};
			size_t n;
			if (fl_tls_read(server.tls, &in, got, 65536, &n) != FL_TLS_MORE ||
			    n != size) {
				die("fl_tls_read", fl_tls_failure(server.tls)->text);
			}
			double t2 = now_us();
			seal += t1 - t0;
			open += t2 - t1;
		}
		best_seal = seal < best_seal ? seal : best_seal;
		best_open = open < best_open ? open : best_open;
	}
	double bytes = (double)count * (double)size;
	(void)printf("%-28s %5zu %8.0f %8.0f %8.0f %8.0f\n", ciphers[cipher], size,
		     bytes / best_seal, bytes / best_open, best_seal / (double)count * 1e3,
		     best_open / (double)count * 1e3);
	drop_ends(&client, &server);
	close_ends(&client, &server);
	free(data);
	free(got);
	fl_credentials_free(c);
}

/* COUNT handshakes, P-256 leaves. */
static void repeat_handshakes(const char *const *groups, size_t group_count, bool resumed,
			      int count)
{
	struct fl_tls_options options = {groups, group_count,    ciphers,
					 3,      .peers = peers, .epoch = 1};
	struct fl_credentials *c = credentials("p256", "root", NULL);
	struct end client = {0}, server = {0};
	struct fl_tls_saved *saved = NULL;
	struct fl_err err = {0};
	if (group_count > 1 && fl_tls_ticket_keys_new(NULL, &options.ticket_keys, &err) != 0) {
		die("fl_tls_ticket_keys_new", err.text);
	}
	open_ends(&client, &server, c, &options);
	if (resumed) {
		connect_ends(&client, &server, NULL);
		saved = fl_tls_save(client.tls);
		drop_ends(&client, &server);
	}
	for (int i = 0; i < count; i++) {
		connect_ends(&client, &server, saved);
		drop_ends(&client, &server);
	}
	fl_tls_saved_free(saved);
	close_ends(&client, &server);
	if (options.ticket_keys != NULL) {
		fl_tls_ticket_keys_unref(options.ticket_keys);
	}
	fl_credentials_free(c);
}

static void repeat_records(int count)
{
	struct fl_tls_options options = {hybrid, 2, ciphers, 3, .peers = peers};
	struct fl_credentials *c = credentials("p256", "root", NULL);
	struct end client = {0}, server = {0};
	uint8_t *data = fl_new(1400), *got = fl_new(16384);
	open_ends(&client, &server, c, &options);
	connect_ends(&client, &server, NULL);
	for (int i = 0; i < count; i++) {
		struct fl_tls_io io = {.out = client.out, .out_cap = OUT_CAP};
		size_t n = 0;
		if (fl_tls_write(client.tls, &io, data, 1400) != 0) {
			die("fl_tls_write", fl_tls_failure(client.tls)->text);
		}
		struct fl_tls_io in = {.in = client.out,
				       .in_len = io.out_len,
				       .out = server.out,
				       .out_cap = OUT_CAP};
		if (fl_tls_read(server.tls, &in, got, 16384, &n) != FL_TLS_MORE || n != 1400) {
			die("fl_tls_read", fl_tls_failure(server.tls)->text);
		}
	}
	drop_ends(&client, &server);
	close_ends(&client, &server);
	free(data);
	free(got);
	fl_credentials_free(c);
}

static void repeat(const char *what, const char *times)
{
	int count = (int)strtol(times, NULL, 10);
	if (strcmp(what, "records") == 0) {
		repeat_records(count);
	} else if (strcmp(what, "full") == 0 || strcmp(what, "resumed") == 0) {
		repeat_handshakes(hybrid, 2, strcmp(what, "resumed") == 0, count);
	} else if (strcmp(what, "x25519") == 0) {
		repeat_handshakes(classic, 1, false, count);
	} else {
		die(what, "is none of full, resumed, x25519, records");
	}
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {64, 1400, 16384, 65536};
	struct fl_err err = {0};
	if (fl_tls_global_init(&err) != 0) {
		die("fl_tls_global_init", err.text);
	}
	if (fl_tls_peers_new(&peers, &err) != 0) {
		die("fl_tls_peers_new", err.text);
	}
	if (argc == 3) {
		repeat(argv[1], argv[2]);
		fl_tls_peers_unref(peers);
		fl_tls_global_done();
		return 0;
	}
	(void)printf("%-34s %8s %8s %8s\n", "handshake, us", "client", "server", "pair");
	handshakes("P-256, X25519", "p256", "root", NULL, classic, 1);
	handshakes("P-256, X25519MLKEM768", "p256", "root", NULL, hybrid, 1);
	resumptions("P-256, X25519", classic, 1);
	resumptions("P-256, both shares", hybrid, 2);
	handshakes("P-256, both shares", "p256", "root", NULL, hybrid, 2);
	handshakes("P-256, group P-256", "p256", "root", NULL, p256, 1);
	handshakes("with an intermediate", "intermediate", "root", NULL, hybrid, 2);
	handshakes("with a federated domain", "p256", "root", "other", hybrid, 2);
	handshakes("both of these", "intermediate", "root", "other", hybrid, 2);
	handshakes("P-384 leaf", "p384", "root", NULL, hybrid, 2);
	handshakes("Ed25519 leaf", "ed25519", "root", NULL, hybrid, 2);
	handshakes("RSA-2048 leaf", "rsa2048", "root", NULL, hybrid, 2);
	(void)printf("\n%-28s %5s %8s %8s %8s %8s\n", "records", "bytes", "seal", "open MB/s",
		     "seal", "open ns");
	for (size_t i = 0; i < FL_COUNT_OF(ciphers); i++) {
		for (size_t j = 0; j < FL_COUNT_OF(sizes); j++) {
			records(i, sizes[j]);
		}
	}
	fl_tls_peers_unref(peers);
	fl_tls_global_done();
	return 0;
}
