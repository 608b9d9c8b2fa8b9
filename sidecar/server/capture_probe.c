/* SPDX-License-Identifier: GPL-3.0-or-later */
/* capture_probe - one timer and at most one socket.
 *
 *  *	IDLE -> DIALING -> HANGING -> (next question, next family, or) IDLE
 *
 * Over IPv4 the first question asks for the rules of the current INI; a yes answers everything.
 * After a no, the probe asks whether there are rules at all, then whether they have a fingerprint,
 * and then for the fingerprint again, because the rules may just have been replaced.
 *
 * A refused dial means that the rules are absent. A dial that connects proves nothing by itself,
 * because an app may listen on that port: what matters is whether one of our listeners has counted
 * it when it ends. A dial that gets no answer in time changes nothing: busy workers must not make
 * the sidecar unready. */
#include "server/capture_probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/capture.h"
#include "base/mem.h"

#define SOON_MS 20        /* while the listeners are opening */
#define ACTIVE_MS 3000    /* how soon removed rules are noticed */
#define ABSENT_MS 1000    /* how soon new rules are noticed where the INI expects them */
#define UNWANTED_MS 10000 /* how soon new rules are noticed where it does not */
#define ANSWER_MS 2000

enum question { PRINT, RULES, PRINTED, PRINT_AGAIN, REFUSED_INBOUND, REFUSED_OUTBOUND };

struct fl_capture_probe {
	struct fl_net *net;
	struct fl_log *log;
	fl_capture_count_cb count;
	void *user;
	bool wanted;     /* by the INI */
	bool was_active; /* the rules */
	uint32_t print;  /* of the INI */
	bool asks[FL_CAPTURE_FAMILIES];
	struct fl_capture capture;
	bool stopped;
	uv_timer_t timer;
	/* Of the dial that is under way. */
	struct fl_sock *sock; /* NULL: there is none */
	enum fl_capture_family family;
	enum question question;
	bool is_stale; /* the INI has changed since the first question was asked */
	uint64_t count_before;
};

static const char *ip_version(enum fl_capture_family family)
{
	return family == FL_CAPTURE_INET ? "IPv4" : "IPv6";
}

/* --- results --------------------------------------------------------------------------- */

bool fl_capture_usable(const struct fl_capture *capture, uid_t sidecar_uid, char *reason,
		       size_t size)
{
	bool active = false;

	reason[0] = '\0';
	if (!capture->expected) {
		return true;
	}
	for (int i = 0; i < FL_CAPTURE_FAMILIES; i++) {
		active = active || capture->states[i] == FL_CAPTURE_ACTIVE;
		if (capture->states[i] != FL_CAPTURE_ABSENT) {
			continue;
		}
		if (getuid() != sidecar_uid) {
			(void)snprintf(
				reason, size,
				"the rules of capture are not in force for %s, or not for this "
				"user: run the sidecar as `[agent] sidecar_uid` (%u, it is %u), "
				"and `fairlead-agent redirect apply` in its pod",
				ip_version(i), (unsigned)sidecar_uid, (unsigned)getuid());
		} else {
			(void)snprintf(reason, size,
				       "the rules of capture are not in force for %s: run "
				       "`fairlead-agent redirect apply` in this pod",
				       ip_version(i));
		}
		return false;
	}
	if (capture->rules == FL_CAPTURE_RULES_OUTDATED) {
		(void)snprintf(
			reason, size,
			"the rules of capture in force are not those of the INI, so its captures "
			"and exclusions are not in force: run `fairlead-agent redirect apply` in "
			"this pod, or start a new one");
		return false;
	}
	if (!active) {
		(void)snprintf(reason, size,
			       "it is not known whether the rules of capture are "
			       "in force");
	}
	return active;
}

static void log_change(const struct fl_capture_probe *probe, enum fl_capture_state before,
		       enum fl_capture_state now)
{
	const char *version = ip_version(probe->family);

	if (now == FL_CAPTURE_ACTIVE) {
		fl_log_msg(probe->log, FL_LOG_INFO, "the rules of capture are in force for %s",
			   version);
	} else if (now == FL_CAPTURE_ABSENT && probe->capture.expected) {
		fl_log_msg(probe->log, FL_LOG_WARN,
			   "the rules of capture are %s for %s: run `fairlead-agent redirect "
			   "apply` in this pod",
			   before == FL_CAPTURE_ACTIVE ? "no longer in force" : "not in force",
			   version);
	}
}

