/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_VALUES_H
#define FL_CONF_VALUES_H
/* values - the types of the INI: text in, value out. Pure. For conf, and for
 * command lines that know the same types.
 *
 * Errors: FL_ERR_INVALID, with the problem; the caller, who knows the key, adds it and an example. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/policy.h"

/* `250ms`, `30s`, `5m`, `1h`; a bare `0` too. Bounds and result in milliseconds. */
int fl_value_duration(const char *text, uint32_t min_ms, uint32_t max_ms, uint32_t *ret_ms,
		      struct fl_err *err) FL_MUST_USE;

/* `4096B`, `64KiB`, `1MiB`, `1GiB`. Bounds and result in bytes. */
int fl_value_size(const char *text, uint32_t min, uint32_t max, uint32_t *ret,
		  struct fl_err *err) FL_MUST_USE;

/* Decimal digits. */
int fl_value_count(const char *text, uint32_t min, uint32_t max, uint32_t *ret,
		   struct fl_err *err) FL_MUST_USE;

/* A full path of at most max bytes. */
int fl_value_path(const char *text, size_t max, struct fl_err *err) FL_MUST_USE;

/* One of a fixed set of words. */
struct fl_word {
	const char *text;
	unsigned value;
};
int fl_value_word(const char *text, const struct fl_word *words, size_t count, unsigned *ret,
		  struct fl_err *err) FL_MUST_USE;

/* `8080` or `9000-9010`. */
int fl_value_ports(const char *text, struct fl_port_range *ret, struct fl_err *err) FL_MUST_USE;
/* Does text consist of digits and `-` only, so that it is meant as a port or a range? */
bool fl_value_looks_like_ports(const char *text);

/* `HOST` or `HOST:PORTS`, as destinations and selectors are written: PORTS is a port, a range or `*`, HOST is
 * `*`, a name, an address or a network, with an IPv6 address in brackets (`[fd00::]/8:443`). host: of
 * FL_VALUE_HOST bytes, brackets included; it is not checked further. ret_ports: FL_VALUE_ALL_PORTS for `*`
 * and without PORTS; ret_given: were there PORTS? */
#define FL_VALUE_HOST 300
#define FL_VALUE_ALL_PORTS ((struct fl_port_range){0, UINT16_MAX})
int fl_value_host_ports(const char *text, char *host, struct fl_port_range *ret_ports,
			bool *ret_given, struct fl_err *err) FL_MUST_USE;
/* Is a HOST meant as an address or a network? Otherwise it is a name. */
bool fl_value_looks_like_network(const char *host);

/* The name of a service, an upstream or a rule. */
int fl_value_name(const char *text, struct fl_err *err) FL_MUST_USE;

/* Comma separated; items are trimmed and not empty. Empty text is an empty list. */
struct fl_list {
	char **items;
	size_t count;
};
int fl_value_list(const char *text, struct fl_list *ret, struct fl_err *err) FL_MUST_USE;
void fl_list_done(struct fl_list *list);

#endif
