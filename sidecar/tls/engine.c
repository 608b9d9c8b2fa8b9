/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine - one TLS connection over wolfSSL, without I/O: each call takes input bytes and appends
 * output bytes (io.c).
 *
 * A failure leads to FL_TLS_STATE_FAILED permanently: failure.c has translated the reason, a fatal
 * alert is in io->out if TLS requires one, and nothing can follow it (muted). If memory runs out,
 * only this connection fails. */
#include "tls/tls_internal.h"

#include <limits.h>
#include <string.h>

#include "tls/alpn.h"
#include "tls/ctx.h"
#include "tls/failure.h"
#include "tls/io.h"
#include "tls/peer.h"
#include "tls/ticket.h"

/* RFC 8446 section 5.1: the types of records, change_cipher_spec to application_data. */
#define FIRST_RECORD_TYPE 20
#define LAST_RECORD_TYPE 23

static void lend(struct fl_tls *tls, struct fl_tls_io *io)
{
	FL_REQUIRE(tls->io == NULL);
	tls->io = io;
}

static enum fl_tls_step give_back(struct fl_tls *tls, enum fl_tls_step step)
{
	tls->io = NULL;
	return step;
}

/* wolfSSL has sent a fatal alert by itself. */
static bool alert_was_sent(struct fl_tls *tls)
{
	WOLFSSL_ALERT_HISTORY history;

	return tls->muted || (wolfSSL_get_alert_history(tls->wolf, &history) == WOLFSSL_SUCCESS &&
			      history.last_tx.level == alert_fatal);
}

/* The connection has failed: translates the error, unless verification has already set the reason,
 * and alerts the peer. */
static enum fl_tls_step fail(struct fl_tls *tls, int error)
{
	fl_tls_fail_error(tls, error);
	if (tls->failure->cause != FL_TLS_CAUSE_PEER_ALERT && tls->failure->alert != 0 &&
	    !alert_was_sent(tls)) {
		fl_tls_send_alert(tls, tls->failure->alert);
	}
	tls->muted = true;
	tls->state = FL_TLS_STATE_FAILED;
	return FL_TLS_FAILED;
}

/* Interprets the result of a wolfSSL call that did not succeed. */
static enum fl_tls_step stop(struct fl_tls *tls, int rc)
{
	int error = wolfSSL_get_error(tls->wolf, rc);

	if (error == WOLFSSL_ERROR_WANT_READ) {
		return FL_TLS_MORE;
	}
	if (error == WC_NO_ERR_TRACE(WC_PENDING_E) && tls->state == FL_TLS_STATE_HANDSHAKE) {
		return FL_TLS_SIGNING;
	}
	if (error == WOLFSSL_ERROR_ZERO_RETURN && tls->state == FL_TLS_STATE_OPEN) {
		tls->state = FL_TLS_STATE_EOF;
		return FL_TLS_EOF;
	}
	return fail(tls, error);
}

int fl_tls_new(struct fl_tls_ctx *ctx, fl_tls_expect_cb expect, void *expect_user,
	       struct fl_tls **ret, struct fl_err *err)
{
	struct fl_tls *tls = fl_tls_alloc(sizeof(*tls));

