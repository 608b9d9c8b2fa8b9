/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frames of a session: from any state that it can be in, whatever the next bytes are, the reader stays within them, ends, and is
 * in such a state again; so does the writer. As the first state is one, that holds for a session of any length, cut anywhere.
 * What an event is proven to mean holds of every such state, too: a use begins only after both directions of the one before
 * have ended, and bytes come only within a use. */
#include "proof.h"

#include "wire/frame.c"

#define BYTES_MAX                                                                                  \
	60u /* longer than every frame but DATA, of which it does not matter how much comes */

static enum phase phase_in(const struct fl_framing *f)
{
	return is_client(f) ? f->down : f->up;
}

static void make_any(struct fl_framing *f)
{
	f->retired = nondet_bool(); /* one of two values */
	f->over = nondet_bool();
}

/* What holds between two calls. */
static bool is_possible(const struct fl_framing *f)
{
	if (f->role > FL_FRAMING_SERVER || f->fault > FL_FRAMING_FAULT_REFUSED ||
	    f->have >= FL_FRAME_OPEN_MAX || (f->up != ENDED && f->up != FLOWS) || f->down > FLOWS ||
	    f->left > FL_FRAME_DATA_MAX) {
		return false;
	}
	if (f->fault != FL_FRAMING_FAULT_NONE || (f->over && !is_client(f))) {
		return true; /* it reads no more */
	}
	if (f->over && (f->left > 0 || f->have >= FL_FRAME_HEADER)) {
		return false;
	}
	if (f->left > 0) {
		return f->have == 0 && phase_in(f) == FLOWS;
	}
	return f->have < FL_FRAME_HEADER ||
	       (judge_header(f) == FL_FRAMING_FAULT_NONE && f->part[0] != TYPE_DATA &&
		f->have < FL_FRAME_HEADER + length_of(f));
}

void prove_start(void)
{
	struct fl_framing framing;

	fl_framing_init(&framing, nondet_bool() ? FL_FRAMING_CLIENT : FL_FRAMING_SERVER);
	PROVE(is_possible(&framing));
	PROVE(fl_framing_is_idle(&framing));
}

static void check_open(const struct fl_framing *before, const struct fl_framing *after,
		       const struct fl_framing_open *open)
{
	PROVE(!is_client(before) && before->up == ENDED && before->down == ENDED);
	PROVE(after->number == before->number + 1 && after->number != 0);
	PROVE(open->is_late == before->retired && after->over == before->retired);
	PROVE(open->destination.family == 0 || open->destination.family == AF_INET ||
	      open->destination.family == AF_INET6);
	PROVE(open->source.family == 0 || open->source.family == AF_INET ||
	      open->source.family == AF_INET6);
	PROVE(after->up == FLOWS && after->down == NEED_STATUS);
}

static void check_status(const struct fl_framing *before, const struct fl_framing *after,
			 const struct fl_framing_status *status)
{
	PROVE(is_client(before) && before->down == NEED_STATUS);
	PROVE((unsigned)status->code <= FL_STATUS_LAST);
	PROVE((status->code == FL_STATUS_OPENED) == !after->over);
}

static void check_event(const struct fl_framing *before, const struct fl_framing *after,
			enum fl_framing_event event, const struct fl_framing_read *read)
{
	PROVE(event == FL_FRAMING_NEED_MORE || event == FL_FRAMING_BROKEN || !before->over);
	PROVE((event == FL_FRAMING_BROKEN) == (after->fault != FL_FRAMING_FAULT_NONE));
	switch (event) {
	case FL_FRAMING_OPEN:
		check_open(before, after, &read->open);
		break;
	case FL_FRAMING_STATUS:
		check_status(before, after, &read->status);
		break;
	case FL_FRAMING_DATA:
		PROVE(phase_in(before) == FLOWS && phase_in(after) == FLOWS);
		break;
	case FL_FRAMING_END:
		PROVE(phase_in(before) == FLOWS && phase_in(after) == ENDED);
		break;
	case FL_FRAMING_RETIRE:
		PROVE(is_client(before) && !before->retired && after->retired);
		break;
	default:
		break;
	}
	/* What only some events may change. */
	PROVE(after->number == before->number || event == FL_FRAMING_OPEN);
	PROVE(after->retired == before->retired || event == FL_FRAMING_RETIRE);
	PROVE(is_client(before) ? after->up == before->up
				: after->down == before->down || event == FL_FRAMING_OPEN);
}