static void set_expected(struct fl_capture_probe *probe)
{
	bool asks = probe->asks[FL_CAPTURE_INET] || probe->asks[FL_CAPTURE_INET6];

	probe->capture.expected = asks && (probe->wanted || probe->was_active);
}

static void learn(struct fl_capture_probe *probe, enum fl_capture_state state)
{
	enum fl_capture_state *known = &probe->capture.states[probe->family], before = *known;

	if (state == before) {
		return;
	}
	*known = state;
	probe->was_active = probe->was_active || state == FL_CAPTURE_ACTIVE;
	set_expected(probe);
	probe->capture.since = (int64_t)time(NULL);
	log_change(probe, before, state);
}

static void learn_rules(struct fl_capture_probe *probe, enum fl_capture_rules rules)
{
	enum fl_capture_rules before = probe->capture.rules;

	probe->capture.rules = rules;
	if (rules == FL_CAPTURE_RULES_OUTDATED && before != rules) {
		fl_log_msg(probe->log, FL_LOG_WARN,
			   "the rules of capture in force are not those of the INI: run "
			   "`fairlead-agent redirect apply` in this pod");
	} else if (rules == FL_CAPTURE_RULES_CURRENT && before == FL_CAPTURE_RULES_OUTDATED) {
		fl_log_msg(probe->log, FL_LOG_INFO,
			   "the rules of capture in force are those of the INI again");
	}
}

static void learn_refused(struct fl_capture_probe *probe, enum fl_capture_way way, bool refused)
{
	if (refused && !probe->capture.refused[way]) {
		fl_log_msg(probe->log, FL_LOG_WARN,
			   "the rules of capture have refused TCP that would have %s past the "
			   "sidecar: `fairlead-agent redirect print` with NET_ADMIN in this pod "
			   "shows the count of each rule",
			   way == FL_CAPTURE_INBOUND ? "come in" : "gone out");
	}
	probe->capture.refused[way] = refused;
}

/* --- one dial ------------------------------------------------------------------------------------ */

static void ask(struct fl_capture_probe *probe);

static void on_timer(uv_timer_t *timer);

static void wait_for(struct fl_capture_probe *probe, uint64_t ms)
{
	if (!probe->stopped) {
		FL_REQUIRE(uv_timer_start(&probe->timer, on_timer, ms, 0) == 0);
	}
}

static uint64_t pause_ms(const struct fl_capture *capture)
{
	for (int i = 0; i < FL_CAPTURE_FAMILIES; i++) {
		if (capture->states[i] == FL_CAPTURE_ABSENT) {
			return capture->expected ? ABSENT_MS : UNWANTED_MS;
		}
	}
	return capture->rules == FL_CAPTURE_RULES_OUTDATED ? ABSENT_MS : ACTIVE_MS;
}

static void end_round(struct fl_capture_probe *probe)
{
	probe->family = FL_CAPTURE_INET;
	probe->question = PRINT;
	probe->is_stale = false;
	wait_for(probe, pause_ms(&probe->capture));
}

/* Asks what the rules have refused, if they are in force; one question covers both families. */
static void ask_refused(struct fl_capture_probe *probe)
{
	for (int i = 0; i < FL_CAPTURE_FAMILIES; i++) {
		if (probe->asks[i] && probe->capture.states[i] == FL_CAPTURE_ACTIVE) {
			probe->family = i;
			probe->question = REFUSED_INBOUND;
			ask(probe);
			return;
		}
	}
	probe->capture.refused_known = false;
	memset(probe->capture.refused, 0, sizeof(probe->capture.refused));
	end_round(probe);
}

static void next(struct fl_capture_probe *probe)
{
	if (probe->question >= REFUSED_INBOUND) {
		end_round(probe);
	} else if (probe->family == FL_CAPTURE_INET) {
		probe->family = FL_CAPTURE_INET6;
		probe->question = RULES;
		ask(probe);
	} else {
		ask_refused(probe);
	}
}

static bool has_come(const struct fl_capture_probe *probe)
{
	uint64_t now = 0;

	return probe->count(probe->user, &now) && now != probe->count_before;
}

static void go_on(struct fl_capture_probe *probe, enum question question)
{
	probe->question = question;
	ask(probe);
}

