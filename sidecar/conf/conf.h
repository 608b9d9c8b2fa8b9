/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_CONF_H
#define FL_CONF_CONF_H
/* conf - the INI of both programs as one typed, immutable value. Parsed with inih.
 *
 * Parsing has no side effects: it opens nothing except the INI itself (and that only in fl_conf_load()),
 * and resolves nothing. Every problem of a file is reported, not only the first, each as
 * `FILE:LINE: what is wrong (did you mean ...?)`. Thread: any. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/cidr.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/problems.h"
#include "pki/credential_files.h"
#include "policy/policy.h"

#define FL_CONF_DEFAULT_PATH "/etc/fairlead/fairlead.ini"
#define FL_CONF_DEFAULT_SIDECAR_UID 2112
#define FL_CONF_MAX_SIZE (1024 * 1024) /* bytes of an INI */

enum fl_tls_group { FL_GROUP_X25519MLKEM768, FL_GROUP_X25519, FL_GROUP_P256 };
enum fl_tls_cipher { FL_CIPHER_AES_128_GCM, FL_CIPHER_AES_256_GCM, FL_CIPHER_CHACHA20 };
enum fl_tickets { FL_TICKETS_OFF, FL_TICKETS_ON };
/* How long an upstream's sessions carry app connections. */
enum fl_reuse {
	FL_REUSE_AUTO, /* as the server's address tells */
	FL_REUSE_OFF,
	FL_REUSE_ON,       /* long: the address is that of one server */
	FL_REUSE_BALANCED, /* not for long: the network chooses a server for each session */
};
enum fl_sandbox_switch { FL_SANDBOX_OFF, FL_SANDBOX_ON };
enum fl_log_access { FL_ACCESS_ALL, FL_ACCESS_FAILED, FL_ACCESS_DENIED, FL_ACCESS_OFF };

struct fl_conf_bundle { /* [federate TRUST_DOMAIN] */
	char *trust_domain;
	char *path;
	bool shared_root; /* the bundle may contain a root of another domain */
	bool doubtful;    /* of a lenient conf: the section has an error */
	fl_conf_line line;
};

enum fl_inbound_mode {
	FL_INBOUND_STRICT,     /* mutual TLS only, without detection */
	FL_INBOUND_PERMISSIVE, /* mutual TLS, or plaintext judged by policy; the app's own TLS passes */
	FL_INBOUND_PLAINTEXT, /* never TLS of ours; judged by policy */
};
struct fl_conf_inbound { /* how a port of the app is served */
	enum fl_inbound_mode mode;
	uint32_t detect_timeout_ms; /* permissive: a client silent for this long is plaintext */
	bool proxy_protocol;        /* version 2, towards the app */
};

struct fl_conf_service { /* [service NAME] */
	char *name;
	fl_conf_line line;
	struct fl_addr listen; /* IP or ANY: a fixed listener; NONE: a captured port of the app */
	struct fl_addr app;    /* IP or UNIX; NONE for a captured port: the original destination */
	bool remote;           /* app may be an address of another machine */
	uint16_t port;         /* its port in rules: that of listen, or the captured one */
	/* Application protocols (ALPN) for clients of other kinds, separated by commas; NULL: only ours. */
	char *alpn;
	bool access_stated; /* false: [log] access decides */
	enum fl_log_access access;
	/* Keys that the section lacks: for a captured port the values of [inbound], for a fixed listener the
	 * defaults of the program (strict). */
	struct fl_conf_inbound inbound;
};

/* Destinations of captured traffic: a network or a name, and ports. */
struct fl_conf_dest {
	char *host;         /* DNS name; NULL: net */
	struct fl_cidr net; /* one address, or more */
	bool any_net;       /* one half of a `*`: net is all of IPv4, or behind it all of IPv6 */
	struct fl_port_range ports;
};
enum fl_outbound_mode { FL_OUTBOUND_MTLS, FL_OUTBOUND_PLAINTEXT, FL_OUTBOUND_REFUSE };

struct fl_conf_upstream { /* [upstream NAME]; also [outbound], with no name and nothing that it matches */
	char *name;
	fl_conf_line line;
	enum fl_outbound_mode mode;
	struct fl_addr listen; /* IP, ANY or UNIX: a fixed listener; NONE: captured traffic */
	struct fl_addr
		*to; /* fixed: IP or NAME, at least one; dialled in order until one answers */
	size_t to_count;
	struct fl_conf_dest *dests; /* captured: which destinations it is for, at least one */
	size_t dest_count;
	struct fl_pattern **peer; /* who may answer; empty: any identity of our own trust domain */
	size_t peer_count;
	/* Plaintext: where the addresses of its names may lie; empty: anywhere. */
	struct fl_cidr *within;
	size_t within_count;
	/* Application protocols (ALPN) to offer instead of ours, separated by commas; NULL: ours, or none after a server
	 * has refused ours. */
	char *alpn;
	bool mutual_optional; /* mtls: accept a server that does not ask for our certificate */
	enum fl_reuse reuse;
};

