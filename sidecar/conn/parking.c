/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/parking.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "conn/session_internal.h"
#include "pki/spiffe.h"

#define GOING_MS 1000u /* idle sessions go within this time when credentials change */
#define STEP_MS 50u    /* interval in which a server retires some */

/* --- who may go on ---------------------------------------------------------------------------------- */

static uint64_t now_of(const struct fl_loop *loop)
{
	return uv_now(loop->uv);
}

static const struct fl_conf *conf_of(const struct fl_loop *loop)
{
	return loop->share->generation->conf;
}

/* Was it made under other credentials or settings than those in force? */
static bool is_stale(const struct fl_session *session)
{
	const struct fl_share *now = session->loop->share;

	return !now->generation->conf->tls.reuse ||
	       (now != session->share &&
		!fl_generation_may_reuse(session->share->generation, now->generation));
}

static bool is_aged(const struct fl_session *session)
{
	uint64_t max_ms = conf_of(session->loop)->limits.max_age_ms;

	return max_ms != 0 && (uv_hrtime() - session->started_ns) / 1000000 >= max_ms;
}

/* As in a handshake now, under the generation in force. */
static bool is_trusted(const struct fl_session *session)
{
	struct fl_tls_peer *peer = fl_tls_peer_of(session->tls);

	return peer != NULL && fl_tls_peer_is_good(session->loop->share->server, peer);
}

enum fl_session_end fl_framed_objection(const struct fl_session *session)
{
	if (is_stale(session)) {
		return FL_SESSION_END_CREDENTIALS;
	}
	if (is_aged(session)) {
		return FL_SESSION_END_SPENT;
	}
	return is_trusted(session) ? FL_SESSION_ENDS : FL_SESSION_END_JUDGED;
}

/* Client: is its server one that the connection's upstream expects? */
static bool is_expected(const struct fl_session *session, const struct fl_conn *conn)
{
	const struct fl_conf_upstream *upstream = conn->upstream;
	const char *id = fl_tls_peer_id(session->tls);

	if (id == NULL || (!upstream->mutual_optional && !fl_tls_is_mutual(session->tls))) {
		return false;
	}
	return upstream->peer_count > 0
		       ? fl_upstream_expects(upstream, id, strlen(id))
		       : fl_spiffe_is_of_domain(id,
						conn->share->generation->credentials->trust_domain);
}

/* Client: is the server's address still one of the connection's? Those of a fixed upstream change, with the INI and with
 * DNS. */
static bool leads_there(const struct fl_session *session, const struct fl_conn *conn)
{
	const struct fl_targets *targets = conn->targets;
	struct fl_inet server = fl_session_peer_inet(&session->mesh), target;

	if (fl_conn_is_captured(conn)) {
		return true; /* its place has one address */
	}
	for (size_t i = 0; targets != NULL && i < targets->count; i++) {
		target = fl_inet_of(&targets->items[i].any);
		if (fl_inet_equal(&target, &server)) {
			return true;
		}
	}
	return false;
}

/* Client: why it does not carry that connection; FL_SESSION_ENDS: it does. */
static enum fl_session_end obstacle(const struct fl_session *session, const struct fl_conn *conn)
{
	enum fl_session_end objection;

	if (!fl_framing_may_open(&session->framed->framing)) {
		return FL_SESSION_END_LOST; /* half a frame has come */
	}
	objection = fl_framed_objection(session);
	if (objection != FL_SESSION_ENDS) {
		return objection;
	}
	if (!leads_there(session, conn)) {
		return FL_SESSION_END_MOVED;
	}
	return is_expected(session, conn) ? FL_SESSION_ENDS : FL_SESSION_END_JUDGED;
}

/* --- the clock -------------------------------------------------------------------------------------- */

static void on_clock(uv_timer_t *timer);

/* Call it after every change. */
static void set_clock(struct fl_loop *loop)
{
	struct fl_parking *parking = &loop->parking;
	uint64_t wake = fl_pool_wake_ms(&parking->pool), now = now_of(loop);

	if (parking->is_closed) {
		return;
	}
	if (parking->pool.count > 0 && wake > now + FL_POOL_NEED_MS) {
		wake = now + FL_POOL_NEED_MS; /* the end of a use makes it earlier */
	}
	if (parking->going > 0 && wake > now + STEP_MS) {
		wake = now + STEP_MS;
	}
	if (wake >= parking->wake_ms && uv_is_active((uv_handle_t *)&parking->clock)) {
		return; /* it will be set again then */
	}
	parking->wake_ms = wake;
	if (wake != UINT64_MAX) {
		FL_REQUIRE(uv_timer_start(&parking->clock, on_clock, wake > now ? wake - now : 0,
					  0) == 0);
	}
}

