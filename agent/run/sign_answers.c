/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/sign_answers.h"

#define FRAME_MAX (16u * 1024)

int fl_sign_answers_send(struct fl_keyring *keyring, struct fl_ctl_items requests,
			 struct fl_sock *sock)
{
	uint8_t frame[FRAME_MAX], signature[FL_SIGNATURE_MAX];
	struct fl_ctl_batch batch = {.frame = frame, .cap = sizeof(frame)};
	struct fl_ctl_sign_request request;
	struct fl_ctl_sign_answer answer;

	fl_ctl_batch_begin(&batch, FL_CTL_SIGNED);
	while (fl_ctl_next_request(&requests, &request)) {
		fl_keyring_sign(keyring, &request, signature, &answer);
		if (fl_ctl_batch_add_answer(&batch, &answer)) {
			continue;
		}
		int rc = fl_sock_write(sock, frame, batch.len);

		if (rc < 0) {
			return rc;
		}
		fl_ctl_batch_begin(&batch, FL_CTL_SIGNED);
		FL_REQUIRE(fl_ctl_batch_add_answer(&batch, &answer));
	}
	return fl_sock_write(sock, frame, batch.len);
}
