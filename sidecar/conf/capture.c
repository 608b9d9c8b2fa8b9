/* SPDX-License-Identifier: GPL-3.0-or-later */
/* capture - the settings that the rules of capture depend on, and those that differ between two INIs.
 *
 * Each setting becomes a line of text in a canonical form: lists sorted and without repeats, `*` as the
 * addresses that it means. So an INI that is written differently but means the same has the same lines, and the same print. */
#include <stdlib.h>
#include <string.h>

#include "base/capture.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/conf.h"
#include "pki/digest.h"

#define PRINT_SALT "fairlead capture 3" /* with FL_CAPTURE_PRINT_VERSION */

/* --- lists -------------------------------------------------------------------------------------- */

struct words {
	char **items;
	size_t count;
};

/* Takes over word. */
static void put_word(struct words *words, char *word)
{
	words->items = fl_grow(words->items, words->count + 1, sizeof(char *));
	words->items[words->count++] = word;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Empties words. */
static void put_sorted(struct words *words, struct fl_text *out)
{
	if (words->count > 0) {
		qsort(words->items, words->count, sizeof(char *), compare);
	}
	for (size_t i = 0; i < words->count; i++) {
		if (i == 0 || strcmp(words->items[i], words->items[i - 1]) != 0) {
			fl_text_print(out, "%s,", words->items[i]);
		}
	}
	for (size_t i = 0; i < words->count; i++) {
		free(words->items[i]);
	}
	free(words->items);
	*words = (struct words){0};
}

/* --- settings ----------------------------------------------------------------------------------- */

static void put_mode(const struct fl_conf *conf, struct fl_text *out)
{
	fl_text_print(out, "%d", (int)conf->redirect.mode);
}

static void put_selectors(const struct fl_conf_selectors *selectors, struct fl_text *out)
{
	struct words words = {0};
	char net[FL_CIDR_TEXT];

	for (size_t i = 0; i < selectors->count; i++) {
		const struct fl_conf_selector *item = &selectors->items[i];

		put_word(&words, fl_format("%u-%u %s %s", item->ports.first, item->ports.last,
					   item->any_net ? "*" : fl_cidr_format(&item->net, net),
					   item->interface != NULL ? item->interface : "*"));
	}
	put_sorted(&words, out);
}

static void put_inbound_ports(const struct fl_conf *conf, struct fl_text *out)
{
	put_selectors(&conf->redirect.inbound_ports, out);
}

static void put_exclude_inbound(const struct fl_conf *conf, struct fl_text *out)
{
	put_selectors(&conf->redirect.exclude_inbound, out);
}

static void put_outbound(const struct fl_conf *conf, struct fl_text *out)
{
	put_selectors(&conf->redirect.outbound, out);
}

static void put_exclude_outbound(const struct fl_conf *conf, struct fl_text *out)
{
	put_selectors(&conf->redirect.exclude_outbound, out);
}

static void put_forwarded(const struct fl_conf *conf, struct fl_text *out)
{
	fl_text_print(out, "%d", (int)conf->redirect.forwarded);
}

static void put_other_protocols(const struct fl_conf *conf, struct fl_text *out)
{
	fl_text_print(out, "%d", (int)conf->redirect.drop_other_protocols);
}

static void put_listener(const struct fl_addr *addr, struct words *words)
{
	char text[FL_ADDR_TEXT];

	if (addr->kind == FL_ADDR_ANY) {
		put_word(words, fl_format("0.0.0.0:%u", addr->port));
		put_word(words, fl_format("[::]:%u", addr->port));
	} else {
		put_word(words, fl_strdup(fl_addr_format(addr, text)));
	}
}

static void put_listeners(const struct fl_addr *addrs, size_t count, struct fl_text *out)
{
	struct words words = {0};

	for (size_t i = 0; i < count; i++) {
		put_listener(&addrs[i], &words);
	}
	put_sorted(&words, out);
}

static void put_inbound_listeners(const struct fl_conf *conf, struct fl_text *out)
{
	put_listeners(conf->sidecar.inbound, conf->sidecar.inbound_count, out);
}

static void put_outbound_listeners(const struct fl_conf *conf, struct fl_text *out)
{
	put_listeners(conf->sidecar.outbound, conf->sidecar.outbound_count, out);
}

/* Can the network reach it? The rules name no other listener, except those that captured traffic is led to. */
static bool is_named(const struct fl_addr *addr)
{
	return (addr->kind == FL_ADDR_IP || addr->kind == FL_ADDR_ANY) &&
	       !fl_addr_is_loopback(addr);
}

static void put_admin(const struct fl_conf *conf, struct fl_text *out)
{
	put_listeners(&conf->sidecar.admin, is_named(&conf->sidecar.admin), out);
}

static void put_sidecar_uid(const struct fl_conf *conf, struct fl_text *out)
{
	fl_text_print(out, "%lu", (unsigned long)conf->agent.sidecar_uid);
}

static void put_services(const struct fl_conf *conf, struct fl_text *out)
{
	struct words words = {0};

	for (size_t i = 0; i < conf->service_count; i++) {
		if (is_named(&conf->services[i].listen)) {
			put_listener(&conf->services[i].listen, &words);
		}
	}
	put_sorted(&words, out);
}

static const struct setting {
	const char *name; /* NULL: of each [service] */
	void (*put)(const struct fl_conf *conf, struct fl_text *out);
} settings[] = {
	{"[redirect] mode", put_mode},
	{"[redirect] inbound_ports", put_inbound_ports},
	{"[redirect] exclude_inbound", put_exclude_inbound},
	{"[redirect] outbound", put_outbound},
	{"[redirect] exclude_outbound", put_exclude_outbound},
	{"[redirect] forwarded", put_forwarded},
	{"[redirect] other_protocols", put_other_protocols},
	{"[sidecar] inbound", put_inbound_listeners},
	{"[sidecar] outbound", put_outbound_listeners},
	{"[sidecar] admin", put_admin},
	{"[agent] sidecar_uid", put_sidecar_uid},
	{NULL, put_services},
};

/* --- print --------------------------------------------------------------------------------------- */

uint32_t fl_conf_capture_print(const struct fl_conf *conf)
{
	struct fl_text text = {0};
	uint8_t digest[FL_DIGEST_LEN];
	struct fl_span part;
	uint32_t value;

	fl_text_print(&text, PRINT_SALT "\n");
	for (size_t i = 0; i < FL_COUNT_OF(settings); i++) {
		settings[i].put(conf, &text);
		fl_text_print(&text, "\n");
	}
	part = (struct fl_span){(const uint8_t *)text.data, text.len};
	fl_digest(&part, 1, digest);
	value = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
		digest[3];
	fl_text_done(&text);
	return value % FL_CAPTURE_PRINTS;
}

/* --- differences -------------------------------------------------------------------------------- */

static void add_key(struct fl_text *list, const char *name)
{
	fl_text_print(list, "%s%s", list->len > 0 ? ", " : "", name);
}

static bool same_listener(const struct fl_conf_service *a, const struct fl_conf_service *b)
{
	char one[FL_ADDR_TEXT], other[FL_ADDR_TEXT];

	return b != NULL &&
	       strcmp(fl_addr_format(&a->listen, one), fl_addr_format(&b->listen, other)) == 0;
}

/* Adds the services of `from` that `to` does not have; both: also those that differ in `to`. */
static void add_services(const struct fl_conf *from, const struct fl_conf *to, bool both,
			 struct fl_text *list)
{
	for (size_t i = 0; i < from->service_count; i++) {
		const struct fl_conf_service *service = &from->services[i];
		const struct fl_conf_service *now = fl_conf_find_service(to, service->name);

		if ((is_named(&service->listen) || (now != NULL && is_named(&now->listen))) &&
		    !same_listener(service, now) && (both || now == NULL)) {
			fl_text_print(list, "%s[service %s] listen", list->len > 0 ? ", " : "",
				      service->name);
		}
	}
}

char *fl_conf_capture_keys(const struct fl_conf *applied, const struct fl_conf *wanted)
{
	struct fl_text list = {0};

	for (size_t i = 0; i < FL_COUNT_OF(settings); i++) {
		struct fl_text a = {0}, b = {0};

		settings[i].put(applied, &a);
		settings[i].put(wanted, &b);
		if (a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0)) {
			/* the same */
		} else if (settings[i].name != NULL) {
			add_key(&list, settings[i].name);
		} else {
			add_services(wanted, applied, true, &list);
			add_services(applied, wanted, false, &list);
		}
		fl_text_done(&a);
		fl_text_done(&b);
	}
	return list.data;
}
