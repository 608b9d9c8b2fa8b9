/* SPDX-License-Identifier: GPL-3.0-or-later */
/* settings - how the value of one key is read: by its type, or by a function of its own.
 *
 * What is refused is reported with the key and an example; the value keeps its default, and the INI
 * is refused as a whole in the end. */
#include "conf/settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/values.h"

/* --- telling what is wrong ----------------------------------------------------------------- */

static void report(const struct fl_setting *setting, const struct fl_err *err)
{
	const struct fl_key *key = setting->key;

	if (key->hint != NULL) {
		fl_problem_error(setting->build->problems, setting->entry->line,
				 "`%s`: %s; an example: `%s = %s`", key->name, err->text, key->name,
				 key->hint);
	} else {
		fl_problem_error(setting->build->problems, setting->entry->line, "`%s`: %s",
				 key->name, err->text);
	}
}

/* Hands each item of a list to take. Of several that are refused, all but the last are reported
 * here; the last is returned like any other error. */
static int take_items(const struct fl_setting *setting,
		      int (*take)(const struct fl_setting *setting, const char *text,
				  struct fl_err *err),
		      struct fl_err *err)
{
	struct fl_list list = {0};
	int rc = fl_value_list(setting->entry->value, &list, err);

	for (size_t i = 0; i < list.count; i++) {
		struct fl_err one = {0};
		int refused = take(setting, list.items[i], &one);

		if (refused != 0 && rc != 0) {
			report(setting, err);
		}
		if (refused != 0) {
			*err = one;
			rc = refused;
		}
	}
	fl_list_done(&list);
	return rc;
}

/* --- settings of their own ----------------------------------------------------------------- */

/* `[sidecar] inbound` and `outbound`. */
int fl_set_capture(const struct fl_setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] != '\0') {
		return fl_err_set(err, FL_ERR_INVALID,
				  "transparent capture is not supported yet: leave `%s` empty and "
				  "use %s",
				  setting->key->name,
				  strcmp(setting->key->name, "inbound") == 0
					  ? "[service NAME] with `listen`"
					  : "[upstream NAME] with `listen`");
	}
	return 0;
}

/* A duration that is not built yet, of which `0` says what is. */
int fl_set_never(const struct fl_setting *setting, struct fl_err *err)
{
	uint32_t ms = 0;
	int rc = fl_value_duration(setting->entry->value, 0, UINT32_MAX, &ms, err);

	if (rc == 0 && ms != 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is not supported yet: write `%s = 0`",
				  setting->entry->value, setting->key->name);
	}
	return rc;
}

int fl_set_workers(const struct fl_setting *setting, struct fl_err *err)
{
	uint32_t *workers = setting->field;

	if (strcmp(setting->entry->value, "auto") == 0) {
		*workers = 0;
		return 0;
	}
	return fl_value_count(setting->entry->value, 1, 256, workers, err);
}

/* A path that also has to fit into a socket address. */
int fl_set_socket_path(const struct fl_setting *setting, struct fl_err *err)
{
	char **path = setting->field;
	size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	int rc = fl_value_path(setting->entry->value, most, err);

	if (rc == 0) {
		free(*path);
		*path = fl_strdup(setting->entry->value);
	}
	return rc;
}

static int set_address(const struct fl_setting *setting, unsigned allow, struct fl_err *err)
{
	if (strchr(setting->entry->value, ',') != NULL) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: only one address is possible here",
				  setting->entry->value);
	}
	return fl_addr_parse(setting->entry->value, allow, setting->field, err);
}

/* Empty: no such listener. */
int fl_set_admin(const struct fl_setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] == '\0') {
		*(struct fl_addr *)setting->field = (struct fl_addr){.kind = FL_ADDR_NONE};
		return 0;
	}
	return set_address(setting, FL_ADDR_ALLOW_ANY, err);
}

/* Empty: check.c says that the listener is missing. */
int fl_set_service_listen(const struct fl_setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0' ? set_address(setting, FL_ADDR_ALLOW_ANY, err) : 0;
}

int fl_set_upstream_listen(const struct fl_setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0'
		       ? set_address(setting, FL_ADDR_ALLOW_ANY | FL_ADDR_ALLOW_UNIX, err)
		       : 0;
}

