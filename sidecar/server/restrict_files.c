/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "server/restrict_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* path: of a socket. The place's path is to be freed. */
static struct fl_place folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);

	return (struct fl_place){.path = slash == NULL ? fl_strdup(".")
						       : fl_strndup(path, len > 0 ? len : 1),
				 .rights = FL_PLACE_REMOVE};
}

void fl_server_restrict_files(const struct fl_conf *conf, struct fl_sandbox *sandbox)
{
	struct fl_place *places = fl_new((conf->upstream_count + 1) * sizeof(*places));
	size_t count = 0;

	if (conf->sidecar.control != NULL) {
		places[count++] = folder_of(conf->sidecar.control);
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_addr *listen = &conf->upstreams[i].listen;

		if (listen->kind == FL_ADDR_UNIX) {
			places[count++] = folder_of(listen->sa.un.sun_path);
		}
	}
	fl_sandbox_enter_files(sandbox, FL_SANDBOX_SIDECAR, places, count);
	for (size_t i = 0; i < count; i++) {
		free((char *)places[i].path);
	}
	free(places);
}