void prove_read(void)
{
	struct fl_framing framing; /* any */
	uint8_t data[BYTES_MAX];   /* any */
	size_t len = nondet_size_t();
	struct fl_span in = {data, len};
	struct fl_framing_read read;

	make_any(&framing);
	ASSUME(is_possible(&framing) && len <= sizeof(data));
	struct fl_framing before = framing;
	enum fl_framing_event event = fl_framing_read(&framing, &in, &read);

	PROVE(is_possible(&framing));
	PROVE(in.len <= len);
	PROVE(event != FL_FRAMING_NEED_MORE || in.len == 0);
	PROVE(before.fault == FL_FRAMING_FAULT_NONE || framing.fault == before.fault);
	if (event == FL_FRAMING_DATA) {
		PROVE(read.data.len > 0 && read.data.data >= data);
		PROVE(read.data.data + read.data.len == in.data);
	}
	if (in.len > 0 || event != FL_FRAMING_NEED_MORE) {
		PROVE(event == FL_FRAMING_BROKEN || in.len < len);
	}
	check_event(&before, &framing, event, &read);
}

/* A part of a frame that is there already does not become illegal by what this side writes meanwhile. */
void prove_write(void)
{
	struct fl_framing framing; /* any */
	struct fl_framing_open open;
	struct fl_framing_status status;
	uint8_t out[FL_FRAME_OPEN_MAX];
	unsigned what = nondet_uint8_t();
	size_t len = nondet_size_t(), wrote = 0;

	make_any(&framing);
	ASSUME(is_possible(&framing));
	struct fl_framing before = framing;

	if (what == 0) {
		ASSUME(fl_framing_may_open(&framing));
		ASSUME(open.destination.family == 0 || open.destination.family == AF_INET ||
		       open.destination.family == AF_INET6);
		ASSUME(open.source.family == 0 || open.source.family == AF_INET ||
		       open.source.family == AF_INET6);
		wrote = fl_framing_put_open(&framing, out, &open);
		PROVE(before.up == ENDED && before.down == ENDED && !before.retired);
	} else if (what == 1) {
		uint8_t room[FL_FRAME_STATUS_MAX];

		ASSUME(!is_client(&framing) && framing.down == NEED_STATUS &&
		       framing.fault == FL_FRAMING_FAULT_NONE);
		ASSUME((unsigned)status.code <= FL_STATUS_LAST);
		ASSUME(!framing.over || status.code == FL_STATUS_NOT_OPENED);
		ASSUME(status.local.family == 0 || status.local.family == AF_INET ||
		       status.local.family == AF_INET6);
		wrote = fl_framing_put_status(&framing, room, &status);
		PROVE(framing.down != NEED_STATUS);
		PROVE(fl_framing_may_put(&framing) == (status.code == FL_STATUS_OPENED));
	} else if (what == 2) {
		ASSUME(fl_framing_may_put(&framing) && len >= 1 && len <= FL_FRAME_DATA_MAX);
		wrote = fl_framing_put_header(&framing, out, len);
		PROVE(((size_t)out[1] << 16 | (size_t)out[2] << 8 | out[3]) == len);
	} else if (what == 3) {
		ASSUME(fl_framing_may_put(&framing));
		wrote = fl_framing_put_end(&framing, out);
		PROVE(!fl_framing_may_put(&framing));
	} else {
		ASSUME(!is_client(&framing));
		wrote = fl_framing_put_retire(&framing, out);
		PROVE(wrote == 0 || (!before.retired && framing.retired));
	}
	PROVE(wrote <= FL_FRAME_OPEN_MAX);
	PROVE(is_possible(&framing));
	PROVE(framing.number == before.number ||
	      (what == 0 && framing.number == before.number + 1));
}
