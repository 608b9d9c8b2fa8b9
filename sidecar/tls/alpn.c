/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/alpn.h"

#include "base/alpn.h"

/* Both sides name our protocol; a server continues without it if the client does not offer it. */
int fl_tls_alpn_init(WOLFSSL *wolf)
{
	char name[] = FL_ALPN;

	return wolfSSL_UseALPN(wolf, name, sizeof(name) - 1, WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) ==
			       WOLFSSL_SUCCESS
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

bool fl_tls_alpn_chosen(const struct fl_tls *tls)
{
	char *name = NULL;
	unsigned short len = 0;

	return wolfSSL_ALPN_GetProtocol(tls->wolf, &name, &len) == WOLFSSL_SUCCESS &&
	       len == sizeof(FL_ALPN) - 1 && memcmp(name, FL_ALPN, len) == 0;
}
