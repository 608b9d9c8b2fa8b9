/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_IDLE_MEMORY_H
#define FL_BASE_IDLE_MEMORY_H
/* idle_memory - gives memory back to the kernel after work that needed much more than an idle process does. Thread: any;
 * the pages of our own program are those of all threads. */

/* Trims the heap and drops the pages of our own code and constants; the kernel reads pages again when they are needed.
 * Nothing fails. */
void fl_idle_memory_give_back(void);

#endif
