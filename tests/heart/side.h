/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_SIDE_H
#define FL_TEST_SIDE_H
/* side - one end of a socket that the test holds: an app, a plaintext peer, or a TLS peer with an engine of its own.
 *
 * Nothing blocks and nothing happens by itself: side_pump() sends what waits and reads what has come. Of a TLS peer, what it
 * sends and gets is plaintext; records are made and opened inside. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tls/tls.h"

struct side {
	struct fl_tls *tls;                   /* owned; NULL: plaintext */
	const struct fl_tls_failure *failure; /* of the engine; NULL: it has not failed */
	size_t pace; /* the test's to set: how many bytes one side_pump() sends at most; 0: all */
	size_t cut;  /* likewise: the first side_pump() that sends anything sends so many; 0: all */
	uint8_t *got; /* what has come, as plaintext; owned */
	size_t got_len, got_cap;
	uint8_t *out; /* bytes that are not sent yet; owned */
	size_t out_len, out_cap;
	size_t sent;       /* bytes so far */
	int fd;            /* -1: closed, or not there yet */
	int error;         /* errno of a read or write; 0: none so far */
	bool is_deaf;      /* the test's to set: it reads nothing */
	bool is_up;        /* its handshake is over */
	bool has_finished; /* the other side has: close_notify where it is TLS, else its FIN */
	bool has_fin;      /* its FIN has come */
	bool wants_fin;    /* when out is empty */
};

/* For a socket that is not connected, and for all that a listening one accepts: the kernel takes little at a time. */
void side_set_buffers(int fd);

/* Before anything else. */
void side_init(struct side *side);
/* Starts to connect. Fails the test if that cannot be. */
void side_connect(struct side *side, const struct sockaddr *to, socklen_t len);
/* Of a listening socket, without waiting. False: nobody is there. */
bool side_accept(struct side *side, int listener);
/* From here on it speaks TLS, by the engine in tls. A client says hello. */
void side_speak_tls(struct side *side, enum fl_tls_role role);
void side_close(
	struct side *side); /* an orderly close of the descriptor, if there is one; frees all */
void side_reset(struct side *side); /* RST, and then the same */

/* A server that does not ask its clients for certificates. Before the first byte. */
void side_ask_nobody(struct side *side);
/* New keys, which the other side has to answer with new keys of its own. */
void side_update_keys(struct side *side);

/* Sends, as far as pace and the kernel allow, and reads, unless it is deaf. */
void side_pump(struct side *side);
void side_pump_in(struct side *side); /* reads only: what it answers waits in out */

void side_send(struct side *side, const void *data,
	       size_t len);                         /* appended; side_pump() sends it */
void side_say(struct side *side, const char *text); /* likewise */
/* Bytes as they are, past the engine. */
void side_send_raw(struct side *side, const void *data, size_t len);
/* It has nothing more to say: close_notify and FIN, or FIN. */
void side_finish(struct side *side);
/* FIN without close_notify: a TLS stream that is cut short. */
void side_cut_short(struct side *side);
/* A fatal alert of that number. */
void side_alert(struct side *side, uint8_t alert);

/* Has it got just this so far? */
bool side_has(const struct side *side, const char *text);
/* Or the beginning of it? */
bool side_has_only(const struct side *side, const char *text);
/* Was its connection reset? */
bool side_was_reset(const struct side *side);

#endif