/* The rules are in force. This is reported together with what is known about them, not earlier. */
static void learn_both(struct fl_capture_probe *probe, enum fl_capture_rules rules)
{
	learn_rules(probe, rules);
	learn(probe, FL_CAPTURE_ACTIVE);
	next(probe);
}

static void answer(struct fl_capture_probe *probe, bool come)
{
	switch (probe->question) {
	case PRINT:
		if (come) {
			learn_both(probe, FL_CAPTURE_RULES_CURRENT);
		} else {
			go_on(probe, RULES);
		}
		break;
	case RULES:
		if (come && probe->family == FL_CAPTURE_INET) {
			go_on(probe, PRINTED);
			break;
		}
		if (probe->family == FL_CAPTURE_INET) {
			learn_rules(probe, FL_CAPTURE_RULES_UNKNOWN);
		}
		learn(probe, come ? FL_CAPTURE_ACTIVE : FL_CAPTURE_ABSENT);
		next(probe);
		break;
	case PRINTED:
		if (come) {
			go_on(probe, PRINT_AGAIN);
		} else {
			learn_both(probe, FL_CAPTURE_RULES_UNKNOWN);
		}
		break;
	case PRINT_AGAIN:
		learn_both(probe, come ? FL_CAPTURE_RULES_CURRENT : FL_CAPTURE_RULES_OUTDATED);
		break;
	case REFUSED_INBOUND:
		learn_refused(probe, FL_CAPTURE_INBOUND, come);
		go_on(probe, REFUSED_OUTBOUND);
		break;
	case REFUSED_OUTBOUND:
		learn_refused(probe, FL_CAPTURE_OUTBOUND, come);
		probe->capture.refused_known = true;
		next(probe);
		break;
	}
}

/* sys: how it ended, a negative uv error or 0. */
static void finish(struct fl_capture_probe *probe, int sys)
{
	bool has_answer = sys == UV_ECONNREFUSED || sys == 0, come = has_come(probe);

	fl_sock_reset(probe->sock);
	probe->sock = NULL;
	if (probe->is_stale && probe->family == FL_CAPTURE_INET) {
		probe->is_stale = false;
		go_on(probe, PRINT);
	} else if (come || has_answer) {
		answer(probe, come);
	} else {
		if (probe->question < REFUSED_INBOUND &&
		    (sys == UV_EADDRNOTAVAIL || sys == UV_ENETUNREACH || sys == UV_EAFNOSUPPORT)) {
			learn(probe, FL_CAPTURE_UNKNOWN);
		}
		next(probe);
	}
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	(void)data;
	(void)len;
	finish(user, 0); /* a process that is not ours has answered */
}

static void on_eof(void *user)
{
	finish(user, 0);
}

static void on_drain(void *user)
{
	(void)user;
}

static void on_error(void *user, int sys)
{
	finish(user, sys == UV_ECONNRESET ? 0 : sys);
}

static const struct fl_sock_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

static void on_dialled(void *user, int sys)
{
	struct fl_capture_probe *probe = user;

	if (sys != 0) {
		finish(probe, sys == UV_ECONNRESET ? 0 : sys);
	} else {
		fl_sock_read_start(probe->sock);
	}
}

static uint32_t ipv4_of(const struct fl_capture_probe *probe)
{
	switch (probe->question) {
	case PRINT:
	case PRINT_AGAIN:
		return FL_CAPTURE_PRINT_BASE + probe->print;
	case PRINTED:
		return FL_CAPTURE_PRINTED;
	case RULES:
	case REFUSED_INBOUND:
	case REFUSED_OUTBOUND:
		break;
	}
	return INADDR_LOOPBACK;
}

static uint16_t port_of(const struct fl_capture_probe *probe)
{
	return probe->question == REFUSED_INBOUND    ? FL_CAPTURE_REFUSED_INBOUND_PORT
	       : probe->question == REFUSED_OUTBOUND ? FL_CAPTURE_REFUSED_OUTBOUND_PORT
						     : FL_CAPTURE_PROBE_PORT;
}

static union fl_sockaddr address_of(const struct fl_capture_probe *probe)
{
	union fl_sockaddr to = {0};

