/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "heart.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "conn/connections.h"
#include "fixture.h"
#include "worker/bind.h"

#define OWN "p256-twin"
#define SETTLED_TURNS 40
#define RESTING_TURNS 64
#define SKIP_STEP_MS 250u

/* --- credentials -------------------------------------------------------------------------------- */

/* Contexts for engines that the test drives. */
struct heart_ctx {
	struct heart_ctx *next;
	const char *own;
	enum fl_tls_role role;
	struct fl_credentials *credentials;
	struct fl_tls_ticket_keys *ticket_keys;
	struct fl_tls_ctx *ctx;
};

/* Files NAME.SUFFIX of several names, separated by '+'. */
static char *read_all(const char *names, const char *suffix)
{
	char *copy = fl_strdup(names), *all = fl_strdup(""), *rest = copy;

	for (char *name = strtok_r(copy, "+", &rest); name != NULL;
	     name = strtok_r(NULL, "+", &rest)) {
		char *file = fl_format("%s%s", name, suffix), *text = fl_fixture(file, NULL);
		char *longer = fl_format("%s%s", all, text);

		free(file);
		free(text);
		free(all);
		all = longer;
	}
	free(copy);
	return all;
}

static char *credential_of(const char *own)
{
	char *key = read_all(own, ".key"), *chain = read_all(own, ".crt");
	char *both = fl_format("%s%s", key, chain);

	free(key);
	free(chain);
	return both;
}

static struct fl_span span_of(const char *text)
{
	return (struct fl_span){(const uint8_t *)text, strlen(text)};
}

static struct fl_credentials *parse_credentials(const char *own)
{
	char *credential = credential_of(own), *bundle = read_all("root+p384-root", ".crt");
	struct fl_credentials_pem pem = {.credential_bundle = span_of(credential),
					 .credential_bundle_name = "credential",
					 .bundle = span_of(bundle),
					 .bundle_name = "bundle"};
	struct fl_credentials *credentials;
	struct fl_err err;

	cr_assert_eq(fl_credentials_parse(&pem, time(NULL), &credentials, &err), 0, "%s", err.text);
	free(credential);
	free(bundle);
	return credentials;
}

static struct fl_tls_ctx *context_of(struct heart *heart, enum fl_tls_role role, const char *own)
{
	static const char *const groups[] = {"X25519MLKEM768", "X25519"};
	static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256"};
	struct fl_tls_options options = {.groups = groups,
					 .group_count = 2,
					 .ciphers = ciphers,
					 .cipher_count = 1,
					 .framed = heart->framed};
	struct heart_ctx *context;
	struct fl_err err;

	for (context = heart->contexts; context != NULL; context = context->next) {
		if (context->role == role && strcmp(context->own, own) == 0) {
			return context->ctx;
		}
	}
	context = fl_new(sizeof(*context));
	*context = (struct heart_ctx){.next = heart->contexts,
				      .own = own,
				      .role = role,
				      .credentials = parse_credentials(own)};
	heart->contexts = context;
	cr_assert_eq(fl_tls_ticket_keys_new(NULL, &context->ticket_keys, &err), 0, "%s", err.text);
	options.ticket_keys = context->ticket_keys;
	cr_assert_eq(fl_tls_ctx_new(context->credentials, &options, role, &context->ctx, &err), 0,
		     "%s", err.text);
	return context->ctx;
}

static void free_contexts(struct heart *heart)
{
	while (heart->contexts != NULL) {
		struct heart_ctx *context = heart->contexts;

		heart->contexts = context->next;
		fl_tls_ctx_free(context->ctx);
		fl_tls_ticket_keys_unref(context->ticket_keys);
		fl_credentials_free(context->credentials);
		free(context);
	}
}

/* --- generations -------------------------------------------------------------------------------- */

/* The default lines of a section. */
static char *to_place(const struct heart *heart, const char *key, enum heart_place place,
		      const char *more)
{
	return fl_format("%s = 127.0.0.1:%u\n%s", key, heart->place_ports[place], more);
}

