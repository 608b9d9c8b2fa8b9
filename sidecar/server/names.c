/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names and their questions.
 *
 * Happy path: a walk tries the candidates of a name (the name itself, and the name within each
 * search domain of resolv.conf) and asks one A and one AAAA question for each. The first candidate
 * with an address ends the search. The walk still waits for the other half, but connections can use
 * the first half at once.
 *
 * Failure: "no such name" in answer to an A question holds for both halves, so the next candidate
 * follows immediately; so it does when a candidate is too long for a name. A question without an answer ends the walk, because a later candidate would
 * be a different name. A failure that the server itself reports does not end the walk, as with
 * other resolvers (domains of a lost upstream server are searched first). Earlier answers are
 * kept. */
#include "server/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "base/mem.h"
#include "server/dns.h"

#define MIN_TTL_MS 5000u
#define MAX_TTL_MS 300000u
#define MIN_BACKOFF_MS 500u
#define MAX_BACKOFF_MS 15000u
#define WANTED_BACKOFF_MS 1000u /* while a connection waits for it */
#define WANTED_MS 5000u         /* how long one fl_name_want() counts, unless it is repeated */

static const int families[2] = {AF_INET, AF_INET6}; /* of the halves */

struct walk {
	struct walk *next;
	struct fl_names *names;
	struct fl_name *name; /* NULL: it has been dropped */
	char **candidates;
	size_t count, at;
	uint64_t started_ms;
	unsigned outstanding;         /* open questions, including those about earlier candidates */
	bool is_answered[2];          /* of this candidate */
	enum fl_dns_status status[2]; /* where it is */
	bool found;                   /* this candidate is the name */
	bool is_over;                 /* its remaining answers are ignored */
	/* it is asking questions; answers may arrive inside the call */
	bool is_issuing;
	/* status of a candidate without an answer; FOUND: there is none */
	enum fl_dns_status trouble;
	bool has_name; /* a candidate exists, without addresses */
};

struct question {
	struct walk *walk;
	size_t at;
	unsigned half;
};

struct fl_names {
	uv_loop_t *loop;
	const struct fl_names_events *events;
	void *user;
	struct fl_dns *dns;
	struct fl_name *list;
	struct walk *walks;
	uv_timer_t timer;
	bool closing;
};

static void on_timer(uv_timer_t *timer);
static void evaluate(struct walk *walk);

/* --- answers ------------------------------------------------------------------------- */

static bool may_ask(const struct fl_name *name);

