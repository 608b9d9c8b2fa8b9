/* SPDX-License-Identifier: GPL-3.0-or-later */
/* conf - from text to struct fl_conf: defaults, settings, checks, policy.
 *
 * Each step goes on after a problem, so that one run shows all problems; without an error the caller gets
 * the result. Otherwise it fails with FL_ERR_INVALID (or FL_ERR_IO for a file that cannot be read,
 * FL_ERR_NOMEM), and problems has the reasons. */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/mem.h"
#include "conf/build.h"
#include "conf/values.h"
#include "policy/lint.h"

static struct fl_addr *add_default(struct fl_addr *list, size_t *count, const char *text)
{
	list = fl_grow(list, *count + 1, sizeof(*list));
	FL_REQUIRE(fl_addr_parse(text, FL_ADDR_ALLOW_ANY, &list[(*count)++], NULL) == 0);
	return list;
}

static void set_default_listeners(struct fl_conf *conf)
{
	size_t *count = &conf->sidecar.outbound_count;

	conf->sidecar.inbound = add_default(NULL, &conf->sidecar.inbound_count, "*:15006");
	conf->sidecar.outbound = add_default(NULL, count, "127.0.0.1:15001");
	conf->sidecar.outbound = add_default(conf->sidecar.outbound, count, "[::1]:15001");
	FL_REQUIRE(fl_addr_parse("*:15020", FL_ADDR_ALLOW_ANY, &conf->sidecar.admin, NULL) == 0);
}

static void select_default(struct fl_conf_selectors *list, const char *net,
			   struct fl_port_range ports)
{
	struct fl_conf_selector selector = {.any_net = net == NULL, .ports = ports};

	FL_REQUIRE(net == NULL || fl_cidr_parse(net, &selector.net, NULL) == 0);
	list->items = fl_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = selector;
}

/* Excludes our admin port, and what an app needs to reach without the sidecar: cloud metadata and DNS. */
static void set_default_redirect(struct fl_conf *conf)
{
	select_default(&conf->redirect.inbound_ports, NULL, FL_VALUE_ALL_PORTS);
	select_default(&conf->redirect.exclude_inbound, NULL, (struct fl_port_range){15020, 15020});
	select_default(&conf->redirect.outbound, NULL, FL_VALUE_ALL_PORTS);
	select_default(&conf->redirect.exclude_outbound, "169.254.169.254/32", FL_VALUE_ALL_PORTS);
	select_default(&conf->redirect.exclude_outbound, NULL, (struct fl_port_range){53, 53});
}

static const struct fl_conf_inbound default_inbound = {.mode = FL_INBOUND_STRICT,
						       .detect_timeout_ms = 300};

static struct fl_conf *conf_new(const char *path)
{
	struct fl_conf *conf = fl_new(sizeof(*conf));

	*conf = (struct fl_conf){
		.path = fl_strdup(path),
		.sidecar = {.control = fl_strdup("/run/fairlead/sidecar.sock"),
			    .workers = 0,
			    .drain_ms = 30 * 1000},
		.agent = {.socket = fl_strdup("/run/fairlead/agent.sock"),
			  .sidecar_uid = 2112,
			  .uid = 2113},
		.tls = {.groups = {FL_GROUP_X25519MLKEM768, FL_GROUP_X25519, FL_GROUP_P256},
			.group_count = 3,
			.ciphers = {FL_CIPHER_AES_128_GCM, FL_CIPHER_AES_256_GCM,
				    FL_CIPHER_CHACHA20},
			.cipher_count = 3,
			.tickets = FL_TICKETS_ON},
		.inbound = default_inbound,
		.outbound = {.mode = FL_OUTBOUND_MTLS},
		.rotation = {.on_trust_loss = FL_CHANGE_CLOSE, .on_policy_loss = FL_CHANGE_CLOSE},
		.limits = {.connections = 20000,
			   .handshakes = 512,
			   .handshake_timeout_ms = 10 * 1000,
			   .connect_timeout_ms = 5 * 1000,
			   .idle_timeout_ms = 3600 * 1000,
			   .peer_timeout_ms = 30 * 1000,
			   .buffer = 64 * 1024},
		.log = {.level = FL_LOG_INFO, .format = FL_LOG_JSON, .access = FL_ACCESS_ALL},
	};
	set_default_listeners(conf);
	set_default_redirect(conf);
	return conf;
}

/* --- the end of a build -------------------------------------------------------------------- */

