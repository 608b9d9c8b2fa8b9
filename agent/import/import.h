/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_IMPORT_IMPORT_H
#define FL_AGENT_IMPORT_IMPORT_H
/* import - Istio's and Linkerd's policy resources as INI, for one workload.
 *
 * What the INI cannot say is never left out silently: each such place is named with FILE:LINE, and the translation then
 * takes the careful side, so that it never lets in what the original refuses. An allow rule loses what cannot be said
 * and lets in less; a deny rule loses the condition and refuses more. */
#include <stddef.h>
#include <stdint.h>

struct fl_import_options {
	const char *trust_domain; /* NULL: cluster.local */
	const char *workload_ns;  /* NULL: the one namespace that the files are about */
	const char
		*workload_labels; /* "app=web,tier=front"; NULL: not known, so no selector fits */
	const char *root_ns;      /* whose policies are for all namespaces; NULL: istio-system */
};

/* files: paths, `-` is stdin. INI to stdout, what it cannot express to stderr. Returns the exit status: 0 all of it is
 * expressed, 1 some is not, 2 a file cannot be read, or what it is about is not known. */
int fl_import(const struct fl_import_options *options, const char *const *files, size_t count);

#endif
