/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "admin/accept.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

struct part {
	const char *at;
	size_t len;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Removes the next part up to the separator from *rest, without spaces around it. A quoted string is a part of its own kind:
 * separators in it do not count. False: there is no more. */
static bool take(struct part *rest, char separator, struct part *ret)
{
	bool is_quoted = false;
	size_t len = 0;

	if (rest->at == NULL) {
		return false;
	}
	while (len < rest->len && (is_quoted || rest->at[len] != separator)) {
		is_quoted ^= rest->at[len] == '"';
		len++;
	}
	*ret = (struct part){rest->at, len};
	*rest = len < rest->len ? (struct part){rest->at + len + 1, rest->len - len - 1}
				: (struct part){NULL, 0};
	while (ret->len > 0 && is_space(ret->at[0])) {
		ret->at++;
		ret->len--;
	}
	while (ret->len > 0 && is_space(ret->at[ret->len - 1])) {
		ret->len--;
	}
	return true;
}

static bool is(struct part part, const char *word)
{
	return part.len == strlen(word) && strncasecmp(part.at, word, part.len) == 0;
}

/* Returns thousandths: "1", "0.5", "0.999". Anything else counts as 0: it is not asked for. */
static unsigned weight_of(struct part value)
{
	unsigned weight = 0, unit = 1000;

	for (size_t i = 0; i < value.len && i < 5; i++) {
		if (i == 1 && value.at[i] == '.') {
			continue;
		}
		if (i == 1 || value.at[i] < '0' || value.at[i] > '9') {
			return 0;
		}
		weight += (unsigned)(value.at[i] - '0') * unit;
		unit /= 10;
	}
	return weight <= 1000 ? weight : 0;
}

struct range {
	struct part type, version; /* version: without quotes; length 0: none is named */
	unsigned weight;
};

static struct range parse(struct part text)
{
	struct range range = {.weight = 1000};
	struct part parameter, name;

	(void)take(&text, ';', &range.type);
	while (take(&text, ';', &parameter)) {
		if (!take(&parameter, '=', &name) || parameter.at == NULL) {
			continue;
		}
		if (is(name, "q")) {
			range.weight = weight_of(parameter);
		} else if (is(name, "version")) {
			range.version = parameter;
		}
	}
	if (range.version.len >= 2 && range.version.at[0] == '"') {
		range.version.at++;
		range.version.len -= 2;
	}
	return range;
}

bool fl_accept_openmetrics(const char *accept)
{
	struct part rest = {accept, strlen(accept)}, text;
	unsigned open = 0, plain = 0;

	while (take(&rest, ',', &text)) {
		struct range range = parse(text);
		unsigned *weight = is(range.type, "text/plain") ? &plain : NULL;

		if (is(range.type, "application/openmetrics-text") &&
		    (range.version.len == 0 || is(range.version, "1.0.0"))) {
			weight = &open;
		}
		if (weight != NULL && range.weight > *weight) {
			*weight = range.weight;
		}
	}
	return open > 0 && open >= plain;
}
