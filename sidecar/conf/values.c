/* SPDX-License-Identifier: GPL-3.0-or-later */
/* values - reads numbers with units, words, lists, port ranges and names.
 *
 * Strict on purpose: no blanks inside, no signs, no fractions, no second spelling of a unit. Every
 * refusal is FL_ERR_INVALID, quotes the text and says what is expected. */
#include "conf/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/problems.h"

#define NAME_MAX_BYTES 63
#define SUGGEST_MAX 16

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The number of leading digits of text. *ret saturates, far above any allowed value, before it would overflow. */
static size_t read_digits(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	size_t len = 0;

	while (is_digit(text[len])) {
		if (value < UINT64_MAX / 160) {
			value = value * 10 + (uint64_t)(text[len] - '0');
		}
		len++;
	}
	*ret = value;
	return len;
}

/* --- numbers with units -------------------------------------------------------------------- */

struct unit {
	const char *text;
	uint64_t factor;
};

static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {
	{"GiB", 1024 * 1024 * 1024}, {"MiB", 1024 * 1024}, {"KiB", 1024}, {"B", 1}};

static const struct unit *find_unit(const struct unit *units, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(units[i].text, text) == 0) {
			return &units[i];
		}
	}
	return NULL;
}

/* The number and the largest unit that divides it: 90000 is "90s". */
static void format_unit(uint64_t value, const struct unit *units, size_t count, char *buf,
			size_t size)
{
	size_t i = 0;

	while (i + 1 < count && (value == 0 || value % units[i].factor != 0)) {
		i++;
	}
	(void)snprintf(buf, size, "%llu%s", (unsigned long long)(value / units[i].factor),
		       units[i].text);
}

struct quantity {
	const struct unit *units;
	size_t unit_count;
	const char *unit_names; /* for a sentence */
};

static const struct quantity duration = {duration_units, FL_COUNT_OF(duration_units),
					 "ms, s, m or h"};
static const struct quantity size = {size_units, FL_COUNT_OF(size_units), "B, KiB, MiB or GiB"};

static int read_quantity(const char *text, const struct quantity *quantity, uint32_t min,
			 uint32_t max, uint32_t *ret, struct fl_err *err)
{
	const struct unit *unit;
	uint64_t value = 0;
	size_t digits = read_digits(text, &value);
	char least[32];
	char most[32];

	if (digits == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is not a whole number with a unit (%s)", text,
				  quantity->unit_names);
	}
	unit = find_unit(quantity->units, quantity->unit_count, text + digits);
	if (unit == NULL && value == 0 && text[digits] == '\0') {
		unit = &quantity->units[0]; /* 0 needs no unit */
	} else if (unit == NULL && text[digits] == '\0') {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s` has no unit (%s)", text,
				  quantity->unit_names);
	} else if (unit == NULL) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is not a unit (%s) after a whole number", text + digits,
				  quantity->unit_names);
	}
	/* Above UINT32_MAX the product cannot fit anyway; below, it cannot overflow 64 bits. */
	if (value > UINT32_MAX || value * unit->factor > max || value * unit->factor < min) {
		format_unit(min, quantity->units, quantity->unit_count, least, sizeof(least));
		format_unit(max, quantity->units, quantity->unit_count, most, sizeof(most));
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s` is out of range (%s to %s)", text,
				  least, most);
	}
	*ret = (uint32_t)(value * unit->factor);
	return 0;
}

int fl_value_duration(const char *text, uint32_t min_ms, uint32_t max_ms, uint32_t *ret_ms,
		      struct fl_err *err)
{
	return read_quantity(text, &duration, min_ms, max_ms, ret_ms, err);
}

int fl_value_size(const char *text, uint32_t min, uint32_t max, uint32_t *ret, struct fl_err *err)
{
	return read_quantity(text, &size, min, max, ret, err);
}

int fl_value_count(const char *text, uint32_t min, uint32_t max, uint32_t *ret, struct fl_err *err)
{
	uint64_t value = 0;
	size_t digits = read_digits(text, &value);

	if (digits == 0 || text[digits] != '\0') {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s` is not a whole number", text);
	}
	if (value < min || value > max) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s` is out of range (%u to %u)", text,
				  min, max);
	}
	*ret = (uint32_t)value;
	return 0;
}

/* --- text ---------------------------------------------------------------------------------- */

int fl_value_path(const char *text, size_t max, struct fl_err *err)
{
	if (text[0] == '\0') {
		return fl_err_set(err, FL_ERR_INVALID, "a path is missing");
	}
	if (text[0] != '/') {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is not an absolute path: it must begin with `/`", text);
	}
	if (strlen(text) > max) {
		return fl_err_set(err, FL_ERR_INVALID, "the path has %zu bytes, the maximum is %zu",
				  strlen(text), max);
	}
	return 0;
}

static int refuse_word(const char *text, const struct fl_word *words, size_t count,
		       struct fl_err *err)
{
	const char *names[SUGGEST_MAX];
	char suggestion[FL_SUGGEST_TEXT];
	char all[256] = "";
	size_t len = 0;

