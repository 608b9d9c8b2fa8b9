/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker/wanted_names.h"

#include "base/mem.h"

void fl_wanted_names_add(struct fl_wanted_names *wanted, size_t name, struct fl_mailbox *reader)
{
	size_t bit = name % FL_WANTED_NAMES;
	uint64_t mask = UINT64_C(1) << bit % 64;
	uint64_t before = __atomic_fetch_or(&wanted->bits[bit / 64], mask, __ATOMIC_ACQ_REL);

	/* If a bit was already set, the letter has been posted and not been read yet. */
	if ((before & mask) == 0) {
		fl_mailbox_post(reader, &wanted->mail);
	}
}

void fl_wanted_names_take(struct fl_wanted_names *wanted, void (*want)(void *user, size_t bit),
			  void *user)
{
	for (size_t word = 0; word < FL_COUNT_OF(wanted->bits); word++) {
		uint64_t bits = __atomic_exchange_n(&wanted->bits[word], 0, __ATOMIC_ACQ_REL);

		for (size_t bit = 0; bit < 64 && bits != 0; bit++) {
			if ((bits >> bit & 1) != 0) {
				want(user, word * 64 + bit);
			}
		}
	}
}
