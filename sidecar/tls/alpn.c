/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/alpn.h"

#include "base/alpn.h"

/* Both sides name our protocols; a server continues without one if the client offers none of them. */
int fl_tls_alpn_init(WOLFSSL *wolf, bool framed)
{
	char raw[] = FL_ALPN, both[] = FL_ALPN_FRAMED "," FL_ALPN;
	char *names = framed ? both : raw;

	return wolfSSL_UseALPN(wolf, names, (unsigned)strlen(names),
			       WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) == WOLFSSL_SUCCESS
		       ? 0
		       : FL_ERR_NOMEM;
}

int fl_tls_set_alpn(struct fl_tls *tls, const char *names)
{
	FL_REQUIRE(tls->state == FL_TLS_STATE_HANDSHAKE && !tls->started && !tls->heard);
	if (tls->ctx->role == FL_TLS_CLIENT) {
		fl_wolf_forget_alpn(tls->wolf);
	}
	/* (It copies them.) */
	if (names != NULL &&
	    wolfSSL_UseALPN(tls->wolf, (char *)names, (unsigned)strlen(names),
			    WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) != WOLFSSL_SUCCESS) {
		return FL_ERR_NOMEM;
	}
	return 0;
}

enum fl_tls_protocol fl_tls_alpn_chosen(const struct fl_tls *tls)
{
	char *name = NULL;
	unsigned short len = 0;

	if (wolfSSL_ALPN_GetProtocol(tls->wolf, &name, &len) != WOLFSSL_SUCCESS ||
	    len != sizeof(FL_ALPN) - 1) {
		return FL_TLS_PROTOCOL_OTHER;
	}
	return memcmp(name, FL_ALPN_FRAMED, len) == 0 ? FL_TLS_PROTOCOL_FRAMED
	       : memcmp(name, FL_ALPN, len) == 0      ? FL_TLS_PROTOCOL_RAW
						      : FL_TLS_PROTOCOL_OTHER;
}
