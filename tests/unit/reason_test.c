/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reason for an open connection's end is what the kernel reported: a reset is one that the other side sent. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <uv.h>

#include "base/mem.h"
#include "count/reason.h"

Test(reason, errors_of_open_connections)
{
	static const struct {
		int sys;
		enum fl_reason app, peer;
	} rows[] = {
		{UV_ECONNRESET, FL_REASON_APP_RESET, FL_REASON_PEER_RESET},
		{UV_EPIPE, FL_REASON_APP_RESET, FL_REASON_PEER_RESET},
		{-EBADMSG, FL_REASON_APP_RESET, FL_REASON_PEER_RESET}, /* it sends descriptors */
		{UV_ETIMEDOUT, FL_REASON_APP_TIMEOUT, FL_REASON_PEER_TIMEOUT},
		{UV_EHOSTUNREACH, FL_REASON_APP_TIMEOUT, FL_REASON_PEER_TIMEOUT},
		{UV_ENETUNREACH, FL_REASON_APP_TIMEOUT, FL_REASON_PEER_TIMEOUT},
		{UV_EHOSTDOWN, FL_REASON_APP_TIMEOUT, FL_REASON_PEER_TIMEOUT},
		{UV_ECONNABORTED, FL_REASON_ABORTED, FL_REASON_ABORTED},
		{UV_ENOMEM, FL_REASON_INTERNAL, FL_REASON_INTERNAL},
		{UV_EPROTO, FL_REASON_INTERNAL, FL_REASON_INTERNAL},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		cr_expect_eq(fl_reason_of_app_error(rows[i].sys), rows[i].app, "%d", rows[i].sys);
		cr_expect_eq(fl_reason_of_peer_error(rows[i].sys), rows[i].peer, "%d", rows[i].sys);
	}
}

Test(reason, errors_of_dials)
{
	static const struct {
		int sys;
		enum fl_reason app, peer;
	} rows[] = {
		{UV_ECONNREFUSED, FL_REASON_APP_REFUSED, FL_REASON_PEER_REFUSED},
		{UV_ETIMEDOUT, FL_REASON_APP_CONNECT_TIMEOUT, FL_REASON_PEER_CONNECT_TIMEOUT},
		{UV_ENETUNREACH, FL_REASON_APP_UNREACHABLE, FL_REASON_PEER_UNREACHABLE},
		{UV_EADDRNOTAVAIL, FL_REASON_APP_UNREACHABLE, FL_REASON_PEER_UNREACHABLE},
		{UV_EMFILE, FL_REASON_INTERNAL, FL_REASON_INTERNAL},
		{UV_ENFILE, FL_REASON_INTERNAL, FL_REASON_INTERNAL},
		{UV_ENOBUFS, FL_REASON_INTERNAL, FL_REASON_INTERNAL},
		{UV_ENOMEM, FL_REASON_INTERNAL, FL_REASON_INTERNAL},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		cr_expect_eq(fl_reason_of_app_dial(rows[i].sys), rows[i].app, "%d", rows[i].sys);
		cr_expect_eq(fl_reason_of_peer_dial(rows[i].sys), rows[i].peer, "%d", rows[i].sys);
	}
}

Test(reason, words_are_what_users_rely_on)
{
	cr_expect_str_eq(fl_reason_word(FL_REASON_PEER_TIMEOUT), "peer_timeout");
	cr_expect_str_eq(fl_reason_word(FL_REASON_APP_TIMEOUT), "app_timeout");
	cr_expect_str_eq(fl_reason_word(FL_REASON_ABORTED), "aborted");
}

/* Which ones `[log] access = denied` logs, and which of those say "connection closed" rather than "refused". */
Test(reason, each_has_a_class)
{
	static const enum fl_reason lost[] = {FL_REASON_TRUST_LOST, FL_REASON_REVOKED,
					      FL_REASON_PEER_EXPIRED, FL_REASON_POLICY_LOST};
	static const enum fl_reason refused[] = {
		FL_REASON_CERTIFICATE, FL_REASON_NOT_MUTUAL,      FL_REASON_POLICY,
		FL_REASON_CROWDED_OUT, FL_REASON_NOT_TLS,         FL_REASON_CONNECTION_LIMIT,
		FL_REASON_TLS_VERSION, FL_REASON_TLS_PARAMETERS,  FL_REASON_DESTINATION_UNKNOWN,
		FL_REASON_LOOP,        FL_REASON_OUTBOUND_REFUSED};
	enum fl_reason_class expected[FL_REASON_COUNT] = {FL_REASON_CLASS_ENDED};

	for (size_t i = 0; i < FL_COUNT_OF(lost); i++) {
		expected[lost[i]] = FL_REASON_CLASS_LOST;
	}
	for (size_t i = 0; i < FL_COUNT_OF(refused); i++) {
		expected[refused[i]] = FL_REASON_CLASS_REFUSED;
	}
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		cr_expect_eq(fl_reason_class(r), expected[r], "%s", fl_reason_word(r));
		cr_expect_eq(fl_reason_is_denial(r), expected[r] != FL_REASON_CLASS_ENDED, "%s",
			     fl_reason_word(r));
	}
}
