/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes values of the INI as the INI writes them. */
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

const char *fl_conf_ports_format(const struct fl_port_range *range, char buf[FL_CONF_PORTS_TEXT])
{
	if (range->first == 0) {
		(void)snprintf(buf, FL_CONF_PORTS_TEXT, "*");
	} else if (range->first == range->last) {
		(void)snprintf(buf, FL_CONF_PORTS_TEXT, "%u", range->first);
	} else {
		(void)snprintf(buf, FL_CONF_PORTS_TEXT, "%u-%u", range->first, range->last);
	}
	return buf;
}

static void put_net(const struct fl_cidr *cidr, const char *ports, char buf[FL_CONF_DEST_TEXT])
{
	char net[FL_CIDR_TEXT];
	size_t len = strcspn(fl_cidr_format(cidr, net), "/");

	if (cidr->family == AF_INET) {
		(void)snprintf(buf, FL_CONF_DEST_TEXT, "%s%s%s", net, ports[0] != '\0' ? ":" : "",
			       ports);
	} else {
		(void)snprintf(buf, FL_CONF_DEST_TEXT, "[%.*s]%s%s%s", (int)len, net, net + len,
			       ports[0] != '\0' ? ":" : "", ports);
	}
}

const char *fl_conf_dest_format(const struct fl_conf_dest *dest, char buf[FL_CONF_DEST_TEXT])
{
	char ports[FL_CONF_PORTS_TEXT];

	(void)fl_conf_ports_format(&dest->ports, ports);
	if (dest->host != NULL) {
		(void)snprintf(buf, FL_CONF_DEST_TEXT, "%s:%s", dest->host, ports);
	} else {
		put_net(&dest->net, ports, buf);
	}
	return buf;
}

const char *fl_conf_selector_format(const struct fl_conf_selector *selector,
				    char buf[FL_CONF_DEST_TEXT])
{
	char ports[FL_CONF_PORTS_TEXT];

	(void)fl_conf_ports_format(&selector->ports, ports);
	if (selector->interface != NULL) {
		(void)snprintf(buf, FL_CONF_DEST_TEXT, "interface:%s", selector->interface);
	} else if (selector->any_net) {
		(void)snprintf(buf, FL_CONF_DEST_TEXT, "%s", ports);
	} else {
		put_net(&selector->net, ports[0] == '*' ? "" : ports, buf);
	}
	return buf;
}