static void keep_lines(struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

#define KEEP_LINE(name, is_secret)                                                                 \
	conf->identity.name##_line = fl_build_line(build, "identity", NULL, #name);
	FL_CREDENTIAL_FILES(KEEP_LINE)
	conf->outbound.line = fl_build_line(build, "outbound", NULL, "default");
	conf->redirect.line = fl_build_line(build, "redirect", NULL, "");
}

/* Keys that a service lacks: [inbound] for a captured port, the defaults for a fixed listener. */
static void inherit_inbound(struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

	for (size_t i = 0; i < conf->service_count; i++) {
		struct fl_conf_service *service = &conf->services[i];
		bool fixed = service->listen.kind != FL_ADDR_NONE;
		struct fl_conf_inbound inbound = fixed ? default_inbound : conf->inbound;

		if (service->name == NULL) {
			continue;
		}
		if (!fl_build_has(build, "service", service->name, "mode")) {
			service->inbound.mode = inbound.mode;
		}
		if (!fl_build_has(build, "service", service->name, "detect_timeout")) {
			service->inbound.detect_timeout_ms = inbound.detect_timeout_ms;
		}
		if (!fl_build_has(build, "service", service->name, "proxy_protocol")) {
			service->inbound.proxy_protocol = inbound.proxy_protocol;
		}
		if (fixed) {
			service->port = service->listen.port;
		}
	}
}

static void make_policy(struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

	conf->policy = fl_policy_new(build->default_effect, build->audit);
	for (size_t i = 0; i < build->rule_count; i++) {
		struct fl_rule_draft *rule = &build->rules[i];
		struct fl_rule_spec spec = {
			.name = rule->name,
			.effect = rule->effect,
			.audit = rule->audit,
			.file = conf->path,
			.line = rule->line,
			.from = rule->is.from,
			.from_count = rule->is.from_count,
			.plaintext = rule->plaintext,
			.ports = rule->is.ports,
			.port_count = rule->is.port_count,
			.services = (const char *const *)rule->is.services,
			.service_count = rule->is.service_count,
			.sources = rule->is.sources,
			.source_count = rule->is.source_count,
			.except =
				{
					.from = rule->except.from,
					.from_count = rule->except.from_count,
					.ports = rule->except.ports,
					.port_count = rule->except.port_count,
					.services = (const char *const *)rule->except.services,
					.service_count = rule->except.service_count,
					.sources = rule->except.sources,
					.source_count = rule->except.source_count,
				},
		};

		fl_policy_add(conf->policy, &spec);
		rule->is.from_count = rule->except.from_count =
			0; /* the policy has taken them over */
	}
}

static void warn_of_rule(void *user, unsigned line, const char *text)
{
	struct fl_build *build = user;

	fl_problem_warning(build->problems, line, "%s", text);
}

static void rule_part_done(struct fl_rule_part *part)
{
	for (size_t i = 0; i < part->from_count; i++) {
		fl_pattern_free(part->from[i]);
	}
	for (size_t i = 0; i < part->service_count; i++) {
		free(part->services[i]);
	}
	free(part->from);
	free(part->ports);
	free(part->services);
	free(part->sources);
}

static void build_done(struct fl_build *build)
{
	for (size_t i = 0; i < build->rule_count; i++) {
		rule_part_done(&build->rules[i].is);
		rule_part_done(&build->rules[i].except);
	}
	free(build->rules);
}

int fl_conf_parse(const char *path, const char *text, size_t len, struct fl_conf **ret,
		  struct fl_problems *problems)
{
	struct fl_ini ini;
	struct fl_build build = {.ini = &ini, .problems = problems, .default_effect = FL_DENY};
	size_t before = problems->errors;
	int rc;

	if (len > FL_CONF_MAX_SIZE) {
		fl_problem_error(problems, 0, "the INI has %zu bytes, the maximum is %d", len,
				 FL_CONF_MAX_SIZE);
		return FL_ERR_INVALID;
	}
	rc = fl_ini_read(text, len, &ini, problems);
	if (rc != 0) {
		return rc;
	}
	build.conf = conf_new(path);
	fl_build_settings(&build);
	inherit_inbound(&build);
	fl_build_check(&build);
	if (problems->errors == before) {
		keep_lines(&build);
		make_policy(&build);
		fl_policy_lint(build.conf->policy, warn_of_rule, &build);
		fl_build_tls_names(build.conf);
		*ret = build.conf;
	} else {
		fl_conf_free(build.conf);
		rc = FL_ERR_INVALID;
	}
	build_done(&build);
	fl_ini_done(&ini);
	fl_problems_sort(problems);
	return rc;
}

/* --- loading ------------------------------------------------------------------------------- */

