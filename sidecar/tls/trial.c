/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trial - a handshake of credentials with themselves before they are used.
 *
 * It runs as client and as server, in memory, under their own bundle. So our chain goes through the
 * same verification that peers of our trust domain will run, and key and chain are proven to sign
 * and verify. Without a key it ends where the server needs the first signature, and our chain is judged
 * by the code that verifies peers; the agent, which has the key, makes the whole trial.
 * If a side refuses, its sentence becomes the error. For start-up and reload: it needs
 * less than a millisecond and aborts if memory runs out. */
#include "tls/tls_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/yield.h"

#define FLIGHT_MAX FL_TLS_OUT_RESERVE
#define ROUNDS_MAX 8 /* a handshake with a HelloRetryRequest needs 4 */

struct side {
	const char *name;
	struct fl_tls_ctx *ctx;
	struct fl_tls *tls;
	uint8_t *out; /* its output for the other side */
	size_t out_len;
	enum fl_tls_step step;
};

static int open_side(struct side *side, const struct fl_credentials *credentials,
		     const struct fl_tls_options *options, enum fl_tls_role role,
		     struct fl_err *err)
{
	side->name = role == FL_TLS_CLIENT ? "as client" : "as server";
	side->out = fl_new(FLIGHT_MAX);
	side->step = FL_TLS_MORE;
	fl_yield();
	int rc = fl_tls_ctx_new(credentials, options, role, &side->ctx, err);
	return rc != 0 ? rc : fl_tls_new(side->ctx, NULL, NULL, &side->tls, err);
}

static void close_side(struct side *side)
{
	fl_tls_free(side->tls);
	fl_tls_ctx_free(side->ctx);
	free(side->out);
}

/* Feeds the output of `from` to `side`. */
static void turn(struct side *side, struct side *from)
{
	struct fl_tls_io io = {
		.in = from->out, .in_len = from->out_len, .out = side->out, .out_cap = FLIGHT_MAX};

	fl_yield();
	side->step = fl_tls_handshake(side->tls, &io);
	side->out_len = io.out_len;
	from->out_len = 0;
}

/* Without a key there is no whole handshake: our chain is judged as a peer would judge it. */
static int judge_chain(const struct fl_credentials *credentials, struct fl_err *err)
{
	const struct fl_der_list *chain = &credentials->chain;
	struct fl_span *spans = fl_new((chain->count + 1) * sizeof(*spans));
	struct fl_judgement judgement;
	struct fl_err detail;
	int rc;

	for (size_t i = 0; i < chain->count; i++) {
		spans[i] = fl_span_of(&chain->items[i]);
	}
	rc = fl_judge(credentials, spans, chain->count,
		      (struct fl_moment){.now = (int64_t)time(NULL)}, &judgement, &detail);
	free(spans);
	if (rc != 0) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	return judgement.rule == FL_RULE_NONE
		       ? 0
		       : fl_err_set(err, FL_ERR_INVALID, "peer certificate refused, %s: %s; %s",
				    fl_rule_name(judgement.rule), fl_rule_text(judgement.rule),
				    detail.text);
}

/* Without memory, the credentials are not judged. */
static int fail(const struct side *side, struct fl_err *err)
{
	const struct fl_tls_failure *failure = fl_tls_failure(side->tls);

	return fl_err_set(err, failure->no_memory ? FL_ERR_NOMEM : FL_ERR_INVALID, "%s: %s",
			  side->name, failure->text);
}

static int shake(struct side *client, struct side *server, struct fl_err *err)
{
	struct side *const turns[] = {client, server};

	for (size_t round = 0; round < ROUNDS_MAX; round++) {
		for (size_t i = 0; i < FL_COUNT_OF(turns); i++) {
			struct side *side = turns[i];
			turn(side, turns[1 - i]);
			if (side->step == FL_TLS_FAILED) {
				return fail(side, err);
			}
			if (side->step == FL_TLS_SIGNING) {
				return judge_chain(side->ctx->credentials, err);
			}
		}
		if (client->step == FL_TLS_ESTABLISHED && server->step == FL_TLS_ESTABLISHED) {
			return 0;
		}
	}
	return fl_err_set(err, FL_ERR_BUG, "the handshake does not end");
}

int fl_tls_trial(const struct fl_credentials *credentials, const struct fl_tls_options *options,
		 struct fl_err *err)
{
	struct side client = {0}, server = {0};
	int rc = open_side(&client, credentials, options, FL_TLS_CLIENT, err);

	if (rc == 0) {
		rc = open_side(&server, credentials, options, FL_TLS_SERVER, err);
	}
	if (rc == 0) {
		rc = shake(&client, &server, err);
	}
	if (rc == 0 && server.step == FL_TLS_ESTABLISHED &&
	    strcmp(fl_tls_peer_id(server.tls), credentials->id) != 0) {
		rc = fl_err_set(err, FL_ERR_BUG, "the handshake gave the identity %s",
				fl_tls_peer_id(server.tls));
	}
	close_side(&client);
	close_side(&server);
	return rc == 0 ? 0
		       : fl_err_prefix(err, "trial handshake of the credentials with themselves");
}