/* Traffic that [redirect] captures or excludes: every part that is given must match. */
struct fl_conf_selector {
	bool any_net;       /* false: net */
	struct fl_cidr net; /* of the far end: inbound the source, outbound the destination */
	struct fl_port_range ports; /* 0 to 65535: all */
	char *interface;            /* interface of arrival or departure; NULL: any */
};
struct fl_conf_selectors {
	struct fl_conf_selector *items;
	size_t count;
};
/* TCP connections that the pod forwards for containers inside it. */
enum fl_forwarded { FL_FORWARDED_DROP, FL_FORWARDED_COUNT, FL_FORWARDED_CAPTURE };
enum fl_redirect_mode { FL_REDIRECT_NAT, FL_REDIRECT_TPROXY };
enum fl_on_change { FL_CHANGE_KEEP, FL_CHANGE_CLOSE };

struct fl_conf {
	char *path;
	struct {
		/* The path of each file (NULL: none is set), and `cert_line` and so on. Either cert and key are set, or
		 * credential_bundle. */
#define FL_CONF_IDENTITY_FILE(name, is_secret)                                                     \
	char *name;                                                                                \
	fl_conf_line name##_line;
		FL_CREDENTIAL_FILES(FL_CONF_IDENTITY_FILE)
#undef FL_CONF_IDENTITY_FILE
	} identity;
	struct fl_conf_bundle *federate;
	size_t federate_count;
	struct {
		struct fl_addr *inbound; /* IP or ANY: captured traffic arrives here */
		size_t inbound_count;
		bool inbound_stated; /* false: the INI leaves `inbound` at its default */
		struct fl_addr *outbound;
		size_t outbound_count;
		struct fl_addr admin; /* IP, ANY or NONE */
		bool admin_everywhere; /* all clients may read details; false: only clients on loopback */
		char *control;         /* path of the tools' socket; NULL: none */
		unsigned workers; /* 0 = auto */
		uint32_t drain_ms;
		enum fl_sandbox_switch sandbox;
	} sidecar;
	struct {
		char *socket;           /* path */
		uid_t sidecar_uid, uid; /* uid: the agent's own */
		uint32_t signatures;    /* at most so many a second */
		enum fl_sandbox_switch sandbox;
		bool doubtful; /* of a lenient conf: the section has an error, or may be the one that has another name */
	} agent;
	struct {
		enum fl_tls_group groups[3];
		size_t group_count;
		enum fl_tls_cipher ciphers[3];
		size_t cipher_count;
		/* The same in the INI's words (literals), as the TLS layer expects them. */
		const char *group_names[3], *cipher_names[3];
		enum fl_tickets tickets;
		bool reuse;          /* sessions carry app connections one after another */
		bool key_in_sidecar; /* it gets our private key; false: the agent signs */
	} tls;
	struct fl_conf_inbound inbound;   /* of captured ports that no [service] names */
	struct fl_conf_upstream outbound; /* of captured destinations that no [upstream] names */
	struct fl_conf_service *services;
	size_t service_count;
	struct fl_conf_upstream *upstreams;
	size_t upstream_count;
	struct fl_policy *policy; /* frozen */
	struct {
		uint32_t connections;
		uint32_t handshakes;
		uint32_t handshake_timeout_ms, connect_timeout_ms, peer_timeout_ms;
		uint32_t idle_timeout_ms; /* 0: never */
		uint32_t buffer;          /* bytes that one direction of a connection may buffer */
		uint32_t max_age_ms;      /* 0: no limit */
	} limits;
	struct {
		enum fl_on_change on_trust_loss, on_expiry, on_policy_loss;
		uint32_t recycle_ms; /* 0: never */
	} rotation;
	struct {
		fl_conf_line line; /* of [redirect]; 0: the INI has none, these are the defaults */
		enum fl_redirect_mode mode;
		struct fl_conf_selectors inbound_ports, exclude_inbound, outbound, exclude_outbound;
		enum fl_forwarded forwarded;
		bool drop_other_protocols; /* false: they are counted */
	} redirect;
	struct {
		enum fl_log_level level;
		enum fl_log_format format;
		enum fl_log_access access;
	} log;
};

/* Parses text, which came from `path` (used in messages and in rules). Returns FL_ERR_INVALID if there
 * was at least one error (ret untouched); problems has all errors and warnings. With warnings only it returns 0. */
