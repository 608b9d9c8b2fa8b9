/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_GENERAL_NAME_H
#define FL_PKI_GENERAL_NAME_H
/* general_name - GeneralName and GeneralSubtree (RFC 5280 sections 4.2.1.6 and 4.2.1.10): names of a certificate, and what a
 * name constraint compares them with. Views of the certificate. Pure; thread: any. */
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

/* Forms of a GeneralName, by tag. */
enum fl_name_form {
	FL_NAME_OTHER = 0,
	FL_NAME_EMAIL = 1,
	FL_NAME_DNS = 2,
	FL_NAME_DIRECTORY = 4,
	FL_NAME_URI = 6,
	FL_NAME_IP = 7,
	FL_NAME_FORMS = 9,
};

struct fl_general_name {
	uint8_t form;         /* enum fl_name_form */
	struct fl_span value; /* of a directory name: content of the Name */
};

/* Removes the next name from names; *ret is its content. False: there is none, or it is malformed
 * (then names is not empty). */
bool fl_general_name_take(struct fl_span *names, uint8_t *ret_form, struct fl_span *ret);

/* A directory name is a Name in an explicit tag: replaces that by its content. False: it is broken. Others stay. */
bool fl_general_name_open(struct fl_general_name *name);

enum fl_name_match {
	FL_NAME_OUTSIDE,
	FL_NAME_WITHIN,
	FL_NAME_UNCLEAR, /* the name does not parse, or its form has no comparison */
};
/* base: of a subtree of the same form. excluded: it is of excludedSubtrees. */
enum fl_name_match fl_general_name_match(const struct fl_general_name *name, struct fl_span base,
					 bool excluded);

/* The next GeneralSubtree of the list, with the minimum 0 and without a maximum, as RFC 5280 asks; false: it is none. */
bool fl_subtree_take(struct fl_span *list, struct fl_general_name *ret);
/* Are all of them such subtrees, each with a base that can be compared with? Of an empty list: yes. */
bool fl_subtrees_are_good(struct fl_span subtrees);

#endif