static struct fl_session *session_of(struct fl_pool_entry *entry)
{
	return FL_CONTAINER_OF(entry, struct fl_framed, client.parked)->session;
}

static void end_chain(struct fl_pool_entry *chain, enum fl_session_end why)
{
	while (chain != NULL) {
		struct fl_pool_entry *next = chain->next;

		fl_framed_end(session_of(chain), why);
		chain = next;
	}
}

/* The server's session that has waited longest; NULL: none. */
static struct fl_session *longest_resting(struct fl_loop *loop)
{
	struct fl_deadline *first = fl_deadline_first(&loop->parking.resting);

	return first != NULL ? FL_CONTAINER_OF(first, struct fl_framed, server.deadline)->session
			     : NULL;
}

/* Retires some of those that are stale: they have waited longest. */
static void let_some_go(struct fl_loop *loop)
{
	struct fl_parking *parking = &loop->parking;
	struct fl_session *session = longest_resting(loop);

	for (unsigned n = parking->going; n > 0 && session != NULL && is_stale(session); n--) {
		fl_framed_retire(session, FL_SESSION_END_CREDENTIALS);
		session = longest_resting(loop);
	}
	if (session == NULL || !is_stale(session)) {
		parking->going = 0;
	}
}

static void on_clock(uv_timer_t *timer)
{
	struct fl_loop *loop = FL_CONTAINER_OF(timer, struct fl_loop, parking.clock);

	loop->parking.wake_ms = UINT64_MAX;
	end_chain(fl_pool_sweep(&loop->parking.pool, now_of(loop)), FL_SESSION_END_SPENT);
	if (loop->parking.going > 0) {
		let_some_go(loop);
	}
	set_clock(loop);
}

/* --- client ----------------------------------------------------------------------------------------- */

/* Sections may have the same destinations after a change of the INI, and need not expect the same peers. */
static struct fl_pool_key key_of(const struct fl_conn *conn)
{
	const char *name = conn->upstream->name != NULL ? conn->upstream->name : "";

	return (struct fl_pool_key){
		.to = conn->destination,
		.owner = fl_conn_is_captured(conn)
				 ? fl_hash64_bytes(FL_HASH64_INIT, name, strlen(name))
				 : conn->endpoint->number};
}

static bool may_reuse(const struct fl_conn *conn)
{
	return conn->share->generation->conf->tls.reuse && conn->upstream->reuse != FL_REUSE_OFF &&
	       conn->upstream->alpn == NULL;
}

static void begin_place(struct fl_conn *conn)
{
	struct fl_loop *loop = conn->loop;
	struct fl_pool_key key = key_of(conn);

	conn->place = fl_pool_begin(&loop->parking.pool, &key, now_of(loop));
	if (conn->place != NULL && conn->upstream->reuse != FL_REUSE_AUTO) {
		conn->place->is_balanced = conn->upstream->reuse == FL_REUSE_BALANCED;
	}
}

struct fl_mesh *fl_parking_take(struct fl_conn *conn, const struct fl_mesh_events *events,
				void *user)
{
	struct fl_loop *loop = conn->loop;
	struct fl_pool_entry *entry;
	struct fl_mesh *mesh = NULL;

	if (!may_reuse(conn)) {
		return NULL;
	}
	begin_place(conn);
	while (mesh == NULL && conn->place != NULL &&
	       (entry = fl_pool_take(&loop->parking.pool, conn->place, now_of(loop))) != NULL) {
		struct fl_session *session = session_of(entry);
		enum fl_session_end why = obstacle(session, conn);

		if (why != FL_SESSION_ENDS) {
			fl_framed_end(session, why);
		} else {
			fl_framed_reuse(session, conn, events, user);
			mesh = &session->mesh;
		}
	}
	set_clock(loop);
	return mesh;
}

void fl_framed_note_server(struct fl_session *session, const struct fl_inet *local)
{
	struct fl_pool_place *place = session->mesh.conn->place;
	struct fl_inet dialled = fl_session_peer_inet(&session->mesh);

	dialled.scope = 0; /* STATUS has none */
	session->framed->client.server = fl_inet_hash(local);
	if (place != NULL && session->mesh.conn->upstream->reuse == FL_REUSE_AUTO &&
	    local->family != 0) {
		place->is_balanced = !fl_inet_equal(&dialled, local);
	}
}