/* A section that is gone is an empty text. */
static char *section(const struct heart *heart, const char *name, enum heart_door door,
		     const char *lines, bool is_lacking)
{
	return is_lacking ? fl_strdup("")
			  : fl_format("[%s]\nlisten = 127.0.0.1:%u\n%s", name, heart->ports[door],
				      lines);
}

static char *ini_of(const struct heart *heart, const struct heart_options *options)
{
	static const char peer[] = "peer = spiffe://prod.example/ns/test/sa/p256\n";
	char *app = to_place(heart, "app", PLACE_APP, "");
	char *app_in_plaintext = to_place(heart, "app", PLACE_APP, "mode = plaintext\n");
	char *to = to_place(heart, "to", PLACE_MESH, peer);
	char *to_in_plaintext = to_place(heart, "to", PLACE_MESH, "mode = plaintext\n");
	char *web = section(heart, "service web", DOOR_STRICT,
			    options->web != NULL ? options->web : app, options->lacks_api_and_web);
	char *clear = section(heart, "service clear", DOOR_PLAIN_IN,
			      options->clear != NULL ? options->clear : app_in_plaintext, false);
	char *api = section(heart, "upstream api", DOOR_MTLS_OUT,
			    options->api != NULL ? options->api : to, options->lacks_api_and_web);
	char *db = section(heart, "upstream db", DOOR_PLAIN_OUT,
			   options->db != NULL ? options->db : to_in_plaintext, false);
	char *ini = fl_format(
		"[identity]\ncredential_bundle = /tls/bundle.pem\nbundle = /tls/ca.crt\n%s"
		"[sidecar]\ninbound = 127.0.0.1:%u\noutbound = 127.0.0.1:%u\nadmin =\ncontrol =\n"
		"drain = 2s\n[agent]\nsocket = %s\n[tls]\nkey = %s\n%s[log]\nlevel = debug\naccess = %s\n"
		"%s[service open]\nlisten = 127.0.0.1:%u\n%smode = permissive\n%s%s%s%s%s",
		options->crl != NULL ? "crl = /tls/crl.pem\n" : "", heart->ports[DOOR_CAPTURE_IN],
		heart->ports[DOOR_CAPTURE_OUT],
		options->agent != NULL ? options->agent : "/run/fairlead/agent.sock",
		options->agent != NULL ? "agent" : "sidecar",
		options->tls != NULL ? options->tls : "",
		options->access != NULL ? options->access : "all", web,
		heart->ports[DOOR_PERMISSIVE], app, clear, api, db,
		options->rules != NULL ? options->rules
				       : "[allow mesh]\nfrom = spiffe://prod.example/**\n"
					 "[allow anybody]\nfrom = plaintext\n",
		options->extra != NULL ? options->extra : "");

	free(app);
	free(app_in_plaintext);
	free(to);
	free(to_in_plaintext);
	free(web);
	free(clear);
	free(api);
	free(db);
	return ini;
}

static struct fl_generation *new_generation(const struct heart *heart,
					    const struct heart_options *options)
{
	char *ini = ini_of(heart, options);
	const char *own = options->own != NULL ? options->own : OWN;
	char *credential = options->agent != NULL ? read_all(own, ".crt") : credential_of(own);
	char *bundle = read_all(options->bundle != NULL ? options->bundle : "root", ".crt");
	char *crl = options->crl != NULL ? read_all(options->crl, ".crl") : fl_strdup("");
	struct fl_ctl_generation message = {
		.number = heart->generation != NULL ? heart->generation->number + 1 : 1,
		.credential = span_of(credential),
		.bundle = span_of(bundle),
		.crl = span_of(crl),
		.ini_path = span_of("fairlead.ini"),
		.ini = span_of(ini),
	};
	struct fl_generation *generation;
	struct fl_err err;
	int rc = fl_generation_new(&message, time(NULL), heart->generation, &generation, &err);

	cr_assert_eq(rc, 0, "%s\n%s", err.text, ini);
	free(crl);
	free(bundle);
	fl_wipe_free(credential, strlen(credential));
	free(ini);
	return generation;
}