	if (tls == NULL) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	tls->wolf = wolfSSL_new(ctx->wolf);
	if (tls->wolf == NULL || fl_tls_alpn_init(tls->wolf, ctx->framed) != 0) {
		wolfSSL_free(tls->wolf);
		fl_tls_release(tls);
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	if (ctx->role == FL_TLS_CLIENT) {
		/* No session ID and no ChangeCipherSpec: mesh peers do not need them, and this
		 * saves six bytes. */
		fl_wolf_drop_middlebox_compat(tls->wolf);
	}
	wolfSSL_SetIOReadCtx(tls->wolf, tls);
	wolfSSL_SetIOWriteCtx(tls->wolf, tls);
	wolfSSL_SetCertCbCtx(tls->wolf, tls);
	tls->ctx = ctx;
	tls->expect = expect;
	tls->expect_user = expect_user;
	ctx->engines++;
	*ret = tls;
	return 0;
}

void fl_tls_free(struct fl_tls *tls)
{
	if (tls == NULL) {
		return;
	}
	FL_REQUIRE(tls->io == NULL && tls->ctx->engines > 0);
	tls->ctx->engines--;
	wolfSSL_free(tls->wolf);
	fl_tls_peer_unref(tls->peer);
	fl_tls_drop_claim(tls);
	fl_tls_failure_free(tls);
	fl_tls_release(tls);
}

/* Makes the keys of the first hello; 0 or a wolfSSL error. A server that knows the session will
 * choose its group again, so no key for another group is needed. */
static int start(struct fl_tls *tls)
{
	bool resumes = tls->claim != NULL;

	tls->started = true;
	for (size_t i = 0; i < tls->ctx->share_count; i++) {
		if (resumes && tls->ctx->shares[i] != fl_wolf_session_group(tls->wolf)) {
			continue;
		}
		int rc = wolfSSL_UseKeyShare(tls->wolf, tls->ctx->shares[i]);
		if (rc != WOLFSSL_SUCCESS) {
			return rc;
		}
	}
	return 0;
}

static enum fl_tls_step establish(struct fl_tls *tls)
{
	/* VERIFY_PEER and FAIL_IF_NO_PEER_CERT, or one of our tickets, already exclude an
	 * unverified peer. This check stops such a peer if they ever fail. */
	if (!fl_tls_settle_claim(tls) || tls->peer == NULL || tls->failure != NULL) {
		return fail(tls, NO_PEER_VERIFY);
	}
	tls->protocol = fl_tls_alpn_chosen(tls);
	tls->mutual = tls->ctx->role == FL_TLS_SERVER || tls->mutual ||
		      fl_wolf_was_asked_for_certificate(tls->wolf);
	tls->state = FL_TLS_STATE_OPEN;
	tls->was_open = true;
	return FL_TLS_ESTABLISHED;
}

enum fl_tls_step fl_tls_handshake(struct fl_tls *tls, struct fl_tls_io *io)
{
	int rc;

