/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_APP_PORT_H
#define FL_AGENT_TOOLS_APP_PORT_H
/* app_port - finds rules whose `to` names the port at which the app listens, although peers dial the port of `[service]
 * listen`. Such a rule never matches. Thread: any. */
#include "conf/conf.h"

/* The fixed [service] whose app is at this port; NULL: there is none, or peers dial this port, too: that of a
 * [service], or any port of a pod whose INI is about captured traffic. */
const struct fl_conf_service *fl_app_port_service(const struct fl_conf *conf, uint16_t port);

/* The [service] whose app's port the rule names in place of the one that peers dial; NULL: there is none. */
const struct fl_conf_service *fl_app_port_named(const struct fl_conf *conf,
						const struct fl_rule_spec *rule);

/* A sentence that says so, with the remedy, to free(); NULL: there is none. */
char *fl_app_port_mistake(const struct fl_conf *conf, const struct fl_rule_spec *rule);

#endif