static struct fl_share *new_share(struct heart *heart, struct fl_generation *generation,
				  const struct heart_options *options)
{
	struct fl_rule_counts *tally = fl_rule_counts_new(generation->conf->policy, 1);
	struct fl_share *share;
	struct fl_err err;

	cr_assert_eq(fl_share_new(generation, tally, 0, &share, &err), 0, "%s", err.text);
	fl_rule_counts_unref(tally);
	share->upstream_map = options->map != NULL ? options->map : fl_upstream_map_new();
	share->plaintext = fl_plaintext_counters(heart->plaintext, generation->conf, 0);
	share->sections = fl_section_set_new(generation->conf, heart->sections, 1);
	fl_section_set_unref(heart->sections);
	heart->sections = fl_section_set_ref(share->sections);
	return share;
}

void heart_take(struct heart *heart, const struct heart_options *options)
{
	static const struct heart_options none;
	struct fl_generation *generation = new_generation(heart, options != NULL ? options : &none);
	struct fl_target_set *targets = heart_targets(heart, generation->conf);

	fl_worker_post_share(heart->worker,
			     new_share(heart, generation, options != NULL ? options : &none),
			     targets);
	fl_target_set_unref(targets);
	fl_generation_unref(heart->generation);
	heart->generation = generation;
	heart_turn(heart);
}

struct fl_share *heart_candidate(struct heart *heart, const struct heart_options *options)
{
	struct fl_generation *generation = new_generation(heart, options);
	struct fl_share *share = new_share(heart, generation, options);

	fl_generation_unref(generation);
	return share;
}

/* --- life --------------------------------------------------------------------------------------- */

