/* SPDX-License-Identifier: GPL-3.0-or-later */
/* session_memory - what a client remembers of a server from one session to the next: sessions to resume, and that it
 * refuses our application protocol. Keyed by the endpoint if that is fixed, otherwise by the captured destination. */
#include "conn/session_internal.h"

#include "base/alpn.h"
#include "base/tls_alert.h"

static uint64_t now_of(const struct fl_session *session)
{
	return uv_now(session->loop->uv);
}

/* NULL: nothing is remembered. */
static struct fl_resume *find(const struct fl_session *session)
{
	const struct fl_conn *conn = session->mesh.conn;

	return fl_conn_is_captured(conn)
		       ? fl_resume_map_find(&conn->loop->resumes, &conn->destination)
		       : &conn->endpoint->resume;
}

/* NULL: memory is out. */
static struct fl_resume *find_or_make(const struct fl_session *session)
{
	const struct fl_conn *conn = session->mesh.conn;

	return fl_conn_is_captured(conn)
		       ? fl_resume_map_get(&conn->loop->resumes, &conn->destination)
		       : &conn->endpoint->resume;
}

/* May later sessions resume this one, and may this one resume earlier ones? */
static bool may_resume(const struct fl_session *session)
{
	const struct fl_loop *loop = session->loop;

	return loop->share != NULL &&
	       fl_generation_may_resume(session->share->generation, loop->share->generation);
}

bool fl_session_offer(struct fl_session *session)
{
	const struct fl_conn *conn = session->mesh.conn;
	const char *alpn = conn->upstream->alpn;
	struct fl_resume *known = find(session);

	if (alpn == NULL && known != NULL && fl_resume_is_bare(known, now_of(session))) {
		session->bare = true;
	}
	if (!session->bare && alpn == NULL && conn->upstream->reuse == FL_REUSE_OFF) {
		alpn = FL_ALPN;
	}
	if ((session->bare || alpn != NULL) && fl_tls_set_alpn(session->tls, alpn) != 0) {
		return false;
	}
	session->saves = conn->share->generation->ticket_keys != NULL;
	if (session->saves && known != NULL && may_resume(session)) {
		session->offered = fl_resume_offer(known, session->tls);
	}
	return true;
}

bool fl_session_name_protocols(struct fl_session *session)
{
	const struct fl_conf_service *service = session->mesh.conn->service;

	return service == NULL || service->alpn == NULL ||
	       fl_tls_set_alpn(session->tls, service->alpn) == 0;
}

void fl_session_drop_offered(struct fl_session *session)
{
	struct fl_resume *known = session->offered != 0 ? find(session) : NULL;

	if (known != NULL) {
		fl_resume_drop(known, session->offered);
	}
}

void fl_session_save(struct fl_session *session)
{
	struct fl_resume *known = find(session);
	uint64_t now = now_of(session);
	struct fl_tls_saved *saved;

	if ((known != NULL && !fl_resume_wants(known, now)) || !may_resume(session)) {
		session->saves = false;
		return;
	}
	saved = fl_tls_save(session->tls);
	if (saved == NULL) {
		return;
	}
	session->saves = false;
	known = find_or_make(session);
	if (known != NULL) {
		fl_resume_keep(known, saved, now);
	} else {
		fl_tls_saved_free(saved);
	}
}

bool fl_session_wants_no_alpn(const struct fl_session *session)
{
	const struct fl_tls_failure *failure = fl_session_failure(&session->mesh);

	return session->is_client && !session->bare && session->mesh.conn->upstream->alpn == NULL &&
	       failure != NULL && failure->cause == FL_TLS_CAUSE_PEER_ALERT &&
	       failure->alert == FL_ALERT_NO_APPLICATION_PROTOCOL;
}

void fl_session_note_alpn(struct fl_session *session)
{
	struct fl_resume *known = session->bare ? find_or_make(session) : NULL;

	if (known != NULL) {
		fl_resume_note_bare(known, now_of(session));
	}
}