void fl_framed_let_others_go(struct fl_session *session)
{
	struct fl_pool_place *place = session->mesh.conn->place;
	struct fl_pool_entry *entry = place != NULL ? place->oldest : NULL;

	while (entry != NULL) {
		struct fl_session *other = session_of(entry);

		entry = entry->younger;
		if (other->framed->client.server == session->framed->client.server) {
			fl_framed_unrest(other);
			fl_framed_end(other, FL_SESSION_END_LOST);
		}
	}
	set_clock(session->loop);
}

static void park(struct fl_session *session, struct fl_pool_place *place)
{
	struct fl_loop *loop = session->loop;
	struct fl_framed *framed = session->framed;
	struct fl_pool_entry *leaver;

	fl_sock_begin_keep(session->sock);
	leaver = fl_pool_park(&loop->parking.pool, place, &framed->client.parked,
			      framed->framing.number, now_of(loop), fl_loop_draw(loop));
	if (leaver != NULL) {
		fl_framed_end(session_of(leaver), leaver == &framed->client.parked
							  ? FL_SESSION_END_SPENT
							  : FL_SESSION_END_LIMIT);
	}
}

/* --- server ----------------------------------------------------------------------------------------- */

static void on_rested(struct fl_deadline *deadline)
{
	fl_framed_retire(FL_CONTAINER_OF(deadline, struct fl_framed, server.deadline)->session,
			 FL_SESSION_END_IDLE);
}

static void on_not_closed(struct fl_deadline *deadline)
{
	struct fl_session *session =
		FL_CONTAINER_OF(deadline, struct fl_framed, server.deadline)->session;

	fl_session_end_socket(session, false);
	fl_session_release(session);
}

static enum fl_quota_answer try_place(struct fl_session *session)
{
	const struct fl_conn *conn = session->mesh.conn;
	struct fl_inet network = fl_inet_network(
		conn != NULL ? &conn->source : &session->framed->server.origin.source);

	return fl_quota_take_inbound(&session->loop->parking.quota, fl_tls_proven_id(session->tls),
				     &network, &session->framed->server.quota);
}

/* As in quota.h: replicas have one identity, and a certificate each. */
static bool is_same_peer(const struct fl_session *a, const struct fl_session *b)
{
	return strcmp(fl_tls_proven_id(a->tls), fl_tls_proven_id(b->tls)) == 0;
}

/* The one that has waited longest there; if the peer has its part, of those of that peer. NULL: there is none. */
static struct fl_session *longest_in(struct fl_deadline_queue *queue,
				     const struct fl_session *session, enum fl_quota_answer answer)
{
	struct fl_deadline *entry = fl_deadline_first(queue);
	struct fl_session *other = NULL;

	for (; entry != NULL; entry = fl_deadline_after(queue, entry)) {
		other = FL_CONTAINER_OF(entry, struct fl_framed, server.deadline)->session;
		if (answer != FL_QUOTA_PEER || is_same_peer(other, session)) {
			return other;
		}
	}
	return NULL;
}

static bool say_retire(struct fl_session *session)
{
	uint8_t frame[FL_FRAME_HEADER];
	size_t len = fl_framing_put_retire(&session->framed->framing, frame);

	return fl_framed_send(session, frame, len) >= 0;
}

/* Does not wait for the client to close. If an OPEN crosses that, the client starts over, as it does when it has waited. */
static void dismiss(struct fl_session *session, enum fl_session_end why)
{
	if (!session->framed->retired) {
		(void)say_retire(session);
		session->framed->end = (uint8_t)why;
	}
	fl_framed_end(session, session->framed->end);
}

/* Ends a session, so that another one can have its place: one that was retired and whose client does not close it, or else an
 * idle one. */
static bool make_room(const struct fl_session *session, enum fl_quota_answer answer)
{
	struct fl_parking *parking = &session->loop->parking;
	struct fl_session *other = longest_in(&parking->retiring, session, answer);

	if (other == NULL) {
		other = longest_in(&parking->resting, session, answer);
	}
	if (other != NULL) {
		dismiss(other, FL_SESSION_END_LIMIT);
	}
	return other != NULL;
}

