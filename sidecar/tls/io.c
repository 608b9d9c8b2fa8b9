/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bytes of one call. Each call lends its struct fl_tls_io to the engine. wolfSSL's read
 * callback hands out of io->in and says "want read" when that is empty; its write callback appends
 * to io->out, whose room the contract guarantees, and never asks to be called again (a write that
 * wolfSSL repeats must be repeated with the same length, which is a trap); a peer that requests
 * more answers than fit in the reserve is dropped. wolfSSL reads the 5 bytes of a record's header
 * and then its body, so it consumes nothing after the current record; between records it holds no
 * buffer. */
#include "tls/io.h"

int fl_tls_recv(WOLFSSL *wolf, char *buf, int size, void *user)
{
	struct fl_tls_io *io = ((struct fl_tls *)user)->io;

	(void)wolf;
	FL_REQUIRE(io != NULL && size >= 0);
	if (io->in_len == 0) {
		return WOLFSSL_CBIO_ERR_WANT_READ;
	}
	size_t n = (size_t)size < io->in_len ? (size_t)size : io->in_len;
	memcpy(buf, io->in, n);
	io->in += n;
	io->in_len -= n;
	return (int)n;
}

int fl_tls_send(WOLFSSL *wolf, char *buf, int size, void *user)
{
	const struct fl_tls *tls = user;
	struct fl_tls_io *io = tls->io;

	(void)wolf;
	FL_REQUIRE(io != NULL && size >= 0);
	if (tls->muted) {
		return size;
	}
	/* Our own writes have reserved room. So the peer has caused this by requesting too many
	 * answers, for example with a flood of key updates. The connection fails. */
	if ((size_t)size > io->out_cap - io->out_len) {
		return WOLFSSL_CBIO_ERR_GENERAL;
	}
	memcpy(io->out + io->out_len, buf, (size_t)size);
	io->out_len += (size_t)size;
	return size;
}

void fl_tls_send_alert(struct fl_tls *tls, uint8_t alert)
{
	if (!tls->muted) {
		fl_wolf_send_alert(tls->wolf, alert);
		tls->muted = true;
	}
}
