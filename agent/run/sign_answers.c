/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/sign_answers.h"

#define ANSWER_MAX (FL_CTL_MAX_SIGNATURE + 16u) /* with what is around a signature */

static bool has_more(struct fl_ctl_items requests)
{
	struct fl_ctl_sign_request next;

	return fl_ctl_next_request(&requests, &next);
}

int fl_sign_answers_send(struct fl_keyring *keyring, struct fl_sign_share *share,
			 struct fl_ctl_items *requests, uint64_t until, struct fl_sock *sock,
			 bool *ret_more)
{
	uint8_t frame[FL_SIGN_ANSWERS_MAX], signature[FL_SIGNATURE_MAX];
	struct fl_ctl_batch batch = {.frame = frame, .cap = sizeof(frame)};
	struct fl_ctl_sign_request request;
	struct fl_ctl_sign_answer answer;

	fl_ctl_batch_begin(&batch, FL_CTL_SIGNED);
	while (batch.cap - batch.len >= ANSWER_MAX && fl_ctl_next_request(requests, &request)) {
		fl_keyring_sign(keyring, &request, share, signature, &answer);
		FL_REQUIRE(fl_ctl_batch_add_answer(&batch, &answer));
		if (uv_hrtime() >= until) {
			break;
		}
	}
	*ret_more = has_more(*requests);
	return fl_sock_write(sock, frame, batch.len);
}
