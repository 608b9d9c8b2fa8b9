/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SERVE_INTERNAL_H
#define FL_AGENT_RUN_SERVE_INTERNAL_H
/* serve_internal - the state of serve.c and its channels. Private to serve*.c. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "agent/run/agent_socket.h"
#include "agent/run/keyring.h"
#include "agent/run/refusal_log.h"
#include "agent/run/serve.h"
#include "agent/run/sign_turns.h"
#include "ctl/message.h"

struct fl_channel {
	struct fl_serve *serve;
	struct fl_sock *sock;
	struct fl_ctl_decoder *decoder;
	struct fl_sign_asker asker;
	uint64_t id;       /* for the log */
	uint64_t deadline; /* uv_now() in ms; 0 = none */
	uint64_t whole_by; /* likewise, for a message of which a part has come */
	uint64_t again_at; /* likewise, when the generation that it refused is offered again */
	bool is_parted;    /* it is closed, and keeps its place until what it was sent is read */
	bool signs;        /* a worker's: it asks for signatures, and sends no HELLO */
	bool greeted;      /* its HELLO has arrived: the fields below are valid */
	bool wants_beats;
	bool asks_signatures;
	bool holds_key; /* has_key is held in the keyring, which may lack it */
	uint8_t has_key[FL_DIGEST_LEN], pushed_key[FL_DIGEST_LEN];
	uint64_t has; /* generation that the sidecar uses, 0 = none */
	uint8_t has_digest[FL_DIGEST_LEN];
	uint64_t pushed;            /* generation sent last, 0 = none */
	bool is_pending;            /* that one has not been answered yet */
	bool is_unsent;             /* likewise, and the kernel has not taken all of it */
	bool owes_offer, owes_note; /* what else is to be said, when the sidecar has read more */
	bool has_refused; /* its last answer to that one; if it is pending, it was offered again */
	uint8_t pushed_digest[FL_DIGEST_LEN];
};

struct fl_serve {
	struct fl_net *net;
	struct fl_log *log;
	struct fl_agent_socket *agent_socket;
	struct fl_keyring *keyring;
	struct fl_sign_turns turns;
	uv_timer_t timer; /* fires at the earliest deadline */
	uv_timer_t beat;  /* runs while a sidecar is connected that wants beats */
	struct fl_refusal_log refusals;
	unsigned open_handles;
	uid_t sidecar_uid;
	struct fl_channel *channels[FL_SERVE_PLACES]; /* oldest first */
	size_t channel_count, parted_count;           /* of all, and of those that are parted */
	uint64_t channel_ids;
	uint8_t *frame; /* owned, wiped; NULL until there is a generation */
	size_t frame_len;
	uint64_t number;
	uint8_t digest[FL_DIGEST_LEN];
	char *note; /* owned; why the present candidate is refused; NULL if it is not */
	int64_t note_time;
};

/* Closes it, and arms the timer for the others. It is freed, unless the kernel has bytes that the sidecar has not read: then it keeps
 * its place, or who has connections closed again and again would fill the memory of this process's container. */
void fl_channel_close(struct fl_channel *channel);
/* Frees it, whatever is unread. */
void fl_channel_free(struct fl_channel *channel);
/* Makes room for one channel, if there is none: closes the oldest that has said nothing; if there is none, the oldest. False: too many are
 * parted, and not read. */
bool fl_channels_make_room(struct fl_serve *serve);
/* The same for one that broke the protocol or missed a deadline, with one log line that says how. */
void fl_channel_fail(struct fl_channel *channel, const char *reason);
/* 0: none. */
void fl_channel_set_deadline(struct fl_channel *channel, uint64_t in_ms);
/* Bytes were read: if they end within a message, the rest has to come within FL_SERVE_WHOLE_MS. */
void fl_channel_expect_rest(struct fl_channel *channel);
/* Sends the generation where it is needed; later, if the sidecar has not read what it was sent. False: the channel is gone. */
bool fl_channel_offer(struct fl_channel *channel);
/* Does so once more in FL_SERVE_AGAIN_MS. */
void fl_channel_offer_again(struct fl_channel *channel);
/* Holds that key in place of the one that it holds; name: NULL, or all zeros: none. */
void fl_channel_hold_key(struct fl_channel *channel, const uint8_t *name);
/* Fails those whose deadline has come, and offers again what is due. */
void fl_channels_on_timer(uv_timer_t *timer);

#endif
