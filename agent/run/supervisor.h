/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SUPERVISOR_H
#define FL_AGENT_RUN_SUPERVISOR_H
/* supervisor - as the first process of a container: starts the agent again when a signal has killed it.
 *
 * A container that ends makes its pod not ready, and the kubelet waits longer each time before it starts it again. Traffic
 * does not need the agent meanwhile, so its death must not remove the pod from its Service. */

/* Forks, if this is the first process of its process namespace (pid 1); otherwise only returns -1. In the child returns -1:
 * the caller goes on as the agent. In the parent returns when the agent is not to be started again, with the exit code to
 * end with: that of the agent; or 128 and the number of the signal that killed it, after SIGTERM or SIGINT, or after five
 * deaths in a row of agents that each lived for less than a minute. 2, after a sentence on stderr: no process could be
 * created. Main thread, before there are others. */
int fl_supervise(void);

#endif
