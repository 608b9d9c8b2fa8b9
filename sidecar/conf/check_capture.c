/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check_capture - compares [redirect] with the listeners. */
#include <string.h>

#include "conf/build.h"
#include "conf/own_listeners.h"
#include "conf/spared.h"

/* --- listeners -------------------------------------------------------------------------------- */

static bool is_everywhere(const struct fl_addr *addr)
{
	return addr->kind == FL_ADDR_ANY || fl_addr_is_unspecified(addr);
}

/* Connections from another interface are redirected to an address of that interface, never to loopback. */
static void check_forwarded(struct fl_build *build)
{
	const struct fl_conf *conf = build->conf;
	bool reached = conf->sidecar.outbound_count > 0;

	for (size_t i = 0; i < conf->sidecar.outbound_count; i++) {
		reached = reached && is_everywhere(&conf->sidecar.outbound[i]);
	}
	if (conf->redirect.forwarded == FL_FORWARDED_CAPTURE && !reached) {
		fl_problem_error(
			build->problems, fl_build_line(build, "redirect", NULL, "forwarded"),
			"`forwarded = capture` leads connections of containers inside the "
			"pod to an address of the pod, where `[sidecar] outbound` does not "
			"listen: write `outbound = *:15001` there");
	}
}

/* Connections to our own listener would be captured before they reach it. `*` means the app's ports, and so
 * does a range that happens to contain the admin port: `fairlead-agent redirect` does not capture our own ports there. */
static void check_redirected_listener(struct fl_build *build, const struct fl_spared *spared,
				      const struct fl_own_listener *listener)
{
	uint16_t port = listener->addr->port;
	char text[FL_OWN_LISTENER_TEXT];

	if (listener->addr->kind != FL_ADDR_UNIX && !fl_addr_is_loopback(listener->addr) &&
	    strcmp(listener->key, "admin") != 0 && fl_spared_names_port(spared, port) &&
	    fl_spared_port(spared, port) != FL_SPARED_EXCLUDED) {
		fl_problem_error(
			build->problems, fl_build_line(build, "redirect", NULL, "inbound_ports"),
			"`inbound_ports`: %u is to be captured, but the sidecar listens on it itself (%s): "
			"remove it, or name it in `exclude_inbound`",
			port, fl_own_listener_describe(listener, text));
	}
}

/* --- all of it -------------------------------------------------------------------------------- */

void fl_build_check_capture(struct fl_build *build, const struct fl_own_listeners *all)
{
	struct fl_spared *spared = fl_spared_new(build->conf);

	check_forwarded(build);
	for (size_t i = 0; i < all->count && !fl_problems_enough(build->problems); i++) {
		check_redirected_listener(build, spared, &all->items[i]);
	}
	fl_spared_free(spared);
}
