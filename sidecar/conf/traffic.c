/* SPDX-License-Identifier: GPL-3.0-or-later */
/* traffic - the values of [service NAME], [upstream NAME] and [outbound]. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/settings.h"
#include "conf/values.h"

/* --- [service NAME] ------------------------------------------------------------------------ */

int fl_set_service_port(const struct fl_setting *setting, struct fl_err *err)
{
	uint16_t *port = setting->field;
	struct fl_port_range range = {0};
	int rc = fl_value_ports(setting->entry->value, &range, err);

	if (rc == 0 && range.first != range.last) {
		rc = fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: only one port is allowed here: give each port its own [service NAME]",
			setting->entry->value);
	}
	if (rc == 0) {
		*port = range.first;
	}
	return rc;
}

/* Empty: none, the port is captured. */
int fl_set_service_listen(const struct fl_setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0'
		       ? fl_setting_take_address(setting, FL_ADDR_ALLOW_ANY, err)
		       : 0;
}

/* 0.0.0.0 and [::] are addresses to listen on; Linux connects them to loopback, which is never intended. */
static int refuse_unspecified(const char *text, struct fl_err *err)
{
	return fl_err_set(err, FL_ERR_INVALID,
			  "`%.100s` is an address to listen on, not one to connect to", text);
}

int fl_set_app(const struct fl_setting *setting, struct fl_err *err)
{
	struct fl_addr *app = setting->field;
	struct fl_addr addr = {0};
	int rc = fl_addr_parse(setting->entry->value, FL_ADDR_ALLOW_NAME | FL_ADDR_ALLOW_UNIX,
			       &addr, err);

	if (rc != 0) {
		return rc;
	}
	if (addr.kind == FL_ADDR_NAME) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: names are not resolved for `app`, because the app is local: write "
			"127.0.0.1:%u or [::1]:%u",
			setting->entry->value, addr.port, addr.port);
	}
	if (fl_addr_is_unspecified(&addr)) {
		return refuse_unspecified(setting->entry->value, err);
	}
	*app = addr;
	return 0;
}

/* --- alpn, of both --------------------------------------------------------------------------- */

#define ALPN_NAME_MAX 255u
#define ALPN_NAMES_MAX 16u

