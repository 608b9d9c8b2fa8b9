/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/proxy_header.h"

/* Captured: the client's original destination. Otherwise the client dialled our own address. */
static struct fl_inet destination_of(const struct fl_mesh *mesh)
{
	return fl_conn_is_captured(mesh->conn) ? mesh->conn->destination
					       : mesh->ops->local_inet(mesh);
}

/* NULL if there is none; sa: storage that the result refers to. */
static const struct sockaddr *sockaddr_of(const struct fl_inet *inet, union fl_sockaddr *sa)
{
	if (inet->family == 0) {
		return NULL;
	}
	*sa = fl_inet_sockaddr(inet);
	return &sa->any;
}

size_t fl_proxy_header(const struct fl_mesh *mesh, uint8_t out[FL_PROXY_V2_MAX])
{
	const struct fl_conn *conn = mesh->conn;
	struct fl_inet destination;
	struct fl_proxy_v2_peer peer;
	union fl_sockaddr from, to;
	bool has_peer;

	if (!fl_conn_inbound(conn)->proxy_protocol) {
		return 0;
	}
	destination = destination_of(mesh);
	has_peer = mesh->ops->introduce(mesh, &peer);
	return fl_proxy_v2_encode(sockaddr_of(&conn->source, &from), sockaddr_of(&destination, &to),
				  has_peer ? &peer : NULL, out);
}
