/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_CLOCK_H
#define FL_TEST_CLOCK_H
/* clock - lets time pass without waiting, and lets no time pass while the program is held up.
 *
 * clock_gettime() and time() of this program, including libuv's calls, return the time plus the skipped time. Timers that
 * have become due fire in the loop's next turn. From one call to the next at most CLOCK_STEP_MS pass: on a busy machine a
 * program may be held up for as long as a time-out that it tests. The kernel's own time (keepalive, TCP_USER_TIMEOUT) is not
 * touched. */
#include <stdint.h>

#define CLOCK_STEP_MS 20u

void clock_skip_ms(uint64_t ms); /* any thread */
uint64_t clock_real_ms(void);    /* monotonic; nothing is skipped or left out */

#endif
