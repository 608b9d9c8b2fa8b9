/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_TLS_RESUME_MESH_H
#define FL_TESTS_TLS_RESUME_MESH_H
/* resume_mesh - a client and a server that resume their sessions. Header only: each test is a program of its own. */
#include "pair.h"

#include <wolfssl/internal.h>

#include "tls/ticket.h"
#include "tls/verify.h"

static const char *const client_id = "spiffe://prod.example/ns/test/sa/p256",
			 *const server_id = "spiffe://prod.example/ns/test/sa/other-names";

static inline struct fl_tls_ticket_keys *fresh_keys(const struct fl_tls_ticket_keys *previous)
{
	struct fl_tls_ticket_keys *keys = NULL;
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_ticket_keys_new(previous, &keys, &err), 0, "%s", err.text);
	return keys;
}

/* One table for all contexts, as in a process; epoch 0: each look is a fresh one. */
static struct fl_tls_peers *all_peers;

static inline struct fl_tls_options options_with(struct fl_tls_ticket_keys *keys)
{
	struct fl_tls_options options = default_options;
	options.ticket_keys = keys;
	options.peers = all_peers;
	return options;
}

/* A pair whose sides have tickets; client and server are to be given to mesh_again(). */
struct mesh {
	struct pair pair;
	struct fl_tls_options options;
	struct side_spec client, server;
	struct fl_tls_saved *saved;
};

static inline void mesh_open(struct mesh *mesh, struct fl_tls_ticket_keys *keys)
{
	if (all_peers == NULL) {
		cr_assert_eq(fl_tls_peers_new(&all_peers, NULL), 0);
	}
	mesh->options = options_with(keys);
	mesh->client.options = mesh->server.options = &mesh->options;
	mesh->server.own = mesh->server.own != NULL ? mesh->server.own : "other-names";
	pair_open(&mesh->pair, &mesh->client, &mesh->server);
}

static inline void mesh_close(struct mesh *mesh)
{
	fl_tls_saved_free(mesh->saved);
	fl_tls_ticket_keys_unref(mesh->options.ticket_keys);
	pair_close(&mesh->pair);
	fl_tls_peers_unref(all_peers);
	all_peers = NULL;
}

/* A handshake; the client replaces its saved session with the new one. A resumed handshake need not yield one. */
static inline void mesh_handshake(struct mesh *mesh)
{
	pair_handshake(&mesh->pair);
	ASSERT_UP(&mesh->pair);
	struct fl_tls_saved *saved = fl_tls_save(mesh->pair.client.tls);
	if (saved != NULL || !fl_tls_resumed(mesh->pair.client.tls)) {
		fl_tls_saved_free(mesh->saved);
		mesh->saved = saved;
	}
}

static inline int64_t in_eleven_minutes(void)
{
	return (int64_t)time(NULL) + 11 * 60;
}

/* New engines; the client offers what it has saved. */
static inline bool mesh_again(struct mesh *mesh)
{
	pair_again(&mesh->pair, &mesh->client, &mesh->server);
	return fl_tls_resume(mesh->pair.client.tls, mesh->saved);
}

/* Other credentials and keys for a side, as after a rotation. */
static inline void mesh_rotate(struct mesh *mesh, enum fl_tls_role role,
			       struct fl_tls_ticket_keys *keys)
{
	struct side *side = role == FL_TLS_CLIENT ? &mesh->pair.client : &mesh->pair.server;
	struct side_spec spec = role == FL_TLS_CLIENT ? mesh->client : mesh->server;
	struct fl_tls_options options = options_with(keys);
	spec.options = &options;
	side_close(side);
	side_open(side, role, &spec);
	fl_tls_ticket_keys_unref(keys);
}

static inline void expect_outcome(struct mesh *mesh, bool resumed)
{
	struct pair *pair = &mesh->pair;
	ASSERT_UP(pair);
	cr_assert_eq(fl_tls_resumed(pair->client.tls), resumed);
	cr_assert_eq(fl_tls_resumed(pair->server.tls), resumed);
	cr_assert_str_eq(fl_tls_peer_id(pair->client.tls), server_id);
	cr_assert_str_eq(fl_tls_peer_id(pair->server.tls), client_id);
	cr_assert_null(pair->client.tls->claim);
	cr_assert_null(pair->server.tls->claim);
	/* Bytes flow. */
	side_write(&pair->client, (const uint8_t *)"ping", 4);
	side_write(&pair->server, (const uint8_t *)"pong!", 5);
	pair_settle(pair, 0);
	cr_assert_eq(pair->server.got_len, 4);
	cr_assert_eq(pair->client.got_len, 5);
}

/* The handshake that was prepared is a full one and good. */
static inline void expect_full(struct mesh *mesh)
{
	pair_handshake(&mesh->pair);
	expect_outcome(mesh, false);
	mesh_close(mesh);
}

static inline int64_t far_future(void)
{
	return INT64_C(1) << 40;
}

static inline int64_t next_hour(void)
{
	return (int64_t)time(NULL) + 3600;
}

static inline void mesh_saved(struct mesh *mesh)
{
	mesh_open(mesh, fresh_keys(NULL));
	mesh_handshake(mesh);
	cr_assert_not_null(mesh->saved);
}

#endif
