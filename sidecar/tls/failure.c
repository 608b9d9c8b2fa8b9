/* SPDX-License-Identifier: GPL-3.0-or-later */
/* failure - translates wolfSSL's error numbers into cause, rule, alert and a sentence for people.
 *
 * Errors that we know to be our own are FL_TLS_CAUSE_INTERNAL, and so is every error before the
 * peer has sent anything. The peer's data causes all others. If there is no memory for a failure, a
 * static one says so. */
#include "tls/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "base/tls_alert.h"

static const struct fl_tls_failure no_memory = {
	.cause = FL_TLS_CAUSE_INTERNAL,
	.alert = FL_ALERT_INTERNAL_ERROR,
	.no_memory = true,
	.text = "out of memory",
};

static const char *const alert_names[] = {
#define ALERT_NAME(id, number, name) [FL_ALERT_##id] = (name),
	FL_TLS_ALERTS(ALERT_NAME)
#undef ALERT_NAME
};

/* What an alert means when a mesh peer sends it to us. */
static const char *const alert_hints[] = {
	[FL_ALERT_CLOSE_NOTIFY] = "it ended the connection",
	[FL_ALERT_UNEXPECTED_MESSAGE] = "what we sent was not due, it says",
	[FL_ALERT_BAD_RECORD_MAC] = "what it received was not what we sent",
	[FL_ALERT_RECORD_OVERFLOW] = "a record of ours is too long for it",
	[FL_ALERT_HANDSHAKE_FAILURE] = "no cipher, group or signature algorithm in common?",
	[FL_ALERT_BAD_CERTIFICATE] = "it does not accept our certificate",
	[FL_ALERT_UNSUPPORTED_CERTIFICATE] = "it does not accept our kind of certificate",
	[FL_ALERT_CERTIFICATE_REVOKED] = "our certificate is revoked",
	[FL_ALERT_CERTIFICATE_EXPIRED] =
		"our certificate, or one above it, is out of date by its clock",
	[FL_ALERT_CERTIFICATE_UNKNOWN] = "it does not accept our certificate",
	[FL_ALERT_ILLEGAL_PARAMETER] = "it found a value of ours that does not fit",
	[FL_ALERT_UNKNOWN_CA] = "our CA is not in the bundle that it has for our trust domain",
	[FL_ALERT_ACCESS_DENIED] = "it does not expect, or its policy does not allow, our identity",
	[FL_ALERT_DECODE_ERROR] = "it could not decode a message of ours",
	[FL_ALERT_DECRYPT_ERROR] = "a signature or a check value of ours did not verify",
	[FL_ALERT_PROTOCOL_VERSION] = "it does not speak TLS 1.3",
	[FL_ALERT_INSUFFICIENT_SECURITY] = "it asks for stronger parameters",
	[FL_ALERT_INTERNAL_ERROR] = "it failed for reasons of its own",
	[FL_ALERT_USER_CANCELED] = "it gave up",
	[FL_ALERT_MISSING_EXTENSION] = "our hello lacks an extension that it requires",
	[FL_ALERT_UNSUPPORTED_EXTENSION] = "we sent an extension that it did not ask for",
	[FL_ALERT_UNRECOGNIZED_NAME] = "it wants a server name, which we never send",
	[FL_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE] = "it does not accept our certificate's status",
	[FL_ALERT_UNKNOWN_PSK_IDENTITY] = "it does not know the session",
	[FL_ALERT_CERTIFICATE_REQUIRED] = "it wants a client certificate",
	[FL_ALERT_NO_APPLICATION_PROTOCOL] =
		"it speaks none of the application protocols (ALPN) that it was offered",
};
_Static_assert(FL_COUNT_OF(alert_hints) == FL_COUNT_OF(alert_names), "both by number");