/* 0.0.0.0 and [::] are places to listen on; connecting to them only works by accident. */
static bool is_unspecified(const struct fl_addr *addr)
{
	return addr->kind == FL_ADDR_IP &&
	       (addr->sa.any.sa_family == AF_INET
			? addr->sa.in.sin_addr.s_addr == htonl(INADDR_ANY)
			: IN6_IS_ADDR_UNSPECIFIED(&addr->sa.in6.sin6_addr));
}

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
			"`%.100s`: the app is local and no name is resolved for it, write "
			"127.0.0.1:%u or [::1]:%u",
			setting->entry->value, addr.port, addr.port);
	}
	if (is_unspecified(&addr)) {
		return refuse_unspecified(setting->entry->value, err);
	}
	*app = addr;
	return 0;
}

/* `10.20.0.0/16:9000` and `10.20.0.1:9000-9010` are for captured traffic. */
static bool is_network(const char *text)
{
	const char *colon = strrchr(text, ':');

	return strchr(text, '/') != NULL || (colon != NULL && strchr(colon, '-') != NULL &&
					     fl_value_looks_like_ports(colon + 1));
}

static int add_target(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;
	struct fl_addr addr = {0};
	int rc;

	if (strncmp(text, "unix:", strlen("unix:")) != 0 && is_network(text)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: networks and port ranges are for captured traffic, which is "
			"not supported yet: name one host and one port",
			text);
	}
	rc = fl_addr_parse(text, FL_ADDR_ALLOW_NAME, &addr, err);
	if (rc != 0) {
		return rc;
	}
	if (is_unspecified(&addr)) {
		return refuse_unspecified(text, err);
	}
	upstream->to = fl_grow(upstream->to, upstream->to_count + 1, sizeof(*upstream->to));
	upstream->to[upstream->to_count++] = addr;
	return 0;
}

int fl_set_targets(const struct fl_setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] == '\0') {
		return fl_err_set(err, FL_ERR_INVALID, "where to connect to is missing");
	}
	return take_items(setting, add_target, err);
}

static int append_pattern(const char *text, struct fl_pattern ***patterns, size_t *count,
			  struct fl_err *err)
{
	struct fl_pattern *pattern = NULL;
	int rc;

	if (strcmp(text, "plaintext") == 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`plaintext` is not supported yet: only mutual TLS is let in, name "
			"a SPIFFE ID");
	}
	rc = fl_pattern_parse(text, &pattern, err);
	if (rc == 0) {
		*patterns = fl_grow(*patterns, *count + 1, sizeof(struct fl_pattern *));
		(*patterns)[(*count)++] = pattern;
	}
	return rc;
}

static int add_peer(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;

	return append_pattern(text, &upstream->peer, &upstream->peer_count, err);
}

int fl_set_peer(const struct fl_setting *setting, struct fl_err *err)
{
	return take_items(setting, add_peer, err);
}

static int add_from(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	return append_pattern(text, &rule->from, &rule->from_count, err);
}

/* Empty: check.c says that `from` is missing. */
int fl_set_from(const struct fl_setting *setting, struct fl_err *err)
{
	return take_items(setting, add_from, err);
}

static int add_rule_target(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;
	struct fl_port_range range = {0};
	int rc;

	if (!fl_value_looks_like_ports(text)) {
		/* check.c finds out whether there is such a service. */
		rule->services = fl_grow(rule->services, rule->service_count + 1, sizeof(char *));
		rule->services[rule->service_count++] = fl_strdup(text);
		return 0;
	}
	rc = fl_value_ports(text, &range, err);
	if (rc == 0) {
		rule->ports = fl_grow(rule->ports, rule->port_count + 1, sizeof(*rule->ports));
		rule->ports[rule->port_count++] = range;
	}
	return rc;
}

int fl_set_rule_targets(const struct fl_setting *setting, struct fl_err *err)
{
	return take_items(setting, add_rule_target, err);
}

/* One of the key's words, unlike the count others; so there are never more than there are words. */
static int read_new_word(const struct fl_setting *setting, const char *text, const unsigned *others,
			 size_t count, unsigned *ret, struct fl_err *err)
{
	unsigned value = 0;
	int rc = fl_value_word(text, setting->key->words, setting->key->word_count, &value, err);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (others[i] == value) {
			rc = fl_err_set(err, FL_ERR_INVALID, "`%.100s` stands there twice", text);
		}
	}
	if (rc == 0) {
		*ret = value;
	}
	return rc;
}

