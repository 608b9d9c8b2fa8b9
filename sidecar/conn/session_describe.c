/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads sessions without changing them: describes the peer for the log, policy and the app. */
#include "conn/session_internal.h"

#include <stdio.h>
#include <utlist.h>

#include "base/hex.h"

void fl_session_list(struct fl_loop *loop, struct fl_listing *ret)
{
	struct fl_session *session;

	DL_FOREACH(loop->sessions, session)
	{
		struct fl_listed *item;

		if (session->is_client || session->mesh.conn == NULL ||
		    (session->state != FL_SESSION_HANDSHAKE && session->state != FL_SESSION_IDLE)) {
			continue;
		}
		item = fl_listing_add(ret);
		if (item == NULL) {
			return;
		}
		fl_conn_describe(session->mesh.conn, "handshake", item);
		fl_listing_keep(ret);
	}
}

static const struct fl_session *of(const struct fl_mesh *mesh)
{
	return fl_session_of(mesh);
}

bool fl_session_is_ready(const struct fl_mesh *mesh)
{
	return of(mesh)->state == FL_SESSION_READY;
}

const char *fl_session_state_word(const struct fl_mesh *mesh)
{
	return of(mesh)->state == FL_SESSION_HANDSHAKE ? "handshake" : "connecting";
}

struct fl_tls_peer *fl_session_peer(const struct fl_mesh *mesh)
{
	return fl_session_is_ready(mesh) ? fl_tls_peer_of(of(mesh)->tls) : NULL;
}

bool fl_session_is_mutual(const struct fl_mesh *mesh)
{
	return fl_session_is_ready(mesh) && fl_tls_is_mutual(of(mesh)->tls);
}

const char *fl_session_peer_id(const struct fl_mesh *mesh)
{
	return of(mesh)->tls != NULL ? fl_tls_peer_id(of(mesh)->tls) : NULL;
}

/* Its socket, or the one being dialled or dialled last; NULL: there is none. */
static const struct fl_sock *sock_of(const struct fl_mesh *mesh)
{
	const struct fl_session *session = of(mesh);

	if (session->sock != NULL || session->dialing == NULL) {
		return session->sock;
	}
	return session->dialing->dialer.sock;
}

const char *fl_session_peer_addr(const struct fl_mesh *mesh, char *buf)
{
	return sock_of(mesh) != NULL ? fl_sock_peer(sock_of(mesh), buf) : NULL;
}

struct fl_inet fl_session_peer_inet(const struct fl_mesh *mesh)
{
	return sock_of(mesh) != NULL ? fl_sock_peer_inet(sock_of(mesh)) : (struct fl_inet){0};
}

struct fl_inet fl_session_local_inet(const struct fl_mesh *mesh)
{
	return sock_of(mesh) != NULL ? fl_sock_local_inet(sock_of(mesh)) : (struct fl_inet){0};
}

const struct fl_tls_failure *fl_session_failure(const struct fl_mesh *mesh)
{
	const struct fl_tls *tls = of(mesh)->tls;
	const struct fl_tls_failure *failure = tls != NULL ? fl_tls_failure(tls) : NULL;

	return failure != NULL && failure->cause != FL_TLS_CAUSE_NONE ? failure : NULL;
}

struct fl_mesh_use fl_session_use(const struct fl_mesh *mesh)
{
	const struct fl_session *session = of(mesh);
	struct fl_mesh_use use = {0};

	if (session->framed != NULL) {
		use.use = fl_framed_use(session);
		for (unsigned i = 0; i < FL_SESSION_ID; i++) {
			use.session = use.session << 8 | session->id[i];
		}
	}
	return use;
}

/* Server: where the client says that its app came from; NULL if it does not say. */
static const char *claimed_source(const struct fl_session *session, char text[FL_ADDR_TEXT])
{
	const struct fl_inet *source = &session->framed->server.open.source;

	return source->family != 0 ? fl_inet_format(source, text) : NULL;
}

bool fl_session_introduce(const struct fl_mesh *mesh, struct fl_proxy_v2_peer *ret)
{
	const struct fl_session *session = of(mesh);
	const struct fl_tls *tls = session->tls;
	char text[FL_ADDR_TEXT];
	const char *claimed = session->framed != NULL ? claimed_source(session, text) : NULL;

	*ret = (struct fl_proxy_v2_peer){.id = fl_tls_peer_id(tls),
					 .version = "TLSv1.3",
					 .cipher = fl_tls_cipher(tls),
					 .resumed = fl_tls_resumed(tls)};
	fl_session_name_connection(session, ret->unique);
	if (claimed != NULL) {
		(void)snprintf(ret->claimed, sizeof(ret->claimed), "%s", claimed);
	}
	return true;
}

static const char *status_word(enum fl_status status)
{
	switch (status) {
	case FL_STATUS_OPENED:
		break;
	case FL_STATUS_DENIED:
		return "denied";
	case FL_STATUS_APP_REFUSED:
		return "app_refused";
	case FL_STATUS_APP_TIMEOUT:
		return "app_timeout";
	case FL_STATUS_APP_FAILED:
		return "app_failed";
	case FL_STATUS_NOT_OPENED:
		return "not_opened";
	}
	return NULL;
}

static void describe_use(const struct fl_session *session, struct fl_line *line)
{
	const struct fl_framed *framed = session->framed;
	char text[FL_ADDR_TEXT];

	fl_line_u64(line, "use", fl_framed_use(session));
	if (session->is_client) {
		fl_line_str(line, "peer_status",
			    framed->answered ? status_word((enum fl_status)framed->status) : NULL);
	} else {
		fl_line_str(line, "claimed_source", claimed_source(session, text));
		fl_line_str(line, "claimed_destination",
			    framed->server.open.destination.family != 0
				    ? fl_inet_format(&framed->server.open.destination, text)
				    : NULL);
	}
}

void fl_session_describe(const struct fl_mesh *mesh, struct fl_line *line)
{
	const struct fl_session *session = of(mesh);
	const struct fl_tls_failure *failure = fl_session_failure(mesh);
	char id[FL_HEX_TEXT(FL_SESSION_ID)];

	if (session->local_port != 0) {
		fl_line_u64(line, "mesh_port", session->local_port);
	}
	fl_line_str(line, "session", fl_session_id_text(session, id));
	if (session->tls != NULL && session->state >= FL_SESSION_READY) {
		fl_line_str(line, "security", "mtls");
		fl_line_str(line, "tls", "1.3");
		fl_line_str(line, "group", fl_tls_group(session->tls));
		fl_line_str(line, "cipher", fl_tls_cipher(session->tls));
		if (session->framed == NULL || fl_framed_use(session) <= 1) {
			fl_line_bool(line, "resumed", fl_tls_resumed(session->tls));
		}
		if (session->framed != NULL) {
			describe_use(session, line);
		}
		if (!fl_tls_is_mutual(session->tls)) {
			fl_line_bool(line, "mutual", false);
		}
		fl_line_str(line, "peer", fl_tls_proven_id(session->tls));
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
