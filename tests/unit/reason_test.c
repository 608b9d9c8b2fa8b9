/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a reason says of an open connection's end is what the kernel has said: a reset is one that somebody sent. */
#include <criterion/criterion.h>
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

Test(reason, words_are_what_users_rely_on)
{
	cr_expect_str_eq(fl_reason_word(FL_REASON_PEER_TIMEOUT), "peer_timeout");
	cr_expect_str_eq(fl_reason_word(FL_REASON_APP_TIMEOUT), "app_timeout");
	cr_expect_str_eq(fl_reason_word(FL_REASON_ABORTED), "aborted");
}
