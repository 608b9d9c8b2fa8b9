/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_PARKING_H
#define FL_CONN_PARKING_H
/* parking - framed sessions between two uses (session_internal.h): parked ones of clients (pool.h), and those of servers, which wait
 * for OPEN.
 *
 * Server: a session waits for a minute at most, and then, retired, for five seconds at most until its client closes. The number
 * of both together is bounded, of all and of each peer (quota.h); when it is reached, one ends without waiting for its client:
 * the one that was retired first, or else the one that has waited longest. An idle session has a descriptor and no slot, and is not one of
 * [limits] connections.
 *
 * When our certificate, bundles or CRLs change, idle sessions go within a second, one after another, and busy ones after
 * their use. A new policy alone keeps them: each use is judged anyway. Loop-bound. */
#include "conn/conn.h"
#include "conn/mesh.h"

/* Client role: a parked session to where the connection goes, whose peer would be accepted now. The caller is its user, and
 * has to begin at once: on_ready does not run. NULL: there is none, or the INI wants none. Call it once for each connection,
 * also if it will not use the result: it tells how many sessions are needed. */
struct fl_mesh *fl_parking_take(struct fl_conn *conn, const struct fl_mesh_events *events,
				void *user);

/* A share of other credentials or settings has come into force (fl_generation_may_reuse()). */
void fl_parking_flush(struct fl_loop *loop);
/* The worker drains: idle sessions end, and none will be idle again. */
void fl_parking_drain(struct fl_loop *loop);

#endif
