/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_CONF_H
#define FL_CONF_CONF_H
/* conf - the INI of both programs as one typed, immutable value. Parsed with inih.
 *
 * Parsing has no side effects: nothing is opened but the INI itself (and that only by fl_conf_load),
 * nothing is resolved. Every problem of a file is reported, not only the first, each as
 * `FILE:LINE: what is wrong (did you mean ...?)`. A key whose feature is not built is an error of its own
 * ("not supported yet"), never accepted in silence. Thread: any. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "policy/policy.h"

#define FL_CONF_DEFAULT_PATH "/etc/fairlead/fairlead.ini"
#define FL_CONF_MAX_SIZE (1024 * 1024) /* bytes of an INI */

/* Where a setting stands; 0 = not in the file (default). */
typedef unsigned fl_conf_line;

enum fl_tls_group { FL_GROUP_X25519MLKEM768, FL_GROUP_X25519, FL_GROUP_P256 };
enum fl_tls_cipher { FL_CIPHER_AES_128_GCM, FL_CIPHER_AES_256_GCM, FL_CIPHER_CHACHA20 };
enum fl_tickets { FL_TICKETS_OFF, FL_TICKETS_ON };
enum fl_log_access { FL_ACCESS_ALL, FL_ACCESS_DENIED, FL_ACCESS_OFF };

struct fl_conf_bundle { /* [federate TRUST_DOMAIN] */
	char *trust_domain;
	char *path;
	fl_conf_line line;
};

struct fl_conf_service { /* [service NAME], fixed listener */
	char *name;
	fl_conf_line line;
	struct fl_addr listen; /* IP or ANY; its port is what rules call the port of this service */
	struct fl_addr app;    /* IP or UNIX */
};

struct fl_conf_upstream { /* [upstream NAME], fixed listener */
	char *name;
	fl_conf_line line;
	struct fl_addr listen; /* IP, ANY or UNIX */
	struct fl_addr *to;    /* IP or NAME, at least one; dialled in order until one answers */
	size_t to_count;
	struct fl_pattern **peer; /* who may answer; empty: any identity of our own trust domain */
	size_t peer_count;
};

struct fl_conf {
	char *path;
	struct {
		char *cert, *key, *bundle, *credential_bundle; /* cert+key, or credential_bundle */
		char *crl;                                     /* NULL: there is none */
		fl_conf_line cert_line, key_line, bundle_line, credential_bundle_line, crl_line;
	} identity;
	struct fl_conf_bundle *federate;
	size_t federate_count;
	struct {
		struct fl_addr admin; /* IP, ANY or NONE */
		unsigned workers;     /* 0 = auto */
		uint32_t drain_ms;
	} sidecar;
	struct {
		char *socket; /* path */
		uid_t sidecar_uid;
	} agent;
	struct {
		enum fl_tls_group groups[3];
		size_t group_count;
		enum fl_tls_cipher ciphers[3];
		size_t cipher_count;
		/* The same in the INI's words (literals), as the TLS layer takes them. */
		const char *group_names[3], *cipher_names[3];
		enum fl_tickets tickets;
	} tls;
	struct fl_conf_service *services;
	size_t service_count;
	struct fl_conf_upstream *upstreams;
	size_t upstream_count;
	struct fl_policy *policy; /* frozen */
	struct {
		uint32_t connections;
		uint32_t handshakes;
		uint32_t handshake_timeout_ms, connect_timeout_ms, idle_timeout_ms;
		uint32_t buffer; /* bytes a direction of a connection may hold back */
	} limits;
	struct {
		enum fl_log_level level;
		enum fl_log_format format;
		enum fl_log_access access;
	} log;
};

/* Problems found, errors first by line. */
enum fl_problem_kind { FL_PROBLEM_ERROR, FL_PROBLEM_WARNING };
struct fl_problem {
	enum fl_problem_kind kind;
	fl_conf_line line; /* 0: the file as a whole */
	char *text;        /* without FILE:LINE */
};
struct fl_problems {
	struct fl_problem *items; /* owned */
	size_t count;
	size_t errors; /* how many of them are errors */
};
void fl_problems_done(struct fl_problems *problems);

/* Parses text, which came from `path` (used in messages and in rules). Returns FL_ERR_INVALID when there
 * was at least one error (ret untouched); problems then has them all. Warnings alone are success. */
int fl_conf_parse(const char *path, const char *text, size_t len, struct fl_conf **ret,
		  struct fl_problems *problems) FL_MUST_USE;

/* Reads the file (bounded) and parses it. ret_text (may be NULL): the text, to free(). */
int fl_conf_load(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
		 struct fl_problems *problems) FL_MUST_USE;

/* Writes each problem as `FILE:LINE: [warning: ]text\n` to stream (stdio, stderr usually). */
void fl_problems_print(const struct fl_problems *problems, const char *path, void *stream);

/* What of `wanted` takes a restart of the programs that were started with `running`: the keys as a list for
 * people, to free(); NULL: nothing, all of it applies at once. */
char *fl_conf_restart_keys(const struct fl_conf *running, const struct fl_conf *wanted);

void fl_conf_free(struct fl_conf *conf);

#endif
