/* SPDX-License-Identifier: GPL-3.0-or-later */
/* addr - reads and writes the addresses of the INI.
 *
 * `unix:` is checked first, then brackets; otherwise the last colon separates host and port. Every
 * refusal is FL_ERR_INVALID with the text (its start, so that the rest of the sentence fits), the
 * problem, and what is expected. IPv4 written inside IPv6 (`[::ffff:10.0.0.1]`) becomes IPv4,
 * so that equal addresses are equal bytes. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PREFIX "unix:"
#define LABEL_MAX 63
#define NAME_MAX_BYTES 253 /* RFC 1035, without the final dot */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_label_byte(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
	       c == '_';
}

/* --- parts --------------------------------------------------------------------------------- */

static int parse_port(const char *text, const char *port, unsigned allow, uint16_t *ret,
		      struct fl_err *err)
{
	size_t len = strlen(port);
	unsigned value = 0;

	for (size_t i = 0; i < len && i < 6; i++) {
		if (!is_digit(port[i])) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "`%.100s`: the port `%.100s` is not a number", text,
					  port);
		}
		value = value * 10 + (unsigned)(port[i] - '0');
	}
	if (len == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: the port after the colon is missing", text);
	}
	if (len > 5 || value > 65535 || (len > 1 && port[0] == '0')) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: the port must be a number from 1 to 65535", text);
	}
	if (value == 0 && (allow & FL_ADDR_ALLOW_ZERO) == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: port 0 is not allowed here, write 1 to 65535", text);
	}
	*ret = (uint16_t)value;
	return 0;
}

static void set_v4(struct fl_addr *addr, struct in_addr ip, uint16_t port)
{
	addr->kind = FL_ADDR_IP;
	addr->port = port;
	addr->sa_len = sizeof(addr->sa.in);
	addr->sa.in.sin_family = AF_INET;
	addr->sa.in.sin_port = htons(port);
	addr->sa.in.sin_addr = ip;
}

static void set_v6(struct fl_addr *addr, enum fl_addr_kind kind, struct in6_addr ip, uint16_t port)
{
	addr->kind = kind;
	addr->port = port;
	addr->sa_len = sizeof(addr->sa.in6);
	addr->sa.in6.sin6_family = AF_INET6;
	addr->sa.in6.sin6_port = htons(port);
	addr->sa.in6.sin6_addr = ip;
}

/* A DNS name: labels of letters, digits, `-` and `_`; a final dot is allowed. The last label must not be a number:
 * that would be a mistyped IPv4 address. */
static bool is_dns_name(const char *host, size_t len)
{
	size_t label = 0;
	bool digits = true;

	if (len > 0 && host[len - 1] == '.') {
		len--;
	}
	if (len == 0 || len > NAME_MAX_BYTES) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (host[i] == '.') {
			if (label == 0 || host[i - 1] == '-') {
				return false;
			}
			label = 0;
			digits = true;
			continue;
		}
		if (!is_label_byte(host[i]) || (label == 0 && host[i] == '-') ||
		    ++label > LABEL_MAX) {
			return false;
		}
		digits = digits && is_digit(host[i]);
	}
	return label > 0 && host[len - 1] != '-' && !digits;
}

/* --- the four forms ------------------------------------------------------------------------ */

static int parse_unix(const char *text, unsigned allow, struct fl_addr *ret, struct fl_err *err)
{
	const char *path = text + strlen(UNIX_PREFIX);
	size_t len = strlen(path);

	if ((allow & FL_ADDR_ALLOW_UNIX) == 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: a Unix socket is not allowed here, write for example 127.0.0.1:8080",
			text);
	}
	if (path[0] != '/') {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: the path of a Unix socket must begin with `/`, for example unix:/run/app/web.sock",
			text);
	}
	if (len >= sizeof(ret->sa.un.sun_path)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: the path of a Unix socket has at most %zu bytes, this one has %zu",
			text, sizeof(ret->sa.un.sun_path) - 1, len);
	}
	memset(ret, 0, sizeof(*ret));
	ret->kind = FL_ADDR_UNIX;
	ret->sa_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	ret->sa.un.sun_family = AF_UNIX;
	memcpy(ret->sa.un.sun_path, path, len + 1);
	return 0;
}

