/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_WOLF_H
#define FL_TLS_WOLF_H
/* wolf - access to members of wolfSSL that its public API does not offer; private to sidecar/tls.
 *
 * wolf.c is the one file that includes wolfssl/internal.h (tests/lint). It was written for wolfSSL
 * 5.9.2: another version does not compile, and fl_wolf_check() refuses a library whose structures
 * are laid out differently. Before moving to another version, compare each function of wolf.c with
 * the new internal.h, and then change the version there.
 *
 * Nothing here allocates unless it says so, and nothing keeps a pointer. Thread: that of the context or connection.
 *
 * Private functions of two kinds are replaced, not called: the linker turns wolfSSL's calls of ProcessPeerCerts(), which
 * would read a peer's Certificate message, into calls of fl_tls_read_certificates() in verify.c, and those of the functions
 * that decode our private key and sign with it into calls of sign.c (--wrap, see meson.build). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/random.h>

#include "base/err.h"
#include "pki/key.h"
#include "pki/pem.h"

/* The symbol that wolfSSL's calls of ProcessPeerCerts() go to. Parameters: the connection, the record's bytes, where the
 * message is in them (moved behind it), its length. Returns 0 or an error of wolfSSL. */
#define FL_WOLF_PROCESS_PEER_CERTS "__wrap_ProcessPeerCerts"
/* The symbols that wolfSSL's calls of its signing functions go to, and those of wolfSSL's own. */
#define FL_WOLF_WRAPPED(name) "__wrap_" name
#define FL_WOLF_ORIGINAL(name) "__real_" name

/* Is the library that was linked the one that wolf.c was compiled for? Sets values by the public API and looks for them in the
 * structures. Once a process, after wolfSSL_Init(). Errors: FL_ERR_BUG, FL_ERR_NOMEM. */
int fl_wolf_check(struct fl_err *err) FL_MUST_USE;

/* --- a context ----------------------------------------------------------------------------------- */

/* Sets our certificates, leaf first, which are sent unchanged. (The public functions would parse
 * them, and refuse some that are legal.) chain: copied. kind: of the leaf's key, which the public
 * functions would have set. Errors: FL_ERR_NOMEM. */
int fl_wolf_set_chain(WOLFSSL_CTX *ctx, const struct fl_der_list *chain,
		      enum fl_key_kind kind) FL_MUST_USE;
/* Bytes that those certificates take in a Certificate message. */
size_t fl_wolf_chain_size(const struct fl_der_list *chain);
/* Connections that are made from now on draw from this generator, and have none of their own. It is borrowed: it has to outlive
 * them, and is used by the context's thread alone. wolfSSL has a place for one only in builds without threads, so it stands in
 * that of the user pointer for ticket callbacks (mend.py), which ours does not need. */
void fl_wolf_set_random(WOLFSSL_CTX *ctx, WC_RNG *random);
/* Finds the context's copy of our private key, to keep it out of swap and core dumps. */
void fl_wolf_private_key(const WOLFSSL_CTX *ctx, void **ret, size_t *ret_len);
/* The private key is elsewhere: sets what wolfSSL has to know of it to choose a signature algorithm, and one byte in its
 * place, because wolfSSL takes a side without a key for one without a certificate. Errors: FL_ERR_NOMEM. */
int fl_wolf_set_absent_key(WOLFSSL_CTX *ctx, const struct fl_public_key *key) FL_MUST_USE;

/* --- a connection before its handshake ------------------------------------------------------------ */

/* A client sends no session ID and no ChangeCipherSpec (RFC 8446 appendix D.4). */
void fl_wolf_drop_middlebox_compat(WOLFSSL *wolf);
/* A client forgets the application protocols that it was told to offer. */
void fl_wolf_forget_alpn(WOLFSSL *wolf);
/* The group of the session that a client is to resume, a number of RFC 8446 section 4.2.7. */
uint16_t fl_wolf_session_group(const WOLFSSL *wolf);
/* Does the client offer the cipher that the session has? Resuming with another one is an error. */
bool fl_wolf_has_cipher_of(const WOLFSSL *wolf, const WOLFSSL_SESSION *session);
/* Of a saved session: its group, and when its ticket runs out, seconds since the epoch. */
uint16_t fl_wolf_group_of(const WOLFSSL_SESSION *session);
int64_t fl_wolf_session_end(const WOLFSSL_SESSION *session);