/* Appends one name to a list separated by commas. */
static int add_protocol(char **list, const char *name, struct fl_err *err)
{
	size_t len = strlen(name), count = 1;
	char *old = *list;

	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] > '~') {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"`%.100s` is not the name of a protocol: write for example h2",
				name);
		}
	}
	if (len > ALPN_NAME_MAX) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s...` has more than %u bytes", name,
				  ALPN_NAME_MAX);
	}
	for (const char *at = old; at != NULL; count++) {
		const char *comma = strchr(at, ',');
		size_t n = comma != NULL ? (size_t)(comma - at) : strlen(at);

		if (n == len && memcmp(at, name, len) == 0) {
			return fl_err_set(err, FL_ERR_INVALID, "`%.100s` is listed twice", name);
		}
		at = comma != NULL ? comma + 1 : NULL;
	}
	if (count > ALPN_NAMES_MAX) {
		return fl_err_set(err, FL_ERR_INVALID, "there are more than %u protocols",
				  ALPN_NAMES_MAX);
	}
	*list = old != NULL ? fl_format("%s,%s", old, name) : fl_strdup(name);
	free(old);
	return 0;
}

static int add_service_protocol(const struct fl_setting *setting, const char *text,
				struct fl_err *err)
{
	struct fl_conf_service *service = setting->field;

	if (strncmp(text, "fairlead/", strlen("fairlead/")) == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is always accepted: name only the protocols of other "
				  "clients",
				  text);
	}
	return add_protocol(&service->alpn, text, err);
}

static int add_upstream_protocol(const struct fl_setting *setting, const char *text,
				 struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;

	return add_protocol(&upstream->alpn, text, err);
}

/* Empty: as without the key. */
int fl_set_service_alpn(const struct fl_setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0'
		       ? fl_setting_take_items(setting, add_service_protocol, err)
		       : 0;
}

int fl_set_upstream_alpn(const struct fl_setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0'
		       ? fl_setting_take_items(setting, add_upstream_protocol, err)
		       : 0;
}

/* --- [upstream NAME], [outbound] ----------------------------------------------------------- */

/* Empty: none, the upstream is for captured traffic. */
int fl_set_upstream_listen(const struct fl_setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0'
		       ? fl_setting_take_address(setting, FL_ADDR_ALLOW_ANY | FL_ADDR_ALLOW_UNIX,
						 err)
		       : 0;
}

/* `10.20.0.0/16:9000` and `10.20.0.1:9000-9010` are more than one destination. */
static bool is_network(const char *text)
{
	const char *colon = strrchr(text, ':');

	return strchr(text, '/') != NULL ||
	       (colon != NULL && (strchr(colon, '-') != NULL || strcmp(colon, ":*") == 0) &&
		(colon[1] == '*' || fl_value_looks_like_ports(colon + 1)));
}

/* Of a fixed listener: where it connects to. */
static int add_target(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;
	struct fl_addr addr = {0};
	int rc;

	if (strncmp(text, "unix:", strlen("unix:")) != 0 && is_network(text)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: with `listen`, a destination is one host and one port; networks and port "
			"ranges are for captured traffic, so name them in an [upstream] without "
			"`listen`",
			text);
	}
	rc = fl_addr_parse(text, FL_ADDR_ALLOW_NAME, &addr, err);
	if (rc != 0) {
		return rc;
	}
	if (fl_addr_is_unspecified(&addr)) {
		return refuse_unspecified(text, err);
	}
	upstream->to = fl_grow(upstream->to, upstream->to_count + 1, sizeof(*upstream->to));
	upstream->to[upstream->to_count++] = addr;
	return 0;
}

/* A good host without a port; a bad one is reported first, because the remedy repeats it. */
static int refuse_without_port(const char *text, const char *host, struct fl_err *err)
{
	struct fl_cidr net;

	if (fl_value_looks_like_network(host) && fl_cidr_parse(host, &net, err) != 0) {
		return FL_ERR_INVALID;
	}
	return fl_err_set(err, FL_ERR_INVALID,
			  "`%.100s` has no port: write %.100s:443, or %.100s:* for every port",
			  text, text, text);
}

static void add_dest(struct fl_conf_upstream *upstream, const struct fl_conf_dest *dest)
{
	upstream->dests =
		fl_grow(upstream->dests, upstream->dest_count + 1, sizeof(*upstream->dests));
	upstream->dests[upstream->dest_count++] = *dest;
}

static int add_name(struct fl_conf_upstream *upstream, const char *host,
		    const struct fl_port_range *ports, struct fl_err *err)
{
	/* With one port it has to be a valid HOST:PORT. */
	char *text = fl_format("%s:%u", host, ports->last);
	struct fl_addr addr = {0};
	int rc = fl_addr_parse(text, FL_ADDR_ALLOW_NAME, &addr, err);

	free(text);
	if (rc == 0) {
		add_dest(upstream,
			 &(struct fl_conf_dest){.host = fl_strdup(host), .ports = *ports});
	}
	return rc;
}

static void add_everywhere(struct fl_conf_upstream *upstream, const struct fl_port_range *ports)
{
	struct fl_conf_dest dest = {.net = {.family = AF_INET}, .any_net = true, .ports = *ports};

	add_dest(upstream, &dest);
	dest.net.family = AF_INET6;
	add_dest(upstream, &dest);
}

static int add_network(struct fl_conf_upstream *upstream, const char *text, const char *host,
		       const struct fl_port_range *ports, struct fl_err *err)
{
	static const uint8_t zeros[sizeof(((struct fl_cidr *)NULL)->addr)];
	struct fl_conf_dest dest = {.ports = *ports};
	int rc = fl_cidr_parse(host, &dest.net, err);

	if (rc == 0 && fl_cidr_is_single(&dest.net) &&
	    memcmp(dest.net.addr, zeros, sizeof(zeros)) == 0) {
		return refuse_unspecified(text, err);
	}
	if (rc == 0) {
		add_dest(upstream, &dest);
	}
	return rc;
}

/* Of captured traffic: which destinations the section is for. */
static int add_destination(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;
	char host[FL_VALUE_HOST];
	struct fl_port_range ports = {0};
	struct fl_addr addr = {0};
	bool given = false;
	int rc;

	if (strncmp(text, "unix:", strlen("unix:")) == 0) {
		return fl_addr_parse(text, FL_ADDR_ALLOW_NAME, &addr,
				     err); /* reports the reason and refuses it */
	}
	rc = fl_value_host_ports(text, host, &ports, &given, err);
	if (rc != 0) {
		return rc;
	}
	if (!given) {
		return refuse_without_port(text, host, err);
	}
	if (strcmp(host, "*") == 0) {
		add_everywhere(upstream, &ports);
		return 0;
	}
	return fl_value_looks_like_network(host) ? add_network(upstream, text, host, &ports, err)
						 : add_name(upstream, host, &ports, err);
}

static bool is_captured(const struct fl_setting *setting)
{
	const struct fl_ini *ini = setting->build->ini;
	const struct fl_ini_entry *listen =
		fl_ini_entry(ini, &ini->sections[setting->entry->section], "listen");

	return listen == NULL || listen->value[0] == '\0';
}

int fl_set_to(const struct fl_setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] == '\0') {
		return fl_err_set(err, FL_ERR_INVALID, "the destination is missing");
	}
	return fl_setting_take_items(setting, is_captured(setting) ? add_destination : add_target,
				     err);
}

static int add_within(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;
	struct fl_cidr net;
	int rc = fl_cidr_parse(text, &net, err);

	if (rc == 0) {
		upstream->within =
			fl_grow(upstream->within, upstream->within_count + 1, sizeof(net));
		upstream->within[upstream->within_count++] = net;
	}
	return rc;
}

/* Empty: anywhere. */
int fl_set_within(const struct fl_setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0' ? fl_setting_take_items(setting, add_within, err)
						: 0;
}

static int add_peer(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;
	struct fl_pattern *pattern = NULL;
	int rc;

	if (strcmp(text, "plaintext") == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`plaintext` is not an identity: name a SPIFFE ID, or write "
				  "`mode = plaintext` if the destination speaks no TLS");
	}
	rc = fl_pattern_parse(text, &pattern, err);
	if (rc == 0) {
		upstream->peer = fl_grow(upstream->peer, upstream->peer_count + 1,
					 sizeof(struct fl_pattern *));
		upstream->peer[upstream->peer_count++] = pattern;
	}
	return rc;
}

int fl_set_peer(const struct fl_setting *setting, struct fl_err *err)
{
	return fl_setting_take_items(setting, add_peer, err);
}