/* Protocol errors. alert: what we send unless wolfSSL has already sent one. */
#define DAMAGED "a record of the peer was damaged or tampered with"
#define UNPROVEN "the peer has not proven that it holds its private key"
#define CUT_SHORT "a message of the peer is cut short, or contradicts itself"
#define OUT_OF_ORDER "the peer sent a message that is not due"
#define NO_VERSION "the peer does not offer TLS 1.3"
#define NO_CIPHER "no TLS cipher in common with the peer"
#define NO_GROUP "no TLS group in common with the peer"
#define BAD_SHARE "a key share of the peer is no valid key, or of a group that was not asked for"
#define NOT_ALLOWED "the peer sent a value that TLS 1.3 does not allow there"
static const struct {
	int error;
	enum fl_tls_cause cause;
	uint8_t alert;
	const char *text;
} errors[] = {
	{VERSION_ERROR, FL_TLS_CAUSE_VERSION, FL_ALERT_PROTOCOL_VERSION, NO_VERSION},
	{UNSUPPORTED_PROTO_VERSION, FL_TLS_CAUSE_VERSION, FL_ALERT_PROTOCOL_VERSION, NO_VERSION},
	{MATCH_SUITE_ERROR, FL_TLS_CAUSE_PARAMETERS, FL_ALERT_HANDSHAKE_FAILURE, NO_CIPHER},
	{UNSUPPORTED_SUITE, FL_TLS_CAUSE_PARAMETERS, FL_ALERT_HANDSHAKE_FAILURE, NO_CIPHER},
	{KEY_SHARE_ERROR, FL_TLS_CAUSE_PARAMETERS, FL_ALERT_HANDSHAKE_FAILURE, NO_GROUP},
	{ECC_CURVE_ERROR, FL_TLS_CAUSE_PARAMETERS, FL_ALERT_HANDSHAKE_FAILURE, NO_GROUP},
	{SIG_TYPE_E, FL_TLS_CAUSE_PARAMETERS, FL_ALERT_HANDSHAKE_FAILURE,
	 "no signature algorithm in common with the peer: it supports no key of our kind"},
	{ECC_CURVETYPE_ERROR, FL_TLS_CAUSE_PARAMETERS, FL_ALERT_HANDSHAKE_FAILURE, NO_GROUP},

	{BAD_KEY_SHARE_DATA, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER, BAD_SHARE},
	{PUBLIC_KEY_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER, BAD_SHARE},
	{ECC_PEERKEY_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER, BAD_SHARE},
	{ECC_OUT_OF_RANGE_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER, BAD_SHARE},
	{PEER_KEY_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER, BAD_SHARE},
	{INVALID_PARAMETER, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER, NOT_ALLOWED},
	{UNKNOWN_ALPN_PROTOCOL_NAME_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER,
	 "the peer chose an application protocol that was not offered"},
	{AES_GCM_AUTH_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_BAD_RECORD_MAC, DAMAGED},
	{MAC_CMP_FAILED_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_BAD_RECORD_MAC, DAMAGED},
	{VERIFY_MAC_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_BAD_RECORD_MAC, DAMAGED},
	{DECRYPT_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_BAD_RECORD_MAC, DAMAGED},
	{SANITY_CIPHER_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_BAD_RECORD_MAC, DAMAGED},
	{LENGTH_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_RECORD_OVERFLOW,
	 "a record of the peer is too long"},
	{RECV_OVERFLOW_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_RECORD_OVERFLOW,
	 "a record of the peer is too long"},
	{INPUT_SIZE_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_RECORD_OVERFLOW,
	 "a record of the peer is too long"},
	{VERIFY_FINISHED_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECRYPT_ERROR,
	 "the peer's Finished does not match the handshake"},
	{VERIFY_SIGN_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECRYPT_ERROR, UNPROVEN},
	{SIG_VERIFY_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECRYPT_ERROR, UNPROVEN},
	{ASN_SIG_CONFIRM_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECRYPT_ERROR, UNPROVEN},
	{NO_PEER_VERIFY, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE, UNPROVEN},
	{BAD_BINDER, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECRYPT_ERROR,
	 "the peer has not proven that it holds the secret of the session that it resumes"},
	{BUFFER_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECODE_ERROR, CUT_SHORT},
	{BUFFER_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECODE_ERROR, CUT_SHORT},
	{PARSE_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECODE_ERROR, CUT_SHORT},
	{DECODE_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECODE_ERROR, CUT_SHORT},
	{BAD_HELLO, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_DECODE_ERROR, CUT_SHORT},
	{INVALID_CERT_CTX_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER,
	 "the peer's certificate answers a request that was not made"},
	{HANDSHAKE_SIZE_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER,
	 "a handshake message of the peer is too large"},
	{UNKNOWN_HANDSHAKE_TYPE, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE, OUT_OF_ORDER},
	{OUT_OF_ORDER_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE, OUT_OF_ORDER},
	{SIDE_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE, OUT_OF_ORDER},
	{SANITY_MSG_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE, OUT_OF_ORDER},
	{NO_CHANGE_CIPHER_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE, OUT_OF_ORDER},
	{DUPLICATE_MSG_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE,
	 "the peer sent a message twice"},
	{SOCKET_ERROR_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE,
	 "the peer asks for more answers than there is room for: a flood of key updates?"},
	{ALERT_COUNT_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE,
	 "the peer sent too many alerts"},
	{EMPTY_RECORD_LIMIT_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE,
	 "the peer sent too many empty records"},
	{EXT_NOT_ALLOWED, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER,
	 "the peer sent an extension in a message where TLS 1.3 does not allow it"},
	{DUPLICATE_TLS_EXT_E, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER,
	 "the peer sent an extension twice"},
	{PSK_KEY_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER,
	 "the peer resumes a session that does not fit"},
	{SERVER_HINT_ERROR, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_ILLEGAL_PARAMETER,
	 "the peer's ticket lives too long"},
	{EXT_MISSING, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_MISSING_EXTENSION,
	 "the peer left out an extension that has to be there"},
	{INCOMPLETE_DATA, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_MISSING_EXTENSION,
	 "the peer left out an extension that has to be there"},
	{MISSING_HANDSHAKE_DATA, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_HANDSHAKE_FAILURE,
	 "the peer left out something that has to be there"},
	{UNSUPPORTED_EXTENSION, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNSUPPORTED_EXTENSION,
	 "the peer answers an extension that was not sent"},
	{TOO_MUCH_EARLY_DATA, FL_TLS_CAUSE_PROTOCOL, FL_ALERT_UNEXPECTED_MESSAGE,
	 "the peer sent too much early data"},
};

