/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CTL_MESSAGE_H
#define FL_CTL_MESSAGE_H
/* message - the messages between agent and sidecar over the agent's Unix socket. Bytes in,
 * bytes out; no I/O. Thread: any, one at a time.
 *
 * The sidecar connects and sends HELLO (protocol version, the generation that it has). The agent
 * answers with a GENERATION unless the sidecar has the same content already (equal digest), and
 * sends another whenever it has validated one. The sidecar answers each with RESULT; what it refuses comes again after a while, and
 * if the agent goes back to the content that is in use, that comes again. With `[tls] key = agent` a generation has
 * no private key, and is sent only to a sidecar whose HELLO says that it asks for signatures. Each of its workers has a
 * connection of its own, which begins with SIGN: many requests in one message, or none, which asks whether the agent is
 * there. The agent answers each SIGN with SIGNED messages that have, together, one answer for each request, in its order. To a sidecar that wants it the agent
 * sends BEAT every FL_CTL_BEAT_MS: it is alive. Frame: magic
 * "FLC1", type (u16), reserved (u16, zero), payload length (u32), all big endian; payload:
 * fields (tag u16, length u32, bytes). Unknown fields are skipped, and so are messages of unknown types from FL_CTL_OPTIONAL on, by the
 * agent only behind a HELLO: nobody else sends any, and they would take its time from those who wait for signatures. Anything else
 * unexpected ends the channel, and the sidecar reconnects with back-off. Each type is sent by one side only, and has a bound of its
 * own: both are checked before memory is allocated for a payload. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define FL_CTL_VERSION 1u
/* Payload bytes: of a GENERATION; of the agent's other messages; of a SIGN; of the sidecar's other messages; of those that are
 * unknown and skipped, which take no memory. */
#define FL_CTL_MAX_FRAME 8388608u
#define FL_CTL_MAX_SMALL 65536u
#define FL_CTL_MAX_SIGN 16384u
#define FL_CTL_MAX_WORD 4096u
#define FL_CTL_MAX_SKIPPED 65536u
#define FL_CTL_MAX_NOTE 1024u   /* bytes of a note's sentence */
#define FL_CTL_MAX_REASON 2048u /* of a RESULT's */
#define FL_CTL_MAX_FOREIGN 256u
#define FL_CTL_HEADER 12u

#define FL_CTL_OPTIONAL 0x100u
enum fl_ctl_type {
	FL_CTL_HELLO = 1,
	FL_CTL_GENERATION = 2,
	FL_CTL_RESULT = 3,
	FL_CTL_SIGN = 4,
	FL_CTL_SIGNED = 5,
	FL_CTL_NOTE = FL_CTL_OPTIONAL,
	FL_CTL_BEAT = FL_CTL_OPTIONAL + 2,
};

struct fl_ctl_hello {
	uint32_t version;     /* FL_CTL_VERSION */
	uint64_t generation;  /* number that the sidecar serves, 0 = none */
	uint8_t digest[32];   /* its content, zeros for none */
	bool wants_beats;     /* an older release does not know BEAT */
	bool asks_signatures; /* it does without the private key; an older release does not */
	uint8_t key
		[32]; /* asks_signatures: the name of the key that it uses (pki/key.h), zeros for none */
};

struct fl_ctl_foreign {
	struct fl_span trust_domain;
	struct fl_span bundle;  /* PEM; empty if it is refused */
	struct fl_span refused; /* why the agent refuses it, at most FL_CTL_MAX_NOTE bytes; empty:
				 * it does not */
};

/* A whole generation as the agent validated it. Spans point into the decoder's buffer, and are valid until the next
 * feed: copy what is kept. It may contain the key: the decoder wipes its buffer. */
struct fl_ctl_generation {
	uint64_t number;
	uint8_t digest[32];
	struct fl_span
		credential;    /* PEM: key first, then the chain; [tls] key = agent: the chain */
	struct fl_span bundle; /* PEM, own trust domain; may be empty */
	struct fl_span crl;    /* PEM; empty: there is none */
	struct fl_ctl_foreign *foreign; /* array, owned by the message */
	size_t foreign_count;           /* at most FL_CTL_MAX_FOREIGN */
	struct fl_span ini_path;        /* for messages */
	struct fl_span ini;             /* text: policy, peers, limits */
};

struct fl_ctl_result {
	uint64_t number;
	int ok; /* 1: in use; 0: refused */
	struct fl_span
		reason; /* one sentence when refused, at most FL_CTL_MAX_REASON bytes to encode */
};

/* From the agent: the result for the files that are mounted now. */
struct fl_ctl_note {
	bool refused; /* false: the mounted files are no longer refused */
	int64_t time; /* when it was refused, seconds since the epoch */
	struct fl_span
		text; /* why, one sentence of at most FL_CTL_MAX_NOTE bytes; empty unless refused */
};

/* From the agent, periodically, to a sidecar that wants it: it is alive. An agent that never sends it is of an older release. */
struct fl_ctl_beat {
	uint32_t every_ms; /* time until the next one */
};
#define FL_CTL_BEAT_MS 2000u

