/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages of types that a later release of the agent's protocol may add: who skips them, and from whom. */
#include "frames.h"

/* Types that a later release may add and an older end may ignore. */
Test(message_optional, optional_types_are_skipped)
{
	struct frame later[] = {raw_frame(FL_CTL_OPTIONAL + 1, 0, "anything at all", 15),
				raw_frame(UINT16_MAX, 0, NULL, 0),
				raw_frame(FL_CTL_OPTIONAL + 1, 0, NULL, FL_CTL_MAX_SKIPPED),
				hello_frame()};
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_HELLO);
	struct fl_ctl_message m;
	struct fl_err err;
	size_t len = 0;
	uint8_t *all;

	fl_ctl_decoder_skip_unknown(decoder);
	for (size_t i = 0; i < FL_COUNT_OF(later); i++) {
		len += later[i].len;
	}
	all = fl_new(len);
	len = 0;
	for (size_t i = 0; i < FL_COUNT_OF(later); i++) {
		memcpy(all + len, later[i].data, later[i].len);
		len += later[i].len;
		free(later[i].data);
	}
	cr_assert_eq(decode(decoder, (struct frame){all, len}, &m, NULL), 1);
	cr_assert_eq(m.type, FL_CTL_HELLO);
	for (size_t i = 0; i < len; i++) {
		int rc = decode(decoder, (struct frame){all + i, 1}, &m, NULL);

		cr_assert_eq(rc, i + 1 == len, "byte %zu", i);
	}
	cr_assert_eq(m.u.hello.generation, 0x0102030405060708);
	free(all);
	later[0] = raw_frame(FL_CTL_OPTIONAL + 1, 0, NULL, FL_CTL_MAX_SKIPPED + 1);
	cr_assert_eq(decode(decoder, later[0], &m, &err), FL_ERR_PEER);
	cr_assert_not_null(strstr(err.text, "the maximum is"));
	free(later[0].data);
	fl_ctl_decoder_free(decoder);
}

/* An agent skips nothing for somebody of whom it does not know that he is a sidecar; a sidecar does for its agent. */
Test(message_optional, optional_types_of_sidecars_are_refused_before_it_is_known_that_they_are)
{
	struct frame frames[] = {hello_frame(), raw_frame(FL_CTL_OPTIONAL + 1, 0, "any", 3)};
	struct fl_ctl_decoder *agent = fl_ctl_decoder_new(FL_CTL_FROM_SIDECAR);
	struct fl_ctl_decoder *sidecar = fl_ctl_decoder_new(FL_CTL_FROM_AGENT);
	struct fl_ctl_message m;
	struct fl_err err;

	cr_assert_eq(decode(sidecar, frames[1], &m, NULL), 0);
	cr_assert_eq(decode(agent, frames[0], &m, NULL), 1);
	fl_ctl_decoder_skip_unknown(agent);
	cr_assert_eq(decode(agent, frames[1], &m, NULL), 0);
	cr_assert_eq(decode(agent, frames[1], &m, NULL), 0, "also behind one");
	fl_ctl_decoder_free(agent);
	agent = fl_ctl_decoder_new(FL_CTL_FROM_SIDECAR);
	cr_assert_eq(decode(agent, frames[0], &m, NULL), 1);
	cr_assert_eq(decode(agent, (struct frame){frames[1].data, FL_CTL_HEADER}, &m, &err),
		     FL_ERR_PEER, "at its header");
	cr_assert_not_null(strstr(err.text, "type 257 is unknown, and no HELLO came"));
	fl_ctl_decoder_free(agent);
	fl_ctl_decoder_free(sidecar);
	free(frames[0].data);
	free(frames[1].data);
}