/* Errors that only we can cause. All other numbers occur while the peer's data is read, so the peer
 * causes them, whether or not they are in the table above. */
static const struct {
	int error;
	const char *text;
} own_errors[] = {
	{MEMORY_E, "out of memory"},
	{MEMORY_ERROR, "out of memory"},
	{MP_MEM, "out of memory"},
	{OPEN_RAN_E, "no random numbers"},
	{READ_RAN_E, "no random numbers"},
	{RAN_BLOCK_E, "no random numbers"},
	{RNG_FAILURE_E, "no random numbers"},
	{MISSING_RNG_E, "no random numbers"},
	{GETTIME_ERROR, "this machine does not tell the time"},
	{NO_PRIVATE_KEY, "there is no private key of ours to sign with"},
	{NO_CERT_ERROR, "there is no certificate of ours to send"},
	{RSA_SIGN_FAULT, "our own signature came out wrong: a fault of this machine?"},
	{SEQUENCE_NUMBER_E, "the records of this connection are used up"},
	{SESSION_TICKET_NONCE_OVERFLOW, "a session was resumed too often"},
};

/* Returns the failure to fill in; NULL if there is already one or no memory for it. */
static struct fl_tls_failure *begin(struct fl_tls *tls)
{
	if (tls->failure != NULL) {
		return NULL;
	}
	struct fl_tls_failure *failure = fl_tls_alloc(sizeof(*failure));
	tls->failure = failure != NULL ? failure : &no_memory;
	return failure;
}