	if (tls->state != FL_TLS_STATE_HANDSHAKE) {
		return tls->state == FL_TLS_STATE_FAILED ? FL_TLS_FAILED : FL_TLS_ESTABLISHED;
	}
	if (!tls->heard && io->in_len > 0) {
		tls->heard = true;
		tls->not_tls = io->in[0] < FIRST_RECORD_TYPE || io->in[0] > LAST_RECORD_TYPE;
	}
	lend(tls, io);
	if (!tls->started && (rc = start(tls)) != 0) {
		return give_back(tls, fail(tls, rc));
	}
	fl_tls_spare_ticket(tls);
	rc = tls->ctx->role == FL_TLS_CLIENT ? wolfSSL_connect(tls->wolf)
					     : wolfSSL_accept(tls->wolf);
	if (rc != WOLFSSL_SUCCESS) {
		return give_back(tls, stop(tls, rc));
	}
	return give_back(tls, establish(tls));
}

void fl_tls_refuse_signature(struct fl_tls *tls, struct fl_tls_io *io, const char *text)
{
	if (tls->state == FL_TLS_STATE_FAILED) {
		return;
	}
	lend(tls, io);
	fl_tls_fail_signature(tls, text);
	fl_tls_send_alert(tls, tls->failure->alert);
	tls->state = FL_TLS_STATE_FAILED;
	(void)give_back(tls, FL_TLS_FAILED);
}

enum fl_tls_step fl_tls_read(struct fl_tls *tls, struct fl_tls_io *io, uint8_t *buf, size_t cap,
			     size_t *ret_len)
{
	enum fl_tls_step step = FL_TLS_MORE;
	size_t len = 0;

	FL_REQUIRE(tls->state != FL_TLS_STATE_HANDSHAKE);
	*ret_len = 0;
	if (tls->state == FL_TLS_STATE_FAILED) {
		return FL_TLS_FAILED;
	}
	if (tls->state == FL_TLS_STATE_EOF) {
		io->in += io->in_len; /* RFC 8446 section 6.1: ignored */
		io->in_len = 0;
		return FL_TLS_EOF;
	}
	lend(tls, io);
	/* wolfSSL returns at most one record for each call. */
	while (step == FL_TLS_MORE && len < cap) {
		int rc = wolfSSL_read(tls->wolf, buf + len,
				      cap - len < INT_MAX ? (int)(cap - len) : INT_MAX);
		if (rc > 0) {
			len += (size_t)rc;
			/* Saves a call that would only report that nothing is left. */
			if (io->in_len == 0 && wolfSSL_pending(tls->wolf) == 0) {
				break;
			}
			continue;
		}
		step = stop(tls, rc);
		if (step == FL_TLS_MORE) {
			break;
		}
	}
	if (step == FL_TLS_EOF) {
		io->in += io->in_len;
		io->in_len = 0;
	}
	*ret_len = len;
	return give_back(tls, step);
}

int fl_tls_write(struct fl_tls *tls, struct fl_tls_io *io, const uint8_t *data, size_t len)
{
	FL_REQUIRE(tls->state != FL_TLS_STATE_HANDSHAKE && !tls->closed && len <= INT_MAX);
	FL_REQUIRE(io->out_cap - io->out_len >= FL_TLS_SEALED_SIZE(len));
	if (tls->state == FL_TLS_STATE_FAILED) {
		return FL_ERR_PEER;
	}
	if (len == 0) {
		return 0;
	}
	lend(tls, io);
	int rc = wolfSSL_write(tls->wolf, data, (int)len);
	if (rc != (int)len) {
		(void)fail(tls, wolfSSL_get_error(tls->wolf, rc));
	}
	(void)give_back(tls, FL_TLS_MORE);
	return rc == (int)len ? 0 : FL_ERR_NOMEM;
}

void fl_tls_close(struct fl_tls *tls, struct fl_tls_io *io)
{
	FL_REQUIRE(tls->state != FL_TLS_STATE_HANDSHAKE && !tls->closed);
	tls->closed = true;
	if (tls->state != FL_TLS_STATE_FAILED) {
		lend(tls, io);
		/* Call it only once: a second call would read and discard what the peer still
		 * sends. */
		(void)wolfSSL_shutdown(tls->wolf);
		(void)give_back(tls, FL_TLS_MORE);
	}
}

void fl_tls_alert(struct fl_tls *tls, struct fl_tls_io *io, uint8_t alert)
{
	if (tls->state == FL_TLS_STATE_FAILED) {
		return;
	}
	lend(tls, io);
	fl_tls_fail_alert(tls, alert);
	fl_tls_send_alert(tls, alert);
	tls->state = FL_TLS_STATE_FAILED;
	(void)give_back(tls, FL_TLS_FAILED);
}

const struct fl_tls_failure *fl_tls_failure(const struct fl_tls *tls)
{
	static const struct fl_tls_failure none = {.text = "nothing has failed"};

	return tls->failure != NULL ? tls->failure : &none;
}

/* Identity and parameters are valid from the completion of the handshake on. */
static bool was_established(const struct fl_tls *tls)
{
	return tls->state == FL_TLS_STATE_OPEN || tls->state == FL_TLS_STATE_EOF;
}

struct fl_tls_peer *fl_tls_peer_of(const struct fl_tls *tls)
{
	return was_established(tls) ? tls->peer : NULL;
}

const char *fl_tls_peer_id(const struct fl_tls *tls)
{
	return was_established(tls) ? fl_tls_peer_name(tls->peer) : NULL;
}

const char *fl_tls_proven_id(const struct fl_tls *tls)
{
	return tls->was_open ? fl_tls_peer_name(tls->peer) : NULL;
}

bool fl_tls_resumed(const struct fl_tls *tls)
{
	return was_established(tls) && tls->resumed;
}

const char *fl_tls_group(const struct fl_tls *tls)
{
	const char *name = wolfSSL_get_curve_name(tls->wolf);

	if (name != NULL && strcmp(name, "SECP256R1") == 0) {
		return "P-256"; /* as in the INI */
	}
	return name != NULL ? name : "none";
}

const char *fl_tls_cipher(const struct fl_tls *tls)
{
	const char *name = wolfSSL_get_cipher_name(tls->wolf);

	return name != NULL ? fl_tls_cipher_name(name) : "none";
}

bool fl_tls_is_mutual(const struct fl_tls *tls)
{
	return tls->mutual;
}

enum fl_tls_protocol fl_tls_protocol(const struct fl_tls *tls)
{
	return (enum fl_tls_protocol)tls->protocol;
}