	if (probe->family == FL_CAPTURE_INET) {
		to.in = (struct sockaddr_in){.sin_family = AF_INET,
					     .sin_port = htons(port_of(probe)),
					     .sin_addr.s_addr = htonl(ipv4_of(probe))};
	} else {
		to.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
					       .sin6_port = htons(port_of(probe)),
					       .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	}
	return to;
}

static void ask(struct fl_capture_probe *probe)
{
	union fl_sockaddr to = address_of(probe);
	struct fl_dial dial = {.to = &to.any};
	struct fl_err err;

	if (!probe->asks[probe->family]) {
		next(probe);
		return;
	}
	if (!probe->count(probe->user, &probe->count_before)) {
		wait_for(probe, SOON_MS);
		return;
	}
	if (fl_sock_dial(probe->net, &dial, &events, probe, on_dialled, &probe->sock, &err) == 0) {
		wait_for(probe, ANSWER_MS);
		return;
	}
	probe->sock = NULL;
	if (probe->question >= REFUSED_INBOUND) {
		end_round(probe);
		return;
	}
	if (err.sys == EAFNOSUPPORT || err.sys == EADDRNOTAVAIL || err.sys == ENETUNREACH) {
		learn(probe, FL_CAPTURE_UNKNOWN);
	}
	next(probe);
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_capture_probe *probe = FL_CONTAINER_OF(timer, struct fl_capture_probe, timer);

	if (probe->sock != NULL) {
		finish(probe, UV_ETIMEDOUT);
	} else {
		ask(probe);
	}
}

/* --- life ---------------------------------------------------------------------------------------- */

static bool has_family(const struct fl_addr *addrs, size_t count, sa_family_t family)
{
	for (size_t i = 0; i < count; i++) {
		if (addrs[i].kind == FL_ADDR_ANY || addrs[i].sa.any.sa_family == family) {
			return true;
		}
	}
	return false;
}

/* The rules lead the dial to the outbound listener, or to the inbound one if there is no other. */
static bool has_listener(const struct fl_conf *conf, sa_family_t family)
{
	if (conf->sidecar.outbound_count > 0) {
		return has_family(conf->sidecar.outbound, conf->sidecar.outbound_count, family);
	}
	return has_family(conf->sidecar.inbound, conf->sidecar.inbound_count, family);
}

struct fl_capture_probe *fl_capture_probe_open(struct fl_net *net, const struct fl_conf *conf,
					       struct fl_log *log, fl_capture_count_cb count,
					       void *user)
{
	struct fl_capture_probe *probe = fl_new(sizeof(*probe));

	probe->net = net;
	probe->log = log;
	probe->count = count;
	probe->user = user;
	probe->asks[FL_CAPTURE_INET] = has_listener(conf, AF_INET);
	probe->asks[FL_CAPTURE_INET6] = has_listener(conf, AF_INET6);
	FL_REQUIRE(uv_timer_init(net->loop, &probe->timer) == 0);
	probe->stopped = !probe->asks[FL_CAPTURE_INET] && !probe->asks[FL_CAPTURE_INET6];
	fl_capture_probe_expect(probe, conf);
	wait_for(probe, SOON_MS);
	return probe;
}

void fl_capture_probe_expect(struct fl_capture_probe *probe, const struct fl_conf *conf)
{
	bool before = probe->capture.expected;
	uint32_t print = fl_conf_capture_print(conf);
	bool is_other = print != probe->print;

	probe->wanted = conf->redirect.line != 0;
	probe->print = print;
	probe->is_stale = probe->is_stale || (is_other && probe->sock != NULL);
	set_expected(probe);
	if (((probe->capture.expected && !before) || is_other) && probe->sock == NULL) {
		wait_for(probe, SOON_MS); /* sooner than the interval for unexpected rules */
	}
}

const struct fl_capture *fl_capture_probe_state(const struct fl_capture_probe *probe)
{
	return &probe->capture;
}

void fl_capture_probe_stop(struct fl_capture_probe *probe)
{
	probe->stopped = true;
	(void)uv_timer_stop(&probe->timer);
	if (probe->sock != NULL) {
		fl_sock_reset(probe->sock);
		probe->sock = NULL;
	}
}

static void on_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct fl_capture_probe, timer));
}

void fl_capture_probe_close(struct fl_capture_probe *probe)
{
	fl_capture_probe_stop(probe);
	uv_close((uv_handle_t *)&probe->timer, on_closed);
}