/* Reads at most size bytes; returns how many, or -1 with errno. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, buf + len, size - len);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			return -1;
		}
		if (got == 0) {
			break;
		}
		len += (size_t)got;
	}
	return (ssize_t)len;
}

static int refuse_file(struct fl_problems *problems, const char *what, int sys)
{
	struct fl_err err = {0};
	int rc = fl_err_sys(&err, sys, "%s", what);

	fl_problem_error(problems, 0, "%s", err.text);
	return rc;
}

/* The whole file as a string, to free(). */
static int read_file(const char *path, char **ret_text, size_t *ret_len,
		     struct fl_problems *problems)
{
	/* O_NONBLOCK: a FIFO in this place must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info;
	char *text;
	ssize_t len;
	int sys;

	if (fd < 0 && errno == ENOENT) {
		fl_problem_error(problems, 0, "there is no such file: -c FILE names the INI");
		return FL_ERR_IO;
	}
	if (fd < 0) {
		return refuse_file(problems, "the INI cannot be opened", errno);
	}
	if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
		(void)close(fd);
		fl_problem_error(problems, 0, "the INI is not a regular file");
		return FL_ERR_IO;
	}
	text = fl_new(FL_CONF_MAX_SIZE + 2); /* fl_conf_parse() refuses one byte too many */
	len = read_all(fd, text, FL_CONF_MAX_SIZE + 1);
	sys = errno;
	(void)close(fd);
	if (len < 0) {
		free(text);
		return refuse_file(problems, "the INI cannot be read", sys);
	}
	*ret_text = fl_grow(text, (size_t)len + 1, 1);
	*ret_len = (size_t)len;
	return 0;
}

int fl_conf_load(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
		 struct fl_problems *problems)
{
	char *text = NULL;
	size_t len = 0;
	int rc = read_file(path, &text, &len, problems);

	if (rc != 0) {
		return rc;
	}
	rc = fl_conf_parse(path, text, len, ret, problems);
	if (rc == 0 && ret_text != NULL) {
		*ret_text = text;
		*ret_len = len;
	} else {
		free(text);
	}
	return rc;
}

/* --- the end ------------------------------------------------------------------------------- */

static void free_upstream(struct fl_conf_upstream *upstream)
{
	for (size_t i = 0; i < upstream->peer_count; i++) {
		fl_pattern_free(upstream->peer[i]);
	}
	for (size_t i = 0; i < upstream->dest_count; i++) {
		free(upstream->dests[i].host);
	}
	free(upstream->peer);
	free(upstream->dests);
	free(upstream->to);
	free(upstream->within);
	free(upstream->alpn);
	free(upstream->name);
}

static void free_selectors(struct fl_conf_selectors *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].interface);
	}
	free(list->items);
}

int fl_conf_guard_socket(const char *socket, uid_t agent, uid_t sidecar, struct fl_err *err)
{
	const uid_t trusted[] = {agent, sidecar, geteuid()};
	struct fl_err cause;

	if (fl_guarded_path(socket, trusted, FL_COUNT_OF(trusted), &cause) == FL_OK) {
		return FL_OK;
	}
	return fl_err_set(
		err, FL_ERR_INVALID,
		"%s; give `[agent] socket` its own directory, which belongs to the agent's "
		"user and has mode 0755; fairlead-agent creates it below a sticky directory, for example "
		"`socket = /run/fairlead/agent/agent.sock` in a volume of a pod",
		cause.text);
}

void fl_conf_free(struct fl_conf *conf)
{
	if (conf == NULL) {
		return;
	}
	for (size_t i = 0; i < conf->federate_count; i++) {
		free(conf->federate[i].trust_domain);
		free(conf->federate[i].path);
	}
	for (size_t i = 0; i < conf->service_count; i++) {
		free(conf->services[i].name);
		free(conf->services[i].alpn);
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		free_upstream(&conf->upstreams[i]);
	}
	free_upstream(&conf->outbound);
	free_selectors(&conf->redirect.inbound_ports);
	free_selectors(&conf->redirect.exclude_inbound);
	free_selectors(&conf->redirect.outbound);
	free_selectors(&conf->redirect.exclude_outbound);
	free(conf->sidecar.inbound);
	free(conf->sidecar.outbound);
	free(conf->sidecar.control);
	free(conf->federate);
	free(conf->services);
	free(conf->upstreams);
#define FREE_PATH(name, is_secret) free(conf->identity.name);
	FL_CREDENTIAL_FILES(FREE_PATH)
	free(conf->agent.socket);
	fl_policy_free(conf->policy);
	free(conf->path);
	free(conf);
}