static int parse_v6(const char *text, unsigned allow, struct fl_addr *ret, struct fl_err *err)
{
	const char *close = strchr(text, ']');
	char host[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	uint16_t port;
	size_t len;
	int rc;

	if (close == NULL || close[1] != ':') {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: write an IPv6 address as [V6]:PORT, for example [::1]:8080",
			text);
	}
	len = (size_t)(close - text) - 1;
	if (memchr(text, '%', len + 1) != NULL) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: zones (`%%eth0`) are not supported, use a global address", text);
	}
	if (len >= sizeof(host)) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s`: this is not an IPv6 address",
				  text);
	}
	memcpy(host, text + 1, len);
	host[len] = '\0';
	if (inet_pton(AF_INET6, host, &ip) != 1) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s`: `%s` is not an IPv6 address",
				  text, host);
	}
	rc = parse_port(text, close + 2, allow, &port, err);
	if (rc != 0) {
		return rc;
	}
	memset(ret, 0, sizeof(*ret));
	if (IN6_IS_ADDR_V4MAPPED(&ip)) {
		struct in_addr v4;

		memcpy(&v4, &ip.s6_addr[12], sizeof(v4));
		set_v4(ret, v4, port);
	} else {
		set_v6(ret, FL_ADDR_IP, ip, port);
	}
	return 0;
}

static int parse_any(const char *text, unsigned allow, struct fl_addr *ret, struct fl_err *err)
{
	uint16_t port;
	int rc;

	if ((allow & FL_ADDR_ALLOW_ANY) == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: `*` is an address to listen on, not one to connect to",
				  text);
	}
	rc = parse_port(text, text + 2, allow, &port, err);
	if (rc != 0) {
		return rc;
	}
	memset(ret, 0, sizeof(*ret));
	set_v6(ret, FL_ADDR_ANY, in6addr_any, port);
	return 0;
}

static bool looks_like_v4(const char *host)
{
	return strspn(host, "0123456789.") == strlen(host);
}

static int parse_name(const char *text, const char *host, uint16_t port, unsigned allow,
		      struct fl_addr *ret, struct fl_err *err)
{
	size_t len = strlen(host);

