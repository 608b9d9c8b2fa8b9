/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check_users - reads /proc/net/tcp and /proc/net/tcp6, whose format the kernel keeps (proc(5)). */
#include "agent/tools/check_users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LISTENING 10 /* of the kernel's <net/tcp_states.h> */

/* The columns of a line, from 0. */
enum { COLUMN_LOCAL = 1, COLUMN_STATE = 3, COLUMN_UID = 7, COLUMNS };

static bool has_port(const struct fl_addr *addrs, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		if (addrs[i].port == port) {
			return true;
		}
	}
	return false;
}

static bool is_ours(const struct fl_conf *conf, uint16_t port)
{
	if (has_port(conf->sidecar.inbound, conf->sidecar.inbound_count, port) ||
	    has_port(conf->sidecar.outbound, conf->sidecar.outbound_count, port) ||
	    has_port(&conf->sidecar.admin, 1, port)) {
		return true;
	}
	for (size_t i = 0; i < conf->service_count; i++) {
		if (has_port(&conf->services[i].listen, 1, port)) {
			return true;
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (has_port(&conf->upstreams[i].listen, 1, port)) {
			return true;
		}
	}
	return false;
}

/* The port of a line such as this, if it is about a socket of that user which listens; otherwise 0.
 *   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  2112 ... */
static uint16_t listening_port(char *line, uid_t uid)
{
	char *columns[COLUMNS + 1], *save = NULL;
	const char *port;
	size_t count = 0;

	for (char *at = strtok_r(line, " ", &save); at != NULL && count <= COLUMNS;
	     at = strtok_r(NULL, " ", &save)) {
		columns[count++] = at;
	}
	if (count <= COLUMN_UID || strtoul(columns[COLUMN_STATE], NULL, 16) != LISTENING ||
	    strtoul(columns[COLUMN_UID], NULL, 10) != uid) {
		return 0;
	}
	port = strchr(columns[COLUMN_LOCAL], ':');
	return port != NULL ? (uint16_t)strtoul(port + 1, NULL, 16) : 0;
}

/* The first such port of that file; 0: there is none, or it cannot be read. */
static uint16_t foreign_port(const struct fl_conf *conf, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[512];
	uint16_t found = 0;

	while (file != NULL && found == 0 && fgets(line, sizeof(line), file) != NULL) {
		uint16_t port = listening_port(line, conf->agent.sidecar_uid);

		found = port != 0 && !is_ours(conf, port) ? port : 0;
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	return found;
}

void fl_check_users(const struct fl_conf *conf, struct fl_problems *problems)
{
	static const char *const paths[] = {"/proc/net/tcp", "/proc/net/tcp6"};
	uint16_t port = 0;

	for (size_t i = 0; port == 0 && i < FL_COUNT_OF(paths); i++) {
		port = foreign_port(conf, paths[i]);
	}
	if (port != 0) {
		fl_problem_warning(problems, conf->redirect.line,
				   "a process of the sidecar's uid %u listens at port %u, which is "
				   "no listener of this INI: what that uid sends is not captured, "
				   "and leaves in plaintext; run the app as another user",
				   (unsigned)conf->agent.sidecar_uid, port);
	}
}
