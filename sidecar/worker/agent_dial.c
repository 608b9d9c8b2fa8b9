/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker/agent_dial.h"

#include <stdio.h>
#include <unistd.h>

void fl_agent_place_of(const struct fl_conf *conf, struct fl_agent_place *ret)
{
	*ret = (struct fl_agent_place){.addr.kind = FL_ADDR_UNIX,
				       .agent_uid = conf->agent.uid,
				       .sidecar_uid = conf->agent.sidecar_uid};
	ret->addr.sa.un.sun_family = AF_UNIX;
	/* conf has checked the length */
	(void)snprintf(ret->addr.sa.un.sun_path, sizeof(ret->addr.sa.un.sun_path), "%s",
		       conf->agent.socket);
}

const char *fl_agent_path(const struct fl_agent_place *place)
{
	return place->addr.sa.un.sun_path;
}

int fl_agent_dial(struct fl_net *net, const struct fl_agent_place *place,
		  const struct fl_sock_events *events, void *user, fl_sock_dial_cb cb,
		  struct fl_sock **ret, struct fl_err *err)
{
	struct fl_dial dial = {.to = &place->addr.sa.any};
	int rc = fl_conf_guard_socket(fl_agent_path(place), place->agent_uid, place->sidecar_uid,
				      err);

	return rc != 0 ? rc : fl_sock_dial(net, &dial, events, user, cb, ret, err);
}

int fl_agent_check(const struct fl_agent_place *place, const struct fl_sock *sock,
		   struct fl_err *err)
{
	uid_t uid;
	int rc = fl_sock_peer_uid(sock, &uid, err);

	if (rc != 0) {
		return rc;
	}
	if (uid != place->agent_uid && uid != geteuid()) {
		return fl_err_set(
			err, FL_ERR_PEER,
			"the process that listens at %s runs as uid %lu, so it is not accepted "
			"as the agent: run fairlead-agent as uid %lu, or set `[agent] uid = %lu` "
			"if it is the agent",
			fl_agent_path(place), (unsigned long)uid, (unsigned long)place->agent_uid,
			(unsigned long)uid);
	}
	return 0;
}
