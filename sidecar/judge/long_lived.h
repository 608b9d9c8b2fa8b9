/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_LONG_LIVED_H
#define FL_JUDGE_LONG_LIVED_H
/* long_lived - a line in the access log now and then about a connection that lives long, which otherwise would leave none
 * before its end. Loop-bound but for fl_long_lived_is_due(), which is pure. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define FL_TELL_EVERY_S 600u

struct fl_stream;
struct fl_worker;

/* Of a connection that is age_s old and was told of last when it was told_s old; 0: never. */
bool fl_long_lived_is_due(uint64_t age_s, uint32_t told_s);

void fl_long_lived_init(struct fl_worker *worker, uv_timer_t *timer);
void fl_long_lived_close(uv_timer_t *timer); /* the loop has to run once more */

#endif
