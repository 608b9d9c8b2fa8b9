/* SPDX-License-Identifier: GPL-3.0-or-later */
/* settings - reads the value of one key: by its type, or by the key's own function.
 *
 * A refused value is reported with the key and an example. The setting keeps its default, and in the end the whole
 * INI is refused. */
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

int fl_setting_take_items(const struct fl_setting *setting, fl_take_item *take, struct fl_err *err)
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

static int add_capture_listener(const struct fl_setting *setting, const char *text,
				struct fl_err *err)
{
	struct fl_conf *conf = setting->build->conf;
	bool inbound = strcmp(setting->key->name, "inbound") == 0;
	struct fl_addr **list = inbound ? &conf->sidecar.inbound : &conf->sidecar.outbound;
	size_t *count = inbound ? &conf->sidecar.inbound_count : &conf->sidecar.outbound_count;
	struct fl_addr addr = {0};
	int rc = fl_addr_parse(text, FL_ADDR_ALLOW_ANY, &addr, err);

	if (rc == 0) {
		*list = fl_grow(*list, *count + 1, sizeof(**list));
		(*list)[(*count)++] = addr;
	}
	return rc;
}

/* `[sidecar] inbound` and `outbound`. Empty: no such listener. */
int fl_set_capture_listeners(const struct fl_setting *setting, struct fl_err *err)
{
	struct fl_conf *conf = setting->build->conf;
	bool inbound = strcmp(setting->key->name, "inbound") == 0;
	struct fl_addr **list = inbound ? &conf->sidecar.inbound : &conf->sidecar.outbound;
	size_t *count = inbound ? &conf->sidecar.inbound_count : &conf->sidecar.outbound_count;
	struct fl_addr *before = *list;
	size_t before_count = *count;
	int rc;

	*list = NULL;
	*count = 0;
	rc = fl_setting_take_items(setting, add_capture_listener, err);
	if (rc == 0) {
		free(before);
	} else {
		/* Otherwise sections for captured traffic would be said to have no listener. */
		free(*list);
		*list = before;
		*count = before_count;
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

/* A path that must fit into a socket's address. */
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

/* Empty: there is none. */
int fl_set_control(const struct fl_setting *setting, struct fl_err *err)
{
	char **path = setting->field;

	if (setting->entry->value[0] == '\0') {
		free(*path);
		*path = NULL;
		return 0;
	}
	return fl_set_socket_path(setting, err);
}

/* One address, and no list. */
int fl_setting_take_address(const struct fl_setting *setting, unsigned allow, struct fl_err *err)
{
	if (strchr(setting->entry->value, ',') != NULL) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s`: only one address is allowed here",
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
	return fl_setting_take_address(setting, FL_ADDR_ALLOW_ANY, err);
}

/* One of the key's words, different from the `count` previous ones: so the list is never longer than the key's words. */
static int read_new_word(const struct fl_setting *setting, const char *text, const unsigned *others,
			 size_t count, unsigned *ret, struct fl_err *err)
{
	unsigned value = 0;
	int rc = fl_value_word(text, setting->key->words, setting->key->word_count, &value, err);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (others[i] == value) {
			rc = fl_err_set(err, FL_ERR_INVALID, "`%.100s` is listed twice", text);
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

static int set_words(const struct fl_setting *setting, fl_take_item *take, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;
	const struct fl_conf before = *conf;
	int rc;

	conf->tls.group_count = take == add_group ? 0 : conf->tls.group_count;
	conf->tls.cipher_count = take == add_cipher ? 0 : conf->tls.cipher_count;
	rc = setting->entry->value[0] != '\0' ? fl_setting_take_items(setting, take, err)
					      : refuse_empty(err);
	if (rc != 0) {
		conf->tls = before.tls;
	}
	return rc;
}

int fl_set_groups(const struct fl_setting *setting, struct fl_err *err)
{
	return set_words(setting, add_group, err);
}

int fl_set_ciphers(const struct fl_setting *setting, struct fl_err *err)
{
	return set_words(setting, add_cipher, err);
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
	if (rc == 0) {
		memcpy(setting->field, &value, sizeof(value));
	}
	return rc;
}

static int set_flag(const struct fl_setting *setting, struct fl_err *err)
{
	bool *flag = setting->field;
	unsigned value = 0;
	int rc = fl_value_word(setting->entry->value, setting->key->words, setting->key->word_count,
			       &value, err);

	if (rc == 0) {
		*flag = value != 0;
	}
	return rc;
}

/* Words that people know from other formats. */
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
	case FL_TYPE_FLAG:
		return set_flag(setting, err);
	case FL_TYPE_OWN:
		return key->set(setting, err);
	}
	return fl_err_set(err, FL_ERR_BUG, "this key has no type");
}

void fl_setting_take(const struct fl_setting *setting)
{
	struct fl_err err = {0};

	if (set_value(setting, &err) != 0) {
		report(setting, &err);
	}
}
