/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_SIDE_H
#define FL_TEST_SIDE_H
/* side - one end of a socket that the test holds: an app, a plaintext peer, or a TLS peer with an engine of its own.
 *
 * Nothing blocks and nothing happens by itself: side_pump() sends what waits and reads what has come. For a TLS peer, the
 * bytes here are plaintext; records are sealed and opened inside. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tls/tls.h"

struct side {
	struct fl_tls *tls;                   /* owned; NULL: plaintext */
	const struct fl_tls_failure *failure; /* the engine's failure; NULL: it has not failed */
	size_t pace;  /* set by the test: maximum bytes per side_pump(); 0: all */
	size_t cut;   /* set by the test: bytes of the first side_pump() that sends; 0: all */
	uint8_t *got; /* received bytes, as plaintext; owned */
	size_t got_len, got_cap;
	uint8_t *out; /* bytes that are not sent yet; owned */
	size_t out_len, out_cap;
	size_t sent;       /* bytes so far */
	int fd;            /* -1: closed, or not there yet */
	int error;         /* errno of a read or write; 0: none so far */
	bool is_deaf;      /* set by the test: it reads nothing */
	bool is_up;        /* its handshake is over */
	bool has_finished; /* the other side has finished: close_notify with TLS, otherwise FIN */
	bool has_fin;      /* the other side's FIN has arrived */
	bool wants_fin;    /* when out is empty */
};

/* For an unconnected socket, or a listening one and all that it accepts: the kernel accepts few bytes at a time. */
void side_set_buffers(int fd);

/* Call first. */
void side_init(struct side *side);
/* Starts to connect. Fails the test if that is impossible. */
void side_connect(struct side *side, const struct sockaddr *to, socklen_t len);
/* Accepts from a listening socket, without waiting. False: no connection waits. */
bool side_accept(struct side *side, int listener);
/* From here on it speaks TLS, with the engine in tls. A client sends its ClientHello. */
void side_speak_tls(struct side *side, enum fl_tls_role role);
void side_close(
	struct side *side); /* an orderly close of the descriptor, if there is one; frees all */
void side_reset(struct side *side); /* RST, and then the same */

/* A server that does not ask its clients for certificates. Before the first byte. */
void side_ask_nobody(struct side *side);
/* Updates its keys and requests that the other side updates its own. */
void side_update_keys(struct side *side);

/* Sends as much as pace and the kernel allow, and reads unless it is deaf. */
void side_pump(struct side *side);
void side_pump_in(struct side *side); /* only reads: answers wait in out */

void side_send(struct side *side, const void *data,
	       size_t len);                         /* appended; side_pump() sends it */
void side_say(struct side *side, const char *text); /* appended; side_pump() sends it */
/* Sends raw bytes, bypassing the engine. */
void side_send_raw(struct side *side, const void *data, size_t len);
/* Ends its direction: close_notify and FIN, or FIN. */
void side_finish(struct side *side);
/* FIN without close_notify: a TLS stream that is cut short. */
void side_cut_short(struct side *side);
/* A fatal alert of that number. */
void side_alert(struct side *side, uint8_t alert);

/* A number that is an option of the socket at the other end, which is in this process, and IPv4. */
int side_far_option(const struct side *side, int level, int option);

/* Has it received exactly this so far? */
bool side_has(const struct side *side, const char *text);
/* Has it received a beginning of this? */
bool side_has_only(const struct side *side, const char *text);
/* Was its connection reset? */
bool side_was_reset(const struct side *side);

#endif