	if (looks_like_v4(host)) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s`: `%.100s` is not an IPv4 address",
				  text, host);
	}
	if (!is_dns_name(host, len)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: `%.100s` is neither an IP address nor a DNS name",
				  text, host);
	}
	if ((allow & FL_ADDR_ALLOW_NAME) == 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: a DNS name is not allowed here, write the IP address, for example 127.0.0.1:%u",
			text, port);
	}
	memset(ret, 0, sizeof(*ret));
	ret->kind = FL_ADDR_NAME;
	ret->port = port;
	memcpy(ret->host, host, len + 1);
	return 0;
}

int fl_addr_parse(const char *text, unsigned allow, struct fl_addr *ret, struct fl_err *err)
{
	const char *colon = strrchr(text, ':');
	char host[sizeof(ret->host)];
	struct in_addr ip;
	uint16_t port;
	size_t len;
	int rc;

	if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
		return parse_unix(text, allow, ret, err);
	}
	if (text[0] == '[') {
		return parse_v6(text, allow, ret, err);
	}
	if (colon == NULL || colon == text) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s` is not an address, write HOST:PORT, for example 127.0.0.1:8080",
			text);
	}
	if (strchr(text, ':') != colon) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: write an IPv6 address in brackets, for example [::1]:8080",
			text);
	}
	if (strncmp(text, "*:", 2) == 0) {
		return parse_any(text, allow, ret, err);
	}
	len = (size_t)(colon - text);
	if (len >= sizeof(host)) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s`: a DNS name has at most %d bytes",
				  text, NAME_MAX_BYTES);
	}
	memcpy(host, text, len);
	host[len] = '\0';
	rc = parse_port(text, colon + 1, allow, &port, err);
	if (rc != 0) {
		return rc;
	}
	if (inet_pton(AF_INET, host, &ip) == 1) {
		memset(ret, 0, sizeof(*ret));
		set_v4(ret, ip, port);
		return 0;
	}
	return parse_name(text, host, port, allow, ret, err);
}

/* --- kinds of addresses ------------------------------------------------------------------- */

bool fl_ip_is_loopback(int family, const uint8_t *ip)
{
	static const uint8_t one[16] = {[15] = 1};
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (family == AF_INET) {
		return ip[0] == IN_LOOPBACKNET;
	}
	return memcmp(ip, one, sizeof(one)) == 0 ||
	       (memcmp(ip, mapped, sizeof(mapped)) == 0 && ip[12] == IN_LOOPBACKNET);
}

union fl_sockaddr fl_sockaddr_loopback(int family, uint16_t port)
{
	union fl_sockaddr sa = {0};

	if (family == AF_INET) {
		sa.in.sin_family = AF_INET;
		sa.in.sin_port = htons(port);
		sa.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		sa.in6.sin6_family = AF_INET6;
		sa.in6.sin6_port = htons(port);
		sa.in6.sin6_addr = in6addr_loopback;
	}
	return sa;
}

static const uint8_t *ip_of(const struct fl_addr *addr)
{
	return addr->sa.any.sa_family == AF_INET ? (const uint8_t *)&addr->sa.in.sin_addr
						 : addr->sa.in6.sin6_addr.s6_addr;
}

bool fl_addr_is_loopback(const struct fl_addr *addr)
{
	return addr->kind == FL_ADDR_IP && fl_ip_is_loopback(addr->sa.any.sa_family, ip_of(addr));
}

bool fl_addr_is_unspecified(const struct fl_addr *addr)
{
	static const uint8_t zeros[16];

	return addr->kind == FL_ADDR_IP &&
	       memcmp(ip_of(addr), zeros, addr->sa.any.sa_family == AF_INET ? 4 : 16) == 0;
}

/* --- writing ------------------------------------------------------------------------------- */

static void format_v6(const struct sockaddr_in6 *in6, char *buf)
{
	char ip[INET6_ADDRSTRLEN] = "";

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		(void)inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], ip, sizeof(ip));
		(void)snprintf(buf, FL_ADDR_TEXT, "%s:%u", ip, ntohs(in6->sin6_port));
		return;
	}
	(void)inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
	if (in6->sin6_scope_id != 0) {
		(void)snprintf(buf, FL_ADDR_TEXT, "[%s%%%u]:%u", ip, in6->sin6_scope_id,
			       ntohs(in6->sin6_port));
	} else {
		(void)snprintf(buf, FL_ADDR_TEXT, "[%s]:%u", ip, ntohs(in6->sin6_port));
	}
}

const char *fl_sockaddr_format(const struct sockaddr *sa, char *buf)
{
	const union fl_sockaddr *any = (const union fl_sockaddr *)(const void *)sa;
	char ip[INET_ADDRSTRLEN] = "";

	switch (sa != NULL ? sa->sa_family : AF_UNSPEC) {
	case AF_INET:
		(void)inet_ntop(AF_INET, &any->in.sin_addr, ip, sizeof(ip));
		(void)snprintf(buf, FL_ADDR_TEXT, "%s:%u", ip, ntohs(any->in.sin_port));
		break;
	case AF_INET6:
		format_v6(&any->in6, buf);
		break;
	case AF_UNIX:
		/* The path of an unnamed socket is empty; a path of full length has no NUL. */
		(void)snprintf(buf, FL_ADDR_TEXT, "unix:%.*s", (int)sizeof(any->un.sun_path),
			       any->un.sun_path);
		break;
	default:
		(void)snprintf(buf, FL_ADDR_TEXT, "-");
		break;
	}
	return buf;
}

const char *fl_addr_format(const struct fl_addr *addr, char *buf)
{
	switch (addr->kind) {
	case FL_ADDR_NONE:
		(void)snprintf(buf, FL_ADDR_TEXT, "-");
		break;
	case FL_ADDR_ANY:
		(void)snprintf(buf, FL_ADDR_TEXT, "*:%u", addr->port);
		break;
	case FL_ADDR_NAME:
		(void)snprintf(buf, FL_ADDR_TEXT, "%s:%u", addr->host, addr->port);
		break;
	case FL_ADDR_IP:
	case FL_ADDR_UNIX:
		return fl_sockaddr_format(&addr->sa.any, buf);
	}
	return buf;
}