static void put(struct fl_tls_failure *failure, const char *fmt, ...) FL_PRINTF(2, 3);

/* A sentence that does not fit ends in "...". */
static void put(struct fl_tls_failure *failure, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(failure->text, sizeof(failure->text), fmt, args);
	va_end(args);
	if (n >= (int)sizeof(failure->text)) {
		memcpy(failure->text + sizeof(failure->text) - 4, "...", 4);
	}
}

void fl_tls_failure_free(struct fl_tls *tls)
{
	if (tls->failure != NULL && tls->failure != &no_memory) {
		fl_tls_peer_unref(tls->failure->peer);
		fl_tls_release(tls->failure->claimed);
		fl_tls_release(tls->failure);
	}
	tls->failure = NULL;
}

static void fail_rule(struct fl_tls_failure *failure, enum fl_rule rule,
		      const struct fl_err *detail)
{
	bool more = detail != NULL && detail->code != FL_OK;

	failure->cause = FL_TLS_CAUSE_CERTIFICATE;
	failure->rule = rule;
	failure->alert = fl_rule_alert(rule);
	put(failure, "peer certificate refused, %s: %s%s%s", fl_rule_name(rule), fl_rule_text(rule),
	    more ? "; " : "", more ? detail->text : "");
}

void fl_tls_fail_rule(struct fl_tls *tls, enum fl_rule rule, struct fl_tls_peer *peer,
		      const struct fl_err *detail)
{
	struct fl_tls_failure *failure = begin(tls);

	if (failure != NULL) {
		fail_rule(failure, rule, detail);
		failure->peer = peer != NULL ? fl_tls_peer_ref(peer) : NULL;
	}
}

void fl_tls_fail_claim(struct fl_tls *tls, const struct fl_spiffe_id *id)
{
	struct fl_tls_failure *failure = (struct fl_tls_failure *)(uintptr_t)tls->failure;

	if (failure == NULL || failure == &no_memory || failure->claimed != NULL) {
		return;
	}
	failure->claimed = fl_tls_alloc(id->len + 1);
	if (failure->claimed != NULL) {
		memcpy(failure->claimed, id->text, id->len);
	}
}

static void fail_peer_alert(struct fl_tls_failure *failure, int number)
{
	failure->cause = FL_TLS_CAUSE_PEER_ALERT;
	failure->alert = (uint8_t)number;
	if (number >= 0 && number < (int)FL_COUNT_OF(alert_names) && alert_names[number] != NULL) {
		put(failure, "the peer refused us with alert %s (%d): %s", alert_names[number],
		    number, alert_hints[number]);
		return;
	}
	put(failure, "the peer refused us with alert %d", number);
}

/* The first bytes of the connection are not TLS, or later bytes are not a TLS record. */
static void fail_record(struct fl_tls_failure *failure, bool handshake)
{
	failure->cause = handshake ? FL_TLS_CAUSE_NOT_TLS : FL_TLS_CAUSE_PROTOCOL;
	failure->alert = FL_ALERT_UNEXPECTED_MESSAGE;
	put(failure, "%s",
	    handshake
		    ? "the peer does not speak TLS: plaintext or garbage where a TLS record was due"
		    : "garbage from the peer where a TLS record was due");
}

static bool is_own(int error)
{
	for (size_t i = 0; i < FL_COUNT_OF(own_errors); i++) {
		if (own_errors[i].error == error) {
			return true;
		}
	}
	return false;
}

static void fail_own(struct fl_tls_failure *failure, int error)
{
	const char *text = wolfSSL_ERR_reason_error_string((unsigned long)(long)error);

	for (size_t i = 0; i < FL_COUNT_OF(own_errors); i++) {
		text = own_errors[i].error == error ? own_errors[i].text : text;
	}
	failure->cause = FL_TLS_CAUSE_INTERNAL;
	failure->alert = FL_ALERT_INTERNAL_ERROR;
	failure->no_memory = error == WC_NO_ERR_TRACE(MEMORY_E) || error == MEMORY_ERROR ||
			     error == WC_NO_ERR_TRACE(MP_MEM);
	put(failure, "%s (wolfSSL %d)", text, error);
}

