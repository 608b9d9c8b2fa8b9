/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looks at sessions that change nothing: who the peer is, for the log, policy and the app. */
#include "conn/session_internal.h"

#include <utlist.h>

void fl_session_list(struct fl_loop *loop, struct fl_listing *ret)
{
	struct fl_session *session;

	DL_FOREACH(loop->sessions, session)
	{
		struct fl_listed *item;

		if (session->is_client || session->state != HANDSHAKE) {
			continue;
		}
		item = fl_listing_add(ret);
		if (item == NULL) {
			return;
		}
		fl_conn_describe(session->conn, "handshake", item);
		fl_listing_keep(ret);
	}
}

bool fl_session_is_in_handshake(const struct fl_session *session)
{
	return session->state == HANDSHAKE;
}

struct fl_tls_peer *fl_session_peer(const struct fl_session *session)
{
	return session->state == READY ? fl_tls_peer_of(session->tls) : NULL;
}

bool fl_session_is_mutual(const struct fl_session *session)
{
	return session->state == READY && fl_tls_is_mutual(session->tls);
}

const char *fl_session_peer_id(const struct fl_session *session)
{
	return fl_tls_peer_id(session->tls);
}

const char *fl_session_peer_addr(const struct fl_session *session, char *buf)
{
	return session->sock != NULL ? fl_sock_peer(session->sock, buf) : NULL;
}

struct fl_conn *fl_session_route(const struct fl_session *session)
{
	return session->conn;
}

const struct fl_tls_failure *fl_session_failure(const struct fl_session *session)
{
	const struct fl_tls_failure *failure =
		session->tls != NULL ? fl_tls_failure(session->tls) : NULL;

	return failure != NULL && failure->cause != FL_TLS_CAUSE_NONE ? failure : NULL;
}

struct fl_inet fl_session_local_inet(const struct fl_session *session)
{
	return fl_sock_local_inet(session->sock);
}

void fl_session_introduce(const struct fl_session *session, struct fl_proxy_v2_peer *ret)
{
	*ret = (struct fl_proxy_v2_peer){.id = fl_tls_peer_id(session->tls),
					 .version = "TLSv1.3",
					 .cipher = fl_tls_cipher(session->tls),
					 .resumed = fl_tls_resumed(session->tls)};
}

void fl_session_describe(const struct fl_session *session, struct fl_line *line)
{
	const struct fl_tls_failure *failure = fl_session_failure(session);

	if (session->tls != NULL && session->state >= READY) {
		fl_line_str(line, "security", "mtls");
		fl_line_str(line, "peer", fl_tls_peer_id(session->tls));
		fl_line_str(line, "tls", "1.3");
		fl_line_str(line, "group", fl_tls_group(session->tls));
		fl_line_str(line, "cipher", fl_tls_cipher(session->tls));
		fl_line_bool(line, "resumed", fl_tls_resumed(session->tls));
		if (!fl_tls_is_mutual(session->tls)) {
			fl_line_bool(line, "mutual", false);
		}
	}
	if (failure != NULL) {
		fl_line_str(line, "broken_rule",
			    failure->rule != FL_RULE_NONE ? fl_rule_name(failure->rule) : NULL);
		if (failure->alert != 0) {
			fl_line_u64(line, "alert", failure->alert);
		}
		fl_line_str(line, "detail", failure->text);
		fl_line_str(line, "remedy",
			    failure->rule != FL_RULE_NONE ? fl_rule_remedy(failure->rule) : NULL);
	}
}