/* What a CertificateVerify of TLS 1.3 has to be signed for, and nothing else: the agent builds the content. */
#define FL_CTL_MAX_HASH 64u
struct fl_ctl_sign_request {
	uint32_t number; /* the sidecar's, for the answer */
	uint8_t key[32]; /* the name of the key (pki/key.h) */
	uint8_t role;    /* enum fl_sign_role (pki/signer.h), as all below: the agent judges them */
	uint16_t scheme;
	struct fl_span hash; /* of the transcript, at most FL_CTL_MAX_HASH bytes */
};
#define FL_CTL_MAX_SIGNATURE 512u
struct fl_ctl_sign_answer {
	uint32_t number;
	uint8_t result;           /* enum fl_sign_result */
	struct fl_span signature; /* empty unless SIGNED; at most FL_CTL_MAX_SIGNATURE bytes */
};
/* Of a SIGN or SIGNED, to be walked over with fl_ctl_next_request() or fl_ctl_next_answer(): read and checked. */
struct fl_ctl_items {
	struct fl_span rest;
};

struct fl_ctl_message {
	enum fl_ctl_type type;
	union {
		struct fl_ctl_hello hello;
		struct fl_ctl_generation generation;
		struct fl_ctl_result result;
		struct fl_ctl_note note;
		struct fl_ctl_beat beat;
		struct fl_ctl_items requests; /* SIGN */
		struct fl_ctl_items answers;  /* SIGNED */
	} u;
};

/* Takes the next item of a message; false: there is none. Spans point into the message. */
bool fl_ctl_next_request(struct fl_ctl_items *items, struct fl_ctl_sign_request *ret);
bool fl_ctl_next_answer(struct fl_ctl_items *items, struct fl_ctl_sign_answer *ret);

/* Fresh memory with a whole frame; NULL: there is none. Length in ret_len. Wipe generation frames with
 * fl_wipe_free(). */
uint8_t *fl_ctl_encode_hello(const struct fl_ctl_hello *hello, size_t *ret_len);
uint8_t *fl_ctl_encode_generation(const struct fl_ctl_generation *generation, size_t *ret_len);
/* Would its frame be larger than a decoder accepts? Call it before encoding: the encoder requires it. */
int fl_ctl_generation_check(const struct fl_ctl_generation *generation,
			    struct fl_err *err) FL_MUST_USE;
/* Changes the number of an encoded generation in place. */
void fl_ctl_generation_renumber(uint8_t *frame, size_t len, uint64_t number);
uint8_t *fl_ctl_encode_result(const struct fl_ctl_result *result, size_t *ret_len);
uint8_t *fl_ctl_encode_note(const struct fl_ctl_note *note,
			    size_t *ret_len); /* cuts a longer text */
uint8_t *fl_ctl_encode_beat(const struct fl_ctl_beat *beat, size_t *ret_len);

/* A SIGN or SIGNED that grows in memory of the caller, cap bytes, at least FL_CTL_BATCH_MIN; it is a whole frame at any time, and
 * full when it has as much as a decoder takes. */
#define FL_CTL_BATCH_MIN 1024u
struct fl_ctl_batch {
	uint8_t *frame;
	size_t len, cap;
};
void fl_ctl_batch_begin(struct fl_ctl_batch *batch, enum fl_ctl_type type);
/* False: it is full, and unchanged. */
bool fl_ctl_batch_add_request(struct fl_ctl_batch *batch,
			      const struct fl_ctl_sign_request *request);
bool fl_ctl_batch_add_answer(struct fl_ctl_batch *batch, const struct fl_ctl_sign_answer *answer);

/* Who sends the messages that a decoder reads. */
enum fl_ctl_sender { FL_CTL_FROM_AGENT, FL_CTL_FROM_SIDECAR };

struct fl_ctl_decoder; /* collects one frame at a time */
struct fl_ctl_decoder *fl_ctl_decoder_new(enum fl_ctl_sender sender); /* NULL: no memory */
void fl_ctl_decoder_free(struct fl_ctl_decoder *decoder);             /* wipes */
/* From now on messages of optional types that it does not know are skipped; before, only those that an agent sends are. */
void fl_ctl_decoder_skip_unknown(struct fl_ctl_decoder *decoder);

/* Consumes bytes of *data (advances data and len). Returns 1 if *message is a whole one
 * (valid until the next call), 0 if it needs more bytes (all of data is consumed), or
 * FL_ERR_PEER or FL_ERR_NOMEM: close the channel; the decoder can then only be freed. Call it until it
 * returns 0. */
int fl_ctl_decoder_feed(struct fl_ctl_decoder *decoder, const uint8_t **data, size_t *len,
			struct fl_ctl_message *ret, struct fl_err *err) FL_MUST_USE;
/* Has a frame begun that is not whole yet? */
bool fl_ctl_decoder_is_partial(const struct fl_ctl_decoder *decoder);

#endif