static void fail_other(const struct fl_tls *tls, struct fl_tls_failure *failure, int error)
{
	const char *message = fl_wolf_message_under_way(tls->wolf);

	for (size_t i = 0; i < FL_COUNT_OF(errors); i++) {
		if (errors[i].error == error) {
			failure->cause = errors[i].cause;
			failure->alert = errors[i].alert;
			put(failure, "%s (wolfSSL %d)", errors[i].text, error);
			return;
		}
	}
	if (!tls->heard) {
		fail_own(failure, error);
		return;
	}
	failure->cause = FL_TLS_CAUSE_PROTOCOL;
	/* A signature that cannot be parsed counts as a wrong one (RFC 8446 section 4.4.3). */
	if (strcmp(message, "CertificateVerify") == 0) {
		failure->alert = FL_ALERT_DECRYPT_ERROR;
		put(failure, UNPROVEN " (wolfSSL %d)", error);
		return;
	}
	failure->alert = FL_ALERT_DECODE_ERROR;
	put(failure, "the peer's %s, or what came after it, makes no sense: %s (wolfSSL %d)",
	    message, wolfSSL_ERR_reason_error_string((unsigned long)(long)error), error);
}

/* If wolfSSL has already sent an alert, that is the one that the peer saw. */
static void note_sent_alert(const struct fl_tls *tls, struct fl_tls_failure *failure)
{
	WOLFSSL_ALERT_HISTORY history;

	if (wolfSSL_get_alert_history(tls->wolf, &history) == WOLFSSL_SUCCESS &&
	    history.last_tx.level == alert_fatal) {
		failure->alert = (uint8_t)history.last_tx.code;
	}
}

void fl_tls_fail_error(struct fl_tls *tls, int error)
{
	WOLFSSL_ALERT_HISTORY history;
	struct fl_tls_failure *failure = begin(tls);

	if (failure == NULL) {
		return;
	}
	if (tls->state == FL_TLS_STATE_HANDSHAKE && tls->peer != NULL) {
		failure->peer = fl_tls_peer_ref(tls->peer);
	}
	if (is_own(error)) {
		fail_own(failure, error);
		return;
	}
	/* verify.c finds everything else that can be wrong with a certificate. */
	if (error == NO_PEER_CERT) {
		fail_rule(failure, FL_RULE_NO_CERTIFICATE, NULL);
		note_sent_alert(tls, failure);
		return;
	}
	if (error == FATAL_ERROR &&
	    wolfSSL_get_alert_history(tls->wolf, &history) == WOLFSSL_SUCCESS) {
		fail_peer_alert(failure, history.last_rx.code);
	} else if (error == WOLFSSL_ERROR_ZERO_RETURN) {
		fail_peer_alert(failure, FL_ALERT_CLOSE_NOTIFY);
	} else {
		bool handshake = tls->state == FL_TLS_STATE_HANDSHAKE;
		/* A wrong version after negotiation is just a broken record. */
		if (error == UNKNOWN_RECORD_TYPE || (handshake && tls->not_tls) ||
		    (!handshake && error == VERSION_ERROR)) {
			fail_record(failure, handshake);
		} else {
			fail_other(tls, failure, error);
		}
		note_sent_alert(tls, failure);
	}
}

void fl_tls_fail_alert(struct fl_tls *tls, uint8_t alert)
{
	struct fl_tls_failure *failure = begin(tls);

	if (failure != NULL) {
		failure->alert = alert;
		put(failure, "we ended the connection with alert %u", alert);
	}
}

void fl_tls_fail_signature(struct fl_tls *tls, const char *text)
{
	struct fl_tls_failure *failure = begin(tls);

	if (failure != NULL) {
		failure->cause = FL_TLS_CAUSE_NO_SIGNATURE;
		failure->alert = FL_ALERT_INTERNAL_ERROR;
		put(failure, "%s", text);
	}
}
