/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_CONN_H
#define FL_CONN_CONN_H
/* conn - what a connection is: where it came from, where it goes, and which section of which generation says how.
 *
 * All of this is decided once, when it arrives, and stays the same until its end, whatever rotates meanwhile. Only what waits
 * to be dialled follows the current share, because the key of an earlier one is soon gone (naming.h). A connection is open
 * while a session, a stream or both refer to it. It is counted when it opens and when it closes, and it holds the share of the
 * generation that it began with. Loop-bound. The memory of a connection without references is freed when the loop's turn is
 * over. */
#include "base/inet.h"
#include "conn/endpoint.h"
#include "conn/listing.h"
#include "conn/loop.h"
#include "policy/policy.h"

/* What the first bytes of a permissive port's client were. */
enum fl_detected {
	FL_DETECTED_NOTHING, /* not examined: the port is not permissive */
	FL_DETECTED_FAIRLEAD,
	FL_DETECTED_TLS, /* the app's own */
	FL_DETECTED_PLAINTEXT,
	FL_DETECTED_SILENCE, /* no bytes within detect_timeout */
};

struct fl_conn {
	struct fl_corpse corpse; /* first member: buried when the last reference is gone */
	struct fl_loop *loop;
	struct fl_endpoint *endpoint; /* that it arrived at */
	struct fl_share *share;       /* a reference */
	/* These belong to the share's generation. */
	const struct fl_conf_service
		*service; /* inbound; NULL: a captured port without a section */
	const struct fl_conf_upstream *
		upstream; /* outbound; [outbound] if nothing else matches. Certain once naming.h has decided */
	struct fl_targets
		*targets; /* outbound, fixed listener: its addresses; NULL: unknown, or captured */
	uint64_t started_ns;       /* uv_hrtime() */
	struct fl_peer_cell *peer; /* the peer that its bytes count for; NULL: not known yet */
	struct fl_section_cell *section; /* of service or upstream; NULL: not known yet */
	struct fl_pool_place
		*place; /* outbound: whose uses it is counted among (pool.h); NULL: none */
	struct fl_quota_peer *quota; /* the peer whose share it counts towards; NULL: none */
	struct fl_inet source;       /* family 0: a Unix socket, or unknown */
	struct fl_inet destination;  /* captured: the original one; family 0: a fixed listener */
	uint32_t refs;
	uint32_t lane;          /* among the slots for handshakes of its direction */
	uint64_t dial_until_ms; /* outbound: connect_timeout ends; 0: nothing is dialled yet */
	uint16_t port;          /* the port in policy; 0: Unix */
	int16_t dial_error;     /* negative uv error of a dial that has failed; 0: none has */
	uint8_t direction;      /* enum fl_direction */
	uint8_t detected;       /* enum fl_detected; inbound */
	uint8_t security;       /* enum fl_security */
	bool admitted;          /* counts towards [limits] connections */
	bool awaits_name; /* it was judged while DNS had not answered for a name that may have its address */
};

/* Makes a connection from that source at that endpoint, under the loop's current share, before its facts are known. Returns
 * one reference; NULL: no memory. For accept.c. */
struct fl_conn *fl_conn_new(struct fl_endpoint *endpoint, const struct fl_inet *source);
struct fl_conn *fl_conn_ref(struct fl_conn *conn);
void fl_conn_unref(struct fl_conn *conn);

/* Admits it: from now on it counts towards `[limits] connections`. Inbound, it counts for the peer with that id, or in
 * plaintext (NULL) for its source's network. Call once. NULL: admitted; otherwise a sentence that says why not. */
const char *fl_conn_admit(struct fl_conn *conn, const char *id);

/* Its mesh side is known now: id of the verified peer, or NULL for plaintext. From now on it is counted for that peer. Once
 * more when it has started over on another session. */
void fl_conn_secured(struct fl_conn *conn, const char *id);

/* Its service or upstream is known now. From now on it is counted for that section. Again when that was decided again, while
 * the share before is still there. */
void fl_conn_belongs(struct fl_conn *conn);

static inline bool fl_conn_is_captured(const struct fl_conn *conn)
{
	return conn->destination.family != 0;
}

/* Outbound, while it is dialled: a shorter connect_timeout of a new INI holds for it, too. True: dial_until_ms has changed. */
bool fl_conn_shorten_dial(struct fl_conn *conn);

/* Name of its section, for logs and metrics; NULL: a captured connection that belongs to no section. */
const char *fl_conn_name(const struct fl_conn *conn);

/* Describes it by these facts alone; fl_listed_done() frees the contents of ret. */
void fl_conn_describe(const struct fl_conn *conn, const char *state, struct fl_listed *ret);

/* The section that applies to it under that share, if it is open already (conn_section.c); NULL: none. */
const struct fl_conf_service *fl_conn_service_under(const struct fl_conn *conn,
						    const struct fl_share *share);
const struct fl_conf_upstream *fl_conn_upstream_under(const struct fl_conn *conn,
						      const struct fl_share *share);
/* Outbound and captured: may the destination be an address of a name that DNS has not answered yet? Then that section may differ
 * when it has. */
bool fl_conn_awaits_name(const struct fl_conn *conn, const struct fl_share *share);
/* Outbound and captured: the upstream that the destination belongs to as far as is known now (naming.h makes it certain). */
const struct fl_conf_upstream *fl_conn_captured_upstream(const struct fl_conn *conn);
/* Does one of its `peer` patterns name this identity? user: the upstream; for fl_tls_new(). */
bool fl_upstream_expects(const void *user, const char *id, size_t id_len);

/* Inbound: how its port is served, by its [service] or by [inbound]. */
const struct fl_conf_inbound *fl_conn_inbound(const struct fl_conn *conn);

/* Inbound: builds the request to policy, now or later, under this or another generation. id: of the verified peer,
 * borrowed; NULL: it speaks plaintext. source: storage that the request refers to. */
struct fl_request fl_conn_request(const struct fl_conn *conn, const char *id,
				  union fl_sockaddr *source);

/* Inbound: where the app is, and how it is dialled. to, from: storage that the result refers to. */
struct fl_dial fl_conn_app(const struct fl_conn *conn, union fl_sockaddr *to,
			   union fl_sockaddr *from);

/* Outbound in plaintext: the counter for it. */
struct fl_plaintext_counter *fl_conn_plaintext_counter(const struct fl_conn *conn);

/* "fairlead", "tls", "plaintext", "silence"; NULL: it was not examined. */
const char *fl_detected_word(enum fl_detected detected);

#endif
