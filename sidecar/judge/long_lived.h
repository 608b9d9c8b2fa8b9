/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_LONG_LIVED_H
#define FL_JUDGE_LONG_LIVED_H
/* long_lived - logs a line from time to time about each long-lived connection, which would otherwise leave no line before
 * its end. Loop-bound; fl_long_lived_is_due() is pure. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define FL_LONG_LIVED_EVERY_S 600u

struct fl_loop;
struct fl_walk;

/* Is a line due for a connection that is age_s old? The other age is that at its last line; 0: there was none. */
bool fl_long_lived_is_due(uint64_t age_s, uint64_t logged_s);

struct fl_long_lived {
	struct fl_loop *loop;
	struct fl_walk *walk;
	uv_timer_t timer;
};

void fl_long_lived_init(struct fl_long_lived *long_lived, struct fl_loop *loop,
			struct fl_walk *walk);
void fl_long_lived_close(struct fl_long_lived *long_lived); /* the loop must run once more */

#endif
