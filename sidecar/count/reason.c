/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words and sentences of the close reasons, and the translations into them. */
#include "count/reason.h"

#include <errno.h>
#include <uv.h>

static const struct {
	const char *word, *text;
	enum fl_reason_class class;
} reasons[] = {
#define REASON_ROW(id, word, class, text) {word, text, FL_REASON_CLASS_##class},
	FL_REASONS(REASON_ROW)
#undef REASON_ROW
};

const char *fl_reason_word(enum fl_reason reason)
{
	return reasons[reason].word;
}

const char *fl_reason_text(enum fl_reason reason)
{
	return reasons[reason].text;
}

enum fl_reason_class fl_reason_class(enum fl_reason reason)
{
	return reasons[reason].class;
}

bool fl_reason_is_denial(enum fl_reason reason)
{
	return fl_reason_class(reason) != FL_REASON_CLASS_ENDED;
}

bool fl_reason_is_failure(enum fl_reason reason)
{
	return reason != FL_REASON_DONE && reason != FL_REASON_IDLE_TIMEOUT &&
	       reason != FL_REASON_RECYCLED && reason != FL_REASON_MAX_AGE &&
	       reason != FL_REASON_DRAIN;
}

enum fl_reason fl_reason_of_tls(const struct fl_tls_failure *failure)
{
	switch (failure->cause) {
	case FL_TLS_CAUSE_CERTIFICATE:
		return FL_REASON_CERTIFICATE;
	case FL_TLS_CAUSE_NOT_TLS:
		return FL_REASON_NOT_TLS;
	case FL_TLS_CAUSE_VERSION:
		return FL_REASON_TLS_VERSION;
	case FL_TLS_CAUSE_PARAMETERS:
		return FL_REASON_TLS_PARAMETERS;
	case FL_TLS_CAUSE_PEER_ALERT:
		return FL_REASON_PEER_ALERT;
	case FL_TLS_CAUSE_PROTOCOL:
		return FL_REASON_TLS_PROTOCOL;
	case FL_TLS_CAUSE_NO_SIGNATURE:
		return FL_REASON_SIGNATURE_UNAVAILABLE;
	case FL_TLS_CAUSE_NONE:
	case FL_TLS_CAUSE_INTERNAL:
		break;
	}
	return FL_REASON_INTERNAL;
}

/* This machine has run out of something, which says nothing about the other end. */
static bool is_shortage(int sys)
{
	return sys == UV_EMFILE || sys == UV_ENFILE || sys == UV_ENOBUFS || sys == UV_ENOMEM;
}

enum fl_reason fl_reason_of_app_dial(int sys)
{
	if (is_shortage(sys)) {
		return FL_REASON_INTERNAL;
	}
	switch (sys) {
	case UV_ECONNREFUSED:
	case UV_ENOENT: /* the unix:PATH does not exist yet */
		return FL_REASON_APP_REFUSED;
	case UV_ETIMEDOUT:
		return FL_REASON_APP_CONNECT_TIMEOUT;
	case UV_ECONNRESET: /* accepted, then reset before we checked */
		return FL_REASON_APP_RESET;
	default:
		return FL_REASON_APP_UNREACHABLE;
	}
}

enum fl_reason fl_reason_of_peer_dial(int sys)
{
	if (is_shortage(sys)) {
		return FL_REASON_INTERNAL;
	}
	switch (sys) {
	case UV_ECONNREFUSED:
		return FL_REASON_PEER_REFUSED;
	case UV_ETIMEDOUT:
		return FL_REASON_PEER_CONNECT_TIMEOUT;
	case UV_ECONNRESET:
		return FL_REASON_PEER_RESET;
	case UV_ELOOP: /* set by conn/dial.c, not by the kernel */
		return FL_REASON_LOOP;
	default:
		return FL_REASON_PEER_UNREACHABLE;
	}
}

/* Translates an error into the reason of the app's or the peer's side. EPIPE: a reset after a FIN.
 * If a router reports that there is no route, the kernel finally returns that error instead of
 * ETIMEDOUT. */
static enum fl_reason reason_of_error(int sys, enum fl_reason reset, enum fl_reason timeout)
{
	switch (sys) {
	case UV_ECONNRESET:
	case UV_EPIPE:
	case -EBADMSG: /* it sends descriptors (net/rights.h) */
		return reset;
	case UV_ETIMEDOUT:
	case UV_EHOSTUNREACH:
	case UV_EHOSTDOWN:
	case UV_ENETUNREACH:
	case UV_ENETDOWN:
		return timeout;
	case UV_ECONNABORTED:
		return FL_REASON_ABORTED;
	default:
		return FL_REASON_INTERNAL;
	}
}

enum fl_reason fl_reason_of_app_error(int sys)
{
	return reason_of_error(sys, FL_REASON_APP_RESET, FL_REASON_APP_TIMEOUT);
}

enum fl_reason fl_reason_of_peer_error(int sys)
{
	return reason_of_error(sys, FL_REASON_PEER_RESET, FL_REASON_PEER_TIMEOUT);
}