/* Of one family. */
static bool is_same(const union fl_sockaddr *a, const union fl_sockaddr *b)
{
	return a->any.sa_family == AF_INET
		       ? a->in.sin_addr.s_addr == b->in.sin_addr.s_addr
		       : IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

static const struct fl_name_answer *answer_of(const struct fl_name_half *half,
					      const union fl_sockaddr *addr)
{
	for (size_t i = 0; i < half->count; i++) {
		if (is_same(&half->items[i].addr, addr)) {
			return &half->items[i];
		}
	}
	return NULL;
}

/* True: it has other addresses now. An answer may repeat an address; it counts once. */
static bool set_half(struct fl_name_half *half, const union fl_sockaddr *addrs, size_t count,
		     uint64_t asked_ms)
{
	struct fl_name_half next = {.items = fl_new((count + 1) * sizeof(*next.items)),
				    .answered_ms = asked_ms};
	bool differs = false;

	for (size_t i = 0; i < count; i++) {
		const struct fl_name_answer *known = answer_of(half, &addrs[i]);

		if (answer_of(&next, &addrs[i]) != NULL) {
			continue;
		}
		next.items[next.count++] = (struct fl_name_answer){
			.addr = addrs[i], .since_ms = known != NULL ? known->since_ms : asked_ms};
		differs = differs || known == NULL;
	}
	differs = differs || next.count != half->count;
	free(half->items);
	*half = next;
	return differs;
}

static void set_timer(struct fl_names *names)
{
	uint64_t now = uv_now(names->loop), at = UINT64_MAX;
	const struct fl_name *name;

	if (names->walks != NULL) {
		at = now + FL_DNS_TICK_MS;
	}
	LL_FOREACH(names->list, name)
	{
		if (may_ask(name) && name->due_ms < at) {
			at = name->due_ms;
		}
	}
	if (at != UINT64_MAX && !names->closing) {
		FL_REQUIRE(uv_timer_start(&names->timer, on_timer, at > now ? at - now : 0, 0) ==
			   0);
	}
}

static bool set_state(struct fl_name *name, enum fl_name_state state, enum fl_dns_status status)
{
	bool differs = name->state != state || name->status != status;

	name->state = state;
	name->status = status;
	return differs;
}

static void report(struct fl_names *names, struct fl_name *name, bool differs)
{
	if (!names->closing) {
		names->events->on_answer(names->user, name, differs);
	}
}

static uint64_t due_after(const struct walk *walk, uint64_t ttl_ms)
{
	uint64_t ms = ttl_ms < MIN_TTL_MS ? MIN_TTL_MS : ttl_ms > MAX_TTL_MS ? MAX_TTL_MS : ttl_ms;

	return uv_now(walk->names->loop) + ms;
}

/* A half of the candidate that is the name. count 0: it has no such address. */
static void take_half(struct walk *walk, unsigned half, const union fl_sockaddr *addrs,
		      size_t count, uint64_t ttl_ms)
{
	struct fl_name *name = walk->name;
	uint64_t due = due_after(walk, ttl_ms);
	bool differs;

	if (name->halves[half].answered_ms > walk->started_ms) {
		walk->found = walk->found || count > 0;
		return; /* a later question has already been answered */
	}
	differs = set_half(&name->halves[half], addrs, count, walk->started_ms);
	if (count > 0) {
		differs = set_state(name, FL_NAME_KNOWN, FL_DNS_FOUND) || differs;
		name->backoff_ms = 0;
		if (name->walk == walk && (!walk->found || due < name->due_ms)) {
			name->due_ms = due;
		}
		walk->found = true;
	}
	report(walk->names, name, differs);
}

static void conclude(struct walk *walk, enum fl_name_state state, enum fl_dns_status status)
{
	struct fl_name *name = walk->name;
	uint64_t now = uv_now(walk->names->loop);
	bool is_wanted = name->wanted_ms != 0 && now - name->wanted_ms < WANTED_MS;
	uint64_t most = is_wanted ? WANTED_BACKOFF_MS : MAX_BACKOFF_MS;

	walk->is_over = true;
	if (name->walk != walk) {
		return; /* a later answer is already in place */
	}
	name->walk = NULL;
	name->backoff_ms = name->backoff_ms == 0 ? MIN_BACKOFF_MS : name->backoff_ms * 2;
	name->backoff_ms = name->backoff_ms < most ? name->backoff_ms : most;
	name->due_ms = now + name->backoff_ms;
	for (unsigned half = 0; half < 2 && state == FL_NAME_MISSING; half++) {
		/* The question was answered; the older addresses that are kept are all that is
		 * known. */
		name->halves[half].answered_ms = walk->started_ms;
	}
	report(walk->names, name, set_state(name, state, status));
}

/* --- questions --------------------------------------------------------------------------------- */

static void free_walk(struct walk *walk)
{
	LL_DELETE(walk->names->walks, walk);
	for (size_t i = 0; i < walk->count; i++) {
		free(walk->candidates[i]);
	}
	free(walk->candidates);
	free(walk);
}

static void on_reply(void *user, enum fl_dns_status status, const union fl_sockaddr *addrs,
		     size_t count, uint64_t ttl_ms)
{
	struct question *question = user;
	struct walk *walk = question->walk;

	walk->outstanding--;
	if (!walk->is_over && walk->name != NULL && question->at == walk->at) {
		walk->is_answered[question->half] = true;
		walk->status[question->half] = status;
		if (status == FL_DNS_FOUND) {
			take_half(walk, question->half, addrs, count, ttl_ms);
		}
	}
	free(question);
	if (!walk->is_issuing) {
		evaluate(walk);
	}
}

static void ask_candidate(struct walk *walk)
{
	walk->is_issuing = true;
	walk->is_answered[0] = walk->is_answered[1] = false;
	walk->status[0] = walk->status[1] = FL_DNS_FOUND;
	for (unsigned half = 0; half < 2; half++) {
		struct question *question = fl_new(sizeof(*question));

		*question = (struct question){.walk = walk, .at = walk->at, .half = half};
		walk->outstanding++;
		fl_dns_ask(walk->names->dns, walk->candidates[walk->at], families[half], on_reply,
			   question);
	}
	walk->is_issuing = false;
}

/* Some servers answer an AAAA question with "no such name" although the name has an A record (RFC
 * 4074 section 4.2). */
static bool has_no_name(const struct walk *walk)
{
	return walk->is_answered[0] && walk->status[0] == FL_DNS_NO_NAME;
}

/* This candidate does not exist. True: there is a next one to ask about. */
static bool goes_on(struct walk *walk)
{
	bool is_none = has_no_name(walk) || walk->status[1] == FL_DNS_NO_NAME;

	for (unsigned half = 0; half < 2 && !is_none; half++) {
		enum fl_dns_status status = walk->status[half];

		if (status == FL_DNS_NO_ADDRESS) {
			walk->has_name = true;
		} else {
			walk->trouble = status;
		}
		if (status == FL_DNS_NO_ANSWER || status == FL_DNS_ENDED) {
			return false;
		}
	}
	return ++walk->at < walk->count;
}

static void end_search(struct walk *walk)
{
	if (walk->trouble != FL_DNS_FOUND) {
		conclude(walk, FL_NAME_FAILING, walk->trouble);
	} else {
		conclude(walk, FL_NAME_MISSING,
			 walk->has_name ? FL_DNS_NO_ADDRESS : FL_DNS_NO_NAME);
	}
}

/* Both halves of the candidate that is the name have been answered, or will not be. */
static void end_found(struct walk *walk)
{
	for (unsigned half = 0; half < 2; half++) {
		if (walk->status[half] == FL_DNS_NO_ADDRESS ||
		    walk->status[half] == FL_DNS_NO_NAME) {
			take_half(walk, half, NULL, 0, 0);
		}
	}
	walk->is_over = true;
	if (walk->name->walk == walk) {
		walk->name->walk = NULL;
	}
}

/* Decides how to continue from what is known about the candidate. */
static void evaluate(struct walk *walk)
{
	bool is_whole = walk->is_answered[0] && walk->is_answered[1];

	if (walk->is_over || walk->name == NULL) {
		walk->is_over = true;
	} else if (walk->found && is_whole) {
		end_found(walk);
	} else if (!walk->found && (is_whole || has_no_name(walk))) {
		if (goes_on(walk)) {
			ask_candidate(walk);
			evaluate(walk);
			return;
		}
		end_search(walk);
	}
	set_timer(walk->names);
	if (walk->is_over && walk->outstanding == 0) {
		free_walk(walk);
	}
}

/* Uses what this machine itself knows about the name. True: no DNS server is asked. */
static bool knows_itself(struct walk *walk)
{
	union fl_sockaddr *addrs[2];
	size_t counts[2];
	bool known;

	for (unsigned half = 0; half < 2; half++) {
		addrs[half] = fl_dns_local(walk->names->dns, walk->name->host, families[half],
					   &counts[half]);
	}
	known = counts[0] + counts[1] > 0;
	for (unsigned half = 0; half < 2; half++) {
		if (known) {
			take_half(walk, half, addrs[half], counts[half], 0);
		}
		free(addrs[half]);
	}
	return known;
}

/* --- when to ask ------------------------------------------------------------------------------- */

static void start(struct fl_names *names, struct fl_name *name)
{
	struct walk *walk;

	if (!fl_mem_has(FL_DNS_MEMORY)) {
		name->due_ms = uv_now(names->loop) + MIN_BACKOFF_MS;
		return;
	}
	walk = fl_new(sizeof(*walk));
	*walk = (struct walk){.names = names, .name = name, .started_ms = uv_now(names->loop)};
	LL_PREPEND(names->walks, walk);
	name->walk = walk;
	name->asked_ms = walk->started_ms;
	name->due_ms = UINT64_MAX; /* until it is answered */
	if (knows_itself(walk)) {
		name->walk = NULL;
		free_walk(walk);
		return;
	}
	walk->candidates = fl_dns_candidates(names->dns, name->host, &walk->count);
	ask_candidate(walk);
	evaluate(walk);
}

static bool may_ask(const struct fl_name *name)
{
	return name->walk == NULL || name->walk->found;
}

static void start_due(struct fl_names *names)
{
	uint64_t now = uv_now(names->loop);
	struct fl_name *name;

	LL_FOREACH(names->list, name)
	{
		if (name->due_ms <= now && may_ask(name)) {
			start(names, name);
		}
	}
	set_timer(names);
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_names *names = FL_CONTAINER_OF(timer, struct fl_names, timer);

	fl_dns_tick(names->dns);
	start_due(names);
}

void fl_name_want(struct fl_names *names, struct fl_name *name, uint64_t fresh_ms)
{
	uint64_t earliest = name->asked_ms != 0 ? name->asked_ms + fresh_ms : 0;

	name->wanted_ms = uv_now(names->loop);
	/* Many connections may want a name at once: only the first call changes anything, because
	 * re-arming the timer walks all names. */
	if (may_ask(name) && name->due_ms > earliest) {
		name->due_ms = earliest;
		set_timer(names);
	}
}

/* --- which names ------------------------------------------------------------------------------- */

void fl_names_begin(struct fl_names *names)
{
	struct fl_name *name;

	LL_FOREACH(names->list, name)
	{
		name->is_used = false;
	}
}

struct fl_name *fl_names_find(const struct fl_names *names, const char *host)
{
	struct fl_name *name;

	LL_FOREACH(names->list, name)
	{
		if (strcasecmp(name->host, host) == 0) {
			return name;
		}
	}
	return NULL;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is utlist's macro */
struct fl_name *fl_names_get(struct fl_names *names, const char *host)
{
	struct fl_name *name = fl_names_find(names, host);

	if (name == NULL) {
		name = fl_new(sizeof(*name));
		name->host = fl_strdup(host);
		LL_APPEND(names->list, name);
	}
	name->is_used = true;
	return name;
}

static void free_name(struct fl_names *names, struct fl_name *name)
{
	struct walk *walk;

	LL_FOREACH(names->walks, walk)
	{
		if (walk->name == name) {
			walk->name = NULL;
		}
	}
	LL_DELETE(names->list, name);
	free(name->halves[0].items);
	free(name->halves[1].items);
	free(name->host);
	free(name);
}

void fl_names_end(struct fl_names *names)
{
	struct fl_name *name, *next;

	LL_FOREACH_SAFE(names->list, name, next)
	{
		if (!name->is_used) {
			free_name(names, name);
		}
	}
	FL_REQUIRE(uv_timer_start(&names->timer, on_timer, 0, 0) == 0);
}

const struct fl_name *fl_names_unasked(const struct fl_names *names)
{
	const struct fl_name *name;

	LL_FOREACH(names->list, name)
	{
		if (name->state == FL_NAME_UNASKED) {
			return name;
		}
	}
	return NULL;
}

/* --- life -------------------------------------------------------------------------------------- */

struct fl_names *fl_names_new(uv_loop_t *loop, struct fl_log *log,
			      const struct fl_names_events *events, void *user)
{
	struct fl_names *names = fl_new(sizeof(*names));

	*names = (struct fl_names){.loop = loop, .events = events, .user = user};
	names->dns = fl_dns_new(loop, log);
	FL_REQUIRE(uv_timer_init(loop, &names->timer) == 0);
	return names;
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_names *names = FL_CONTAINER_OF(handle, struct fl_names, timer);

	fl_names_begin(names);
	while (names->list != NULL) {
		free_name(names, names->list);
	}
	free(names);
}

void fl_names_close(struct fl_names *names)
{
	names->closing = true;
	fl_dns_close(names->dns);
	uv_close((uv_handle_t *)&names->timer, on_closed);
}