static int add_group(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;
	unsigned value = 0;
	int rc = read_new_word(setting, text, conf->tls.groups, conf->tls.group_count, &value, err);

	if (rc == 0) {
		conf->tls.groups[conf->tls.group_count++] = (enum fl_tls_group)value;
	}
	return rc;
}

static int add_cipher(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;
	unsigned value = 0;
	int rc = read_new_word(setting, text, conf->tls.ciphers, conf->tls.cipher_count, &value,
			       err);

	if (rc == 0) {
		conf->tls.ciphers[conf->tls.cipher_count++] = (enum fl_tls_cipher)value;
	}
	return rc;
}

static int refuse_empty(struct fl_err *err)
{
	return fl_err_set(err, FL_ERR_INVALID, "at least one is needed");
}

int fl_set_groups(const struct fl_setting *setting, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;

	conf->tls.group_count = 0;
	return setting->entry->value[0] != '\0' ? take_items(setting, add_group, err)
						: refuse_empty(err);
}

int fl_set_ciphers(const struct fl_setting *setting, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;

	conf->tls.cipher_count = 0;
	return setting->entry->value[0] != '\0' ? take_items(setting, add_cipher, err)
						: refuse_empty(err);
}

/* --- by type ------------------------------------------------------------------------------- */

static int set_path(const struct fl_setting *setting, struct fl_err *err)
{
	char **path = setting->field;
	int rc = fl_value_path(setting->entry->value, PATH_MAX - 1, err);

	FL_REQUIRE(path != NULL);
	if (rc == 0) {
		free(*path);
		*path = fl_strdup(setting->entry->value);
	}
	return rc;
}

static int set_word(const struct fl_setting *setting, struct fl_err *err)
{
	unsigned value = 0;
	int rc = fl_value_word(setting->entry->value, setting->key->words, setting->key->word_count,
			       &value, err);

	/* Enums without negative values are unsigned. */
	_Static_assert(sizeof(enum fl_effect) == sizeof(unsigned) &&
			       sizeof(enum fl_log_level) == sizeof(unsigned),
		       "words are stored as unsigned");
	if (rc == 0 && setting->field != NULL) {
		memcpy(setting->field, &value, sizeof(value));
	}
	return rc;
}

/* What people bring along from other formats. */
static int check_spelling(const char *value, struct fl_err *err)
{
	if (value[0] == '"' || value[0] == '\'') {
		return fl_err_set(err, FL_ERR_INVALID, "values are written without quotes");
	}
	if (strstr(value, " #") != NULL || strstr(value, "\t#") != NULL) {
		return fl_err_set(err, FL_ERR_INVALID, "a comment after a value begins with ` ;`");
	}
	return 0;
}

static int set_value(const struct fl_setting *setting, struct fl_err *err)
{
	const struct fl_key *key = setting->key;
	const char *value = setting->entry->value;
	int rc = check_spelling(value, err);

	if (rc != 0) {
		return rc;
	}
	switch (key->type) {
	case FL_TYPE_PATH:
		return set_path(setting, err);
	case FL_TYPE_DURATION:
		return fl_value_duration(value, key->min, key->max, setting->field, err);
	case FL_TYPE_SIZE:
		return fl_value_size(value, key->min, key->max, setting->field, err);
	case FL_TYPE_COUNT:
		return fl_value_count(value, key->min, key->max, setting->field, err);
	case FL_TYPE_WORD:
		return set_word(setting, err);
	case FL_TYPE_OWN:
		return key->set(setting, err);
	case FL_TYPE_LATER:
		break;
	}
	return fl_err_set(err, FL_ERR_BUG, "this key has no type");
}

void fl_setting_take(const struct fl_setting *setting)
{
	const struct fl_key *key = setting->key;
	struct fl_problems *problems = setting->build->problems;
	struct fl_err err = {0};

	if (key->type == FL_TYPE_LATER) {
		fl_problem_error(problems, setting->entry->line, "`%s` is not supported yet: %s",
				 key->name, key->hint);
	} else if (set_value(setting, &err) != 0) {
		report(setting, &err);
	}
}