struct sockaddr_in heart_loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A bound socket, and which port the kernel has chosen. */
static int bind_any(uint16_t *ret_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in sa = heart_loopback(0);
	socklen_t len = sizeof(sa);

	cr_assert_geq(fd, 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0, "%s", strerror(errno));
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static void on_idle(void *user)
{
	struct heart *heart = user;

	heart->idle++;
}

static void on_name_wanted(void *user, size_t name)
{
	struct heart *heart = user;

	cr_assert_lt(name, FL_COUNT_OF(heart->wanted));
	heart->wanted[name]++;
}

static const struct fl_worker_events worker_events = {.on_idle = on_idle,
						      .on_name_wanted = on_name_wanted};

static void make_worker(struct heart *heart, const struct fl_conf *conf,
			const struct fl_conntrack *conntrack)
{
	struct fl_worker_options options = {.conf = conf,
					    .log = &heart->log,
					    .worker_count = 1,
					    .main = &heart->main,
					    .events = &worker_events,
					    .peers = heart->peers,
					    .conntrack = conntrack};
	struct fl_err err;

	options.listeners.count = fl_bind_count(conf);
	options.listeners.items =
		fl_new(options.listeners.count * sizeof(*options.listeners.items));
	cr_assert_eq(fl_bind_endpoints(conf, options.listeners.items, NULL, NULL, &err), 0, "%s",
		     err.text);
	heart->worker = fl_worker_new(&options);
	heart->loop = &heart->worker->loop;
}

void heart_open(struct heart *heart, const struct heart_options *options)
{
	static const struct heart_options none;
	struct fl_generation *first;
	struct fl_err err;

	options = options != NULL ? options : &none;
	*heart = (struct heart){.log_fd = memfd_create("log", MFD_CLOEXEC)};
	cr_assert_eq(fl_tls_global_init(&err), 0, "%s", err.text);
	fl_log_init(&heart->log, heart->log_fd, FL_LOG_DEBUG, FL_LOG_JSON, "heart");
	cr_assert_eq(uv_loop_init(&heart->main_loop), 0);
	fl_mailbox_init(&heart->main, &heart->main_loop, heart, NULL);
	heart->peers = fl_peer_counts_new(1, FL_PEERS_MAX);
	heart->plaintext = fl_plaintext_counts_new(1);
	for (unsigned i = 0; i < DOORS; i++) {
		heart->held[i] = bind_any(&heart->ports[i]);
	}
	for (unsigned i = 0; i < PLACES; i++) {
		heart->places[i] = bind_any(&heart->place_ports[i]);
		side_set_buffers(heart->places[i]);
		cr_assert_eq(listen(heart->places[i], 64), 0);
	}
	first = new_generation(heart, options);
	make_worker(heart, first->conf, options->conntrack);
	fl_generation_unref(first);
	if (options->has_thread) {
		heart->has_thread = true;
		cr_assert_eq(fl_worker_start(heart->worker, &err), 0, "%s", err.text);
	}
	if (!options->is_closed) {
		heart_take(heart, options);
		HEART_UNTIL(heart, fl_worker_serving(heart->worker));
	}
}

static void end_worker(struct heart *heart)
{
	if (!heart->loop->stopping) {
		fl_worker_post_stop(heart->worker);
	}
	if (heart->has_thread) {
		fl_worker_join(heart->worker);
	} else {
		cr_assert_eq(uv_run(&heart->worker->uv, UV_RUN_DEFAULT), 0);
		cr_assert_eq(heart_open_connections(heart), 0);
	}
	fl_worker_free(heart->worker);
}

void heart_close(struct heart *heart)
{
	end_worker(heart);
	fl_mailbox_close(&heart->main);
	cr_assert_eq(uv_run(&heart->main_loop, UV_RUN_DEFAULT), 0);
	fl_mailbox_done(&heart->main);
	cr_assert_eq(uv_loop_close(&heart->main_loop), 0);
	fl_generation_unref(heart->generation);
	fl_peer_counts_free(heart->peers);
	fl_plaintext_counts_free(heart->plaintext);
	fl_section_set_unref(heart->sections);
	free_contexts(heart);
	for (unsigned i = 0; i < DOORS; i++) {
		(void)close(heart->held[i]);
	}
	for (unsigned i = 0; i < PLACES; i++) {
		(void)close(heart->places[i]);
	}
	(void)close(heart->log_fd);
	free(heart->log_text);
	faults_pretend_option(0, 0, NULL, 0);
	fl_tls_global_done();
}

/* --- turns -------------------------------------------------------------------------------------- */

static void turn_worker(struct heart *heart)
{
	if (!heart->spares_calls) {
		faults_on();
	}
	(void)uv_run(&heart->worker->uv, UV_RUN_NOWAIT);
	fl_loop_end_turn(heart->loop);
	faults_off();
}

void heart_turn(struct heart *heart)
{
	for (size_t i = 0; i < heart->side_count; i++) {
		side_pump(heart->sides[i]);
	}
	if (!heart->has_thread) {
		turn_worker(heart);
	}
	(void)uv_run(&heart->main_loop, UV_RUN_NOWAIT);
}

void heart_rest(unsigned turns)
{
	if (turns % RESTING_TURNS == 0) {
		(void)poll(NULL, 0, 1);
	}
}

void heart_settle(struct heart *heart)
{
	for (unsigned i = 0; i < SETTLED_TURNS; i++) {
		heart_turn(heart);
	}
}

void heart_skip_ms(struct heart *heart, uint64_t ms)
{
	while (ms > 0) {
		uint64_t step = ms < SKIP_STEP_MS ? ms : SKIP_STEP_MS;

		clock_skip_ms(step);
		ms -= step;
		heart_turn(heart);
		heart_turn(
			heart); /* libuv reads the clock before it waits: timers that are due fire in the next turn */
	}
}

/* --- what happened ------------------------------------------------------------------------------ */

const char *heart_log(struct heart *heart)
{
	off_t len = lseek(heart->log_fd, 0, SEEK_END);

	cr_assert_geq(len, 0);
	free(heart->log_text);
	heart->log_text = fl_new((size_t)len + 1);
	cr_assert_eq(pread(heart->log_fd, heart->log_text, (size_t)len, 0), len);
	return heart->log_text;
}

bool heart_logged(struct heart *heart, const char *text)
{
	return strstr(heart_log(heart), text) != NULL;
}

uint64_t heart_ended(const struct heart *heart, enum fl_direction direction, enum fl_reason reason)
{
	return fl_counters_ended_sum(&heart->loop->counters, direction, reason);
}

unsigned heart_open_connections(const struct heart *heart)
{
	return fl_worker_open_connections(heart->worker);
}

const char *heart_state(struct heart *heart)
{
	struct fl_listing listing = {.max = 2};
	const char *state;

	fl_connections_list(heart->loop, &listing);
	cr_assert_eq(listing.count, 1);
	state = listing.items[0].state;
	fl_listing_done(&listing);
	return state;
}

/* --- sides -------------------------------------------------------------------------------------- */

void heart_watch(struct heart *heart, struct side *side)
{
	cr_assert_lt(heart->side_count, FL_COUNT_OF(heart->sides));
	heart->sides[heart->side_count++] = side;
}

void heart_forget(struct heart *heart, struct side *side)
{
	for (size_t i = 0; i < heart->side_count; i++) {
		if (heart->sides[i] == side) {
			heart->sides[i] = heart->sides[--heart->side_count];
			return;
		}
	}
}

void heart_connect(struct heart *heart, struct side *side, enum heart_door door)
{
	struct sockaddr_in to = heart_loopback(heart->ports[door]);

	side_init(side);
	side_connect(side, (struct sockaddr *)&to, sizeof(to));
	heart_watch(heart, side);
}

void heart_accept(struct heart *heart, struct side *side, enum heart_place place)
{
	side_init(side);
	HEART_UNTIL(heart, side_accept(side, heart->places[place]));
	heart_watch(heart, side);
}

void heart_make_engine(struct heart *heart, struct side *side, enum fl_tls_role role,
		       const char *own)
{
	struct fl_err err;

	cr_assert_eq(fl_tls_new(context_of(heart, role, own), NULL, NULL, &side->tls, &err), 0,
		     "%s", err.text);
}

void heart_speak_tls(struct heart *heart, struct side *side, enum fl_tls_role role, const char *own)
{
	heart_make_engine(heart, side, role, own);
	side_speak_tls(side, role);
}

void heart_speak_tls_with(struct heart *heart, struct side *side, enum fl_tls_role role,
			  const char *own, const char *protocols)
{
	heart_make_engine(heart, side, role, own);
	cr_assert_eq(fl_tls_set_alpn(side->tls, protocols), 0);
	side_speak_tls(side, role);
}

void heart_empty_queues(struct heart *heart)
{
	for (unsigned i = 0; i < PLACES; i++) {
		struct side side;

		side_init(&side);
		while (side_accept(&side, heart->places[i])) {
			side_close(&side);
		}
	}
}

void heart_fill_queue(struct heart *heart, enum heart_place place, struct side fill[HEART_FILL])
{
	struct sockaddr_in to = heart_loopback(heart->place_ports[place]);

	cr_assert_eq(listen(heart->places[place], 0), 0);
	for (unsigned i = 0; i < HEART_FILL; i++) {
		side_init(&fill[i]);
		side_connect(&fill[i], (struct sockaddr *)&to, sizeof(to));
	}
}

void heart_drop_fill(struct side fill[HEART_FILL])
{
	for (unsigned i = 0; i < HEART_FILL; i++) {
		side_close(&fill[i]);
	}
}

void heart_pretend_destination(const struct sockaddr *to)
{
	faults_pretend_option(IPPROTO_IP, SO_ORIGINAL_DST, to, sizeof(struct sockaddr_in));
}
