/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SUPERVISOR_H
#define FL_AGENT_RUN_SUPERVISOR_H
/* keep - the first process of a container, which begins the agent again when a signal has ended it.
 *
 * A container that ends makes its pod not ready, and the kubelet waits ever longer before it begins it again. Traffic
 * needs no agent meanwhile, so its death must not take the pod out of its Service. */

/* Becomes the parent of a process that goes on: returns -1 in that one, and in the parent, when all is over, the exit
 * status to end with: what it ended with, or 128 and the number of the signal when it was told to end or has died
 * five times in a row, none of which lived for a minute. Of any process but the first (of a process namespace) it makes nothing, and returns -1.
 * Main thread, before there are others. */
int fl_supervise(void);

#endif
