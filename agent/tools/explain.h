/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_EXPLAIN_H
#define FL_AGENT_TOOLS_EXPLAIN_H
/* explain - `fairlead-agent explain`: what policy decides about one connection, by which rule, and what would have to
 * change; from the INI alone.
 *
 * Returns the process's exit code: 0 it is let in, 1 it is refused, 2 after a sentence on stderr. */
#include <stdbool.h>

struct fl_explain {
	const char *from;   /* a SPIFFE ID, or "plaintext"; NULL: not given, which is refused */
	const char *to;     /* a port, or the name of a [service]; likewise */
	const char *source; /* an address; NULL: not given */
	bool json;
};

int fl_explain(const char *conf_path, const struct fl_explain *options);

#endif