int fl_conf_parse(const char *path, const char *text, size_t len, struct fl_conf **ret,
		  struct fl_problems *problems) FL_MUST_USE;

/* Reads the file (bounded) and parses it. ret_text (may be NULL): the text, to free(). */
int fl_conf_load(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
		 struct fl_problems *problems) FL_MUST_USE;

/* The same for a tool that needs what is right in an INI that is refused, such as the address of the running sidecar: what has
 * an error has its default, and sections without a name, [federate] sections without a bundle, and rules with an error, are left
 * out. FL_OK as soon as the text could be read, and is no larger than an INI may be; problems->errors tells whether the INI is
 * refused. Never run with the result. */
int fl_conf_parse_lenient(const char *path, const char *text, size_t len, struct fl_conf **ret,
			  struct fl_problems *problems) FL_MUST_USE;
int fl_conf_load_lenient(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
			 struct fl_problems *problems) FL_MUST_USE;

/* The same for a process that has a log: makes it, as the INI asks for (if the INI cannot be read: with the defaults), and
 * writes the problems there. program: borrowed. After an error, *ret_log is usable and *ret untouched. */
int fl_conf_start(const char *path, int fd, const char *program, struct fl_conf **ret,
		  struct fl_log *ret_log) FL_MUST_USE;

/* Checks the directories of `[agent] socket`: only root, these two users and this process's own may be able to create
 * something there. Errors: FL_ERR_INVALID with the remedy. */
int fl_conf_guard_socket(const char *socket, uid_t agent, uid_t sidecar,
			 struct fl_err *err) FL_MUST_USE;

/* Who keeps the value of a key with which it was started. */
enum fl_program { FL_PROGRAM_SIDECAR = 1, FL_PROGRAM_AGENT = 2, FL_PROGRAM_BOTH = 3 };
/* The keys of `wanted` that require a restart of that program, which was started with `running`: a list for people, of
 * FL_RESTART_KEYS_MAX at most, to free(); NULL: none, everything applies at once. */
#define FL_RESTART_KEYS_MAX 32u
char *fl_conf_restart_keys(const struct fl_conf *running, const struct fl_conf *wanted,
			   enum fl_program program);

/* The keys of `wanted` that have no effect until the rules of capture are loaded again, if those in force are from `applied`:
 * a list for people, to free(); NULL: none. */
char *fl_conf_capture_keys(const struct fl_conf *applied, const struct fl_conf *wanted);
/* A number below FL_CAPTURE_PRINTS for the settings that the rules of capture depend on: INIs that give the same rules have
 * the same number (base/capture.h). */
uint32_t fl_conf_capture_print(const struct fl_conf *conf);

/* Look-ups of sections. NULL: there is none. */
const struct fl_conf_service *fl_conf_find_service(const struct fl_conf *conf, const char *name);
/* captured: the one with this `port`; otherwise the first one with `listen` on that port. */
const struct fl_conf_service *fl_conf_find_port(const struct fl_conf *conf, uint16_t port,
						bool captured);
const struct fl_conf_upstream *fl_conf_find_upstream(const struct fl_conf *conf, const char *name);
const struct fl_conf_bundle *fl_conf_find_bundle(const struct fl_conf *conf,
						 const char *trust_domain);

/* Does its `within` allow its names that address? */
bool fl_conf_is_within(const struct fl_conf_upstream *upstream, const struct fl_cidr *address);

/* As the INI writes them: "strict", "mtls". Static. */
const char *fl_inbound_mode_word(enum fl_inbound_mode mode);
const char *fl_outbound_mode_word(enum fl_outbound_mode mode);

/* "443", "9000-9010", "*"; returns buf. */
#define FL_CONF_PORTS_TEXT 32
const char *fl_conf_ports_format(const struct fl_port_range *range, char buf[FL_CONF_PORTS_TEXT]);
/* "10.0.0.0/8:443", "[fd00::]/8:443", "ledger:8443"; returns buf. */
#define FL_CONF_DEST_TEXT 320
const char *fl_conf_dest_format(const struct fl_conf_dest *dest, char buf[FL_CONF_DEST_TEXT]);
/* "15020", "10.0.0.0/8", "10.0.0.1:443", "interface:eth1", "*"; returns buf. */
const char *fl_conf_selector_format(const struct fl_conf_selector *selector,
				    char buf[FL_CONF_DEST_TEXT]);

/* Frees the sections that are repeated, or have no name, and those [federate] whose name or path is refused, for parse.c: only a
 * lenient conf has some. */
void fl_conf_drop_unusable(struct fl_conf *conf);

void fl_conf_free(struct fl_conf *conf);

#endif
