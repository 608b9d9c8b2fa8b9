/* SPDX-License-Identifier: GPL-3.0-or-later */
/* yaml_word - the resolver of kubectl's YAML, without the values. Dates are texts there. */
#include "agent/import/yaml_word.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DIGITS "0123456789"

static const char *behind_sign(const char *text)
{
	return text + (*text == '+' || *text == '-');
}

static bool is_all(const char *text, const char *digits)
{
	return *text != '\0' && text[strspn(text, digits)] == '\0';
}

/* One that does not fit into 64 bits is a number, too. */
static bool is_integer(const char *text)
{
	const char *number = behind_sign(text), *digits = number + 2;

	if (number[0] != '0' || number[1] == '\0') {
		return is_all(number, DIGITS);
	}
	switch (number[1]) {
	case 'b':
		/* The resolver converts what follows `0b` by itself, and there it may have a sign. */
		return is_all(number == text ? behind_sign(digits) : digits, "01");
	case 'B':
		return is_all(digits, "01");
	case 'o':
	case 'O':
		return is_all(digits, "01234567");
	case 'x':
	case 'X':
		return is_all(digits, DIGITS "abcdefABCDEF");
	default:
		return is_all(number, DIGITS); /* octal, or else a fraction without a point */
	}
}

/* One that is too large is a text. */
static bool is_fraction(const char *text)
{
	const char *at = behind_sign(text);
	size_t whole = strspn(at, DIGITS),
	       part = at[whole] == '.' ? strspn(at + whole + 1, DIGITS) : 0;

	at += whole;
	at += *at == '.' ? 1 + part : 0;
	if (whole + part == 0) {
		return false;
	}
	return (*at == '\0' ||
		((*at == 'e' || *at == 'E') && is_all(behind_sign(at + 1), DIGITS))) &&
	       isfinite(strtod(text, NULL));
}

static char *without_underscores(const char *word)
{
	char *plain = fl_strdup(word), *end = plain;

	for (const char *c = word; *c != '\0'; c++) {
		if (*c != '_') {
			*end++ = *c;
		}
	}
	*end = '\0';
	return plain;
}

bool fl_yaml_word_is_typed(const char *word)
{
	static const char *const words[] = {
		"y",    "Y",     "yes",   "Yes",   "YES",   "n",     "N",    "no",   "No",
		"NO",   "on",    "On",    "ON",    "off",   "Off",   "OFF",  "true", "True",
		"TRUE", "false", "False", "FALSE", ".nan",  ".NaN",  ".NAN", ".inf", ".Inf",
		".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"};
	bool is = false;
	char *plain;

	for (size_t i = 0; i < FL_COUNT_OF(words); i++) {
		is = is || strcmp(word, words[i]) == 0;
	}
	if (is || word[0] == '\0' || strchr("+-." DIGITS, word[0]) == NULL) {
		return is;
	}
	plain = without_underscores(word);
	is = is_integer(plain) || is_fraction(plain);
	free(plain);
	return is;
}
