/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_FIXTURE_H
#define FL_TEST_FIXTURE_H
/* fixture - the files that tests/lib/pki.py wrote; FL_TEST_PKI names their folder. */
#include <stddef.h>

/* A file of the folder, NUL-terminated; free() it. Fails the test when it is not there. */
char *fl_fixture(const char *name, size_t *ret_len);

/* The path of a file of the folder; free() it. */
char *fl_fixture_path(const char *name);

#endif