/* --- in its handshake ------------------------------------------------------------------------------ */

/* Does the handshake resume a session? Known from the ServerHello on. */
bool fl_wolf_resumes(const WOLFSSL *wolf);
/* Has the server sent a CertificateRequest? */
bool fl_wolf_was_asked_for_certificate(const WOLFSSL *wolf);
/* The last message of the peer that was begun, by its name in RFC 8446. */
const char *fl_wolf_message_under_way(const WOLFSSL *wolf);
/* May the client's tickets be used with a key exchange of their own (psk_dhe_ke)? */
bool fl_wolf_offers_key_exchange(const WOLFSSL *wolf);
/* Is the group one of those that this side accepts? */
bool fl_wolf_has_group(const WOLFSSL *wolf, uint16_t group);
/* Sets the public key of the peer's certificate, which will check CertificateVerify. Returns 0 or
 * an error of wolfSSL, for example for a second key. Allocates. */
int fl_wolf_give_peer_key(WOLFSSL *wolf, const struct fl_public_key *key) FL_MUST_USE;
/* Sets the public key of our own certificate in place of the private one that DecodePrivateKey() would set; wolfSSL checks
 * our signature with it before it goes out. ret_len: bytes that a signature may have. Returns 0 or an error of wolfSSL.
 * Allocates; wolfSSL frees it with the message. */
int fl_wolf_give_own_key(WOLFSSL *wolf, const struct fl_public_key *key,
			 word32 *ret_len) FL_MUST_USE;
/* Our CertificateVerify that is due: its SignatureScheme (RFC 8446 section 4.2.3), and the hash of the transcript before it,
 * whose length it returns; 0: there is none. */
uint16_t fl_wolf_signature_scheme(const WOLFSSL *wolf, enum fl_key_kind kind);
#define FL_WOLF_HASH_MAX 48u
size_t fl_wolf_transcript_hash(WOLFSSL *wolf, uint8_t ret[FL_WOLF_HASH_MAX]);
/* Sets the state that ProcessPeerCerts() would set: that there was a certificate, or the error. */
void fl_wolf_note_certificates(WOLFSSL *wolf, int error);
/* Sends a fatal alert. May fail for lack of memory; the peer then sees the connection end. */
void fl_wolf_send_alert(WOLFSSL *wolf, uint8_t alert);
/* Random bytes of the connection's generator. 0 or an error of wolfSSL. */
int fl_wolf_random(WOLFSSL *wolf, uint8_t *buf, size_t len) FL_MUST_USE;

/* --- tickets ---------------------------------------------------------------------------------------- */

/* Bytes that wolfSSL puts into a ticket, and how many of ours may follow. */
#define FL_WOLF_TICKET_ROOM 34u
size_t fl_wolf_ticket_size(void);
/* What the first fl_wolf_ticket_size() bytes of a ticket say: the group, and when it was made (ms since the epoch). */
struct fl_wolf_ticket {
	uint16_t group;
	uint64_t made_ms;
};
void fl_wolf_read_ticket(const uint8_t *ticket, struct fl_wolf_ticket *ret);
/* How often the session of a server was resumed, as wolfSSL counts it in one byte. */
uint8_t fl_wolf_resumptions(const WOLFSSL *wolf);
/* Bytes of the ticket that a client has read last; 0: none. */
size_t fl_wolf_received_ticket_size(const WOLFSSL *wolf);
/* Frees the tickets of the hello, which wolfSSL would keep until the connection ends. */
void fl_wolf_drop_offered_tickets(WOLFSSL *wolf);

#endif