	FL_REQUIRE(count <= SUGGEST_MAX);
	for (size_t i = 0; i < count; i++) {
		names[i] = words[i].text;
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? ", " : "",
					words[i].text);
		FL_REQUIRE(len < sizeof(all));
	}
	(void)fl_suggest_text(fl_suggest(text, names, count), suggestion);
	return fl_err_set(err, FL_ERR_INVALID, "`%.100s` is not one of: %s%s", text, all,
			  suggestion);
}

int fl_value_word(const char *text, const struct fl_word *words, size_t count, unsigned *ret,
		  struct fl_err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i].text, text) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return refuse_word(text, words, count, err);
}

int fl_value_name(const char *text, struct fl_err *err)
{
	size_t len = strlen(text);
	bool letter = false;

	for (size_t i = 0; i < len; i++) {
		letter = letter || is_letter(text[i]);
		if (!is_letter(text[i]) && !is_digit(text[i]) && strchr("-_.", text[i]) == NULL) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"the name `%.100s` may only have letters, digits, `-`, `_` and "
				"`.`",
				text);
		}
	}
	if (!letter) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "the name `%.100s` needs a letter, otherwise it could be a port",
				  text);
	}
	if (len > NAME_MAX_BYTES) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "the name `%.100s` has %zu bytes, the maximum is %d", text, len,
				  NAME_MAX_BYTES);
	}
	return 0;
}

/* --- ports --------------------------------------------------------------------------------- */

bool fl_value_looks_like_ports(const char *text)
{
	return text[strspn(text, "0123456789-")] == '\0';
}

int fl_value_ports(const char *text, struct fl_port_range *ret, struct fl_err *err)
{
	uint64_t first = 0;
	uint64_t last = 0;
	size_t digits = read_digits(text, &first);
	size_t more = 0;

	last = first;
	if (digits > 0 && text[digits] == '-') {
		more = read_digits(text + digits + 1, &last);
		digits = more > 0 ? digits + 1 + more : 0;
	}
	if (digits == 0 || text[digits] != '\0') {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is neither a port nor a range such as 9000-9010", text);
	}
	if (first < 1 || first > UINT16_MAX || last < 1 || last > UINT16_MAX) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s`: ports go from 1 to 65535", text);
	}
	if (first > last) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: the first port of a range must not be above the last",
				  text);
	}
	*ret = (struct fl_port_range){(uint16_t)first, (uint16_t)last};
	return 0;
}

/* --- hosts with ports ---------------------------------------------------------------------- */

bool fl_value_looks_like_network(const char *host)
{
	return host[0] == '[' || strchr(host, '/') != NULL ||
	       host[strspn(host, "0123456789.")] == '\0';
}

static int refuse_bare_v6(const char *text, struct fl_err *err)
{
	return fl_err_set(
		err, FL_ERR_INVALID,
		"`%.100s`: write an IPv6 address in brackets, for example [fd00::1]:443 or "
		"[fd00::]/8:443",
		text);
}

/* What may follow the brackets: nothing, a port, or the bits of a network. */
static bool ends_well(const char *close)
{
	return close[1] == '\0' || close[1] == ':' || close[1] == '/';
}

int fl_value_host_ports(const char *text, char *host, struct fl_port_range *ret_ports,
			bool *ret_given, struct fl_err *err)
{
	const char *close = strchr(text, ']');
	const char *colon = strchr(close != NULL ? close : text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);

	if ((close != NULL) != (text[0] == '[') ||
	    (colon != NULL && strchr(colon + 1, ':') != NULL)) {
		return refuse_bare_v6(text, err);
	}
	if (close != NULL && !ends_well(close)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: `]` must be followed by `:` and the port, for example "
				  "[fd00::1]:443",
				  text);
	}
	if (len == 0 || len >= FL_VALUE_HOST) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is not HOST:PORT, for example 10.0.0.0/8:443", text);
	}
	memcpy(host, text, len);
	host[len] = '\0';
	*ret_given = colon != NULL;
	*ret_ports = FL_VALUE_ALL_PORTS;
	return colon != NULL && strcmp(colon, ":*") != 0 ? fl_value_ports(colon + 1, ret_ports, err)
							 : 0;
}

/* --- lists --------------------------------------------------------------------------------- */

static char *trimmed(const char *text, size_t len)
{
	while (len > 0 && (text[0] == ' ' || text[0] == '\t')) {
		text++;
		len--;
	}
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
		len--;
	}
	return fl_strndup(text, len);
}

int fl_value_list(const char *text, struct fl_list *ret, struct fl_err *err)
{
	struct fl_list list = {0};

	while (text != NULL && text[0] != '\0') {
		const char *comma = strchr(text, ',');
		char *item = trimmed(text, comma != NULL ? (size_t)(comma - text) : strlen(text));

		list.items = fl_grow(list.items, list.count + 1, sizeof(*list.items));
		list.items[list.count++] = item;
		if (item[0] == '\0' || (comma != NULL && comma[1] == '\0')) {
			fl_list_done(&list);
			return fl_err_set(err, FL_ERR_INVALID,
					  "a list item is missing before or after a comma");
		}
		text = comma != NULL ? comma + 1 : NULL;
	}
	*ret = list;
	return 0;
}

void fl_list_done(struct fl_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i]);
	}
	free(list->items);
	*list = (struct fl_list){0};
}