/* False: all are taken, and none can be freed. */
static bool take_place(struct fl_session *session)
{
	enum fl_quota_answer answer = try_place(session);

	if (answer != FL_QUOTA_TAKEN && make_room(session, answer)) {
		answer = try_place(session);
	}
	session->framed->has_place = answer == FL_QUOTA_TAKEN;
	return session->framed->has_place;
}

void fl_framed_retire(struct fl_session *session, enum fl_session_end why)
{
	struct fl_framed *framed = session->framed;

	if (!framed->has_place && !take_place(session)) {
		dismiss(session, why);
		return;
	}
	if (!say_retire(session)) {
		fl_framed_end(session, why);
		return;
	}
	framed->retired = true;
	framed->end = (uint8_t)why;
	fl_deadline_add(&session->loop->parking.retiring, &framed->server.deadline, on_not_closed);
}

static void await_open(struct fl_session *session)
{
	if (!take_place(session)) {
		dismiss(session, FL_SESSION_END_LIMIT);
		return;
	}
	fl_deadline_add(&session->loop->parking.resting, &session->framed->server.deadline,
			on_rested);
}

void fl_framed_await_first(struct fl_session *session)
{
	if (!take_place(session)) {
		fl_session_fail(session, FL_REASON_CONNECTION_LIMIT);
	}
}

/* --- both ------------------------------------------------------------------------------------------- */

void fl_framed_unrest(struct fl_session *session)
{
	struct fl_loop *loop = session->loop;
	struct fl_framed *framed = session->framed;

	if (session->is_client) {
		fl_pool_remove(&loop->parking.pool, &framed->client.parked);
	} else if (framed->has_place) {
		framed->has_place = false;
		fl_deadline_drop(&framed->server.deadline);
		fl_quota_give_back(&loop->parking.quota, FL_INBOUND, framed->server.quota);
		framed->server.quota = NULL;
	}
}

/* Is something missing of what was to be sent? Then what follows would make no sense, if it could be sent at all. */
static bool is_torn(const struct fl_session *session)
{
	return session->torn || fl_tls_peer_of(session->tls) == NULL; /* the engine has failed */
}

/* Why it has no further use; FL_SESSION_ENDS: it has. */
static enum fl_session_end flaw_of(const struct fl_session *session,
				   const struct fl_pool_place *place)
{
	const struct fl_framed *framed = session->framed;

	if (session->held != NULL || !fl_framing_is_idle(&framed->framing) || is_torn(session)) {
		return FL_SESSION_END_USE;
	}
	if (session->eof || session->fin) {
		return FL_SESSION_END_PEER;
	}
	if (session->loop->draining) {
		return FL_SESSION_END_DRAIN;
	}
	if (framed->retired) {
		return FL_SESSION_END_RETIRED;
	}
	if (is_stale(session)) {
		return FL_SESSION_END_CREDENTIALS;
	}
	return is_aged(session) || (session->is_client && place == NULL) ? FL_SESSION_END_SPENT
									 : FL_SESSION_ENDS;
}

void fl_framed_rest(struct fl_session *session, struct fl_pool_place *place)
{
	enum fl_session_end flaw = flaw_of(session, place);
	bool is_over = session->shut || session->framed->is_over;

	if (is_over || flaw == FL_SESSION_END_PEER || flaw == FL_SESSION_END_USE ||
	    (session->is_client && flaw != FL_SESSION_ENDS)) {
		fl_framed_end(session, is_over ? session->framed->end : flaw);
		return;
	}
	fl_sock_read_start(session->sock);
	if (session->is_client) {
		park(session, place);
	} else if (flaw == FL_SESSION_ENDS) {
		await_open(session);
	} else {
		fl_framed_retire(session, flaw);
	}
	set_clock(session->loop);
}

/* --- all of them ------------------------------------------------------------------------------------ */

void fl_parking_flush(struct fl_loop *loop)
{
	struct fl_parking *parking = &loop->parking;

	fl_pool_flush(&parking->pool, now_of(loop), GOING_MS);
	parking->going = parking->quota.open[FL_INBOUND] / (GOING_MS / STEP_MS) + 1;
	set_clock(loop);
}

void fl_parking_drain(struct fl_loop *loop)
{
	struct fl_session *session;

	loop->draining = true;
	end_chain(fl_pool_drain(&loop->parking.pool), FL_SESSION_END_DRAIN);
	while ((session = longest_resting(loop)) != NULL) {
		fl_framed_retire(session, FL_SESSION_END_DRAIN);
	}
	set_clock(loop);
}
