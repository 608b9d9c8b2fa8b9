/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_CLOCK_H
#define FL_TEST_CLOCK_H
/* clock - lets time pass without waiting.
 *
 * clock_gettime() and time() of this program, including libuv's calls, return the time plus the skipped time. Timers that
 * have become due fire in the loop's next turn. The kernel's own time (keepalive, TCP_USER_TIMEOUT) is not touched. */
#include <stdint.h>

void clock_skip_ms(uint64_t ms); /* any thread */
uint64_t clock_real_ms(void);    /* monotonic, without the skipped time */

#endif
