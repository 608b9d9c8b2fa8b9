/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_FUZZ_PKI_H
#define FL_TESTS_FUZZ_PKI_H
/* pki - inputs that speak of the certificates of FL_TEST_PKI by number, so that no key lies in a corpus. Header only. */
#include "fuzz.h"

/* Reads a file of the folder; the span stays. */
struct fl_span fuzz_pki_file(const char *name);

/* Expands bytes of an input into text, up to the end or to a byte FUZZ_PKI_NEXT:
 *
 *     FUZZ_PKI_FILE i            the whole of file number i of fuzz_pki_names
 *     FUZZ_PKI_EDIT i o o n ...  the same with n bytes of its DER from offset o on replaced, a certificate or CRL
 *     anything else              itself
 *
 * free() ret.data. */
#define FUZZ_PKI_NEXT 0x01
#define FUZZ_PKI_FILE 0x02
#define FUZZ_PKI_EDIT 0x03
struct fl_span fuzz_pki_text(struct fl_span *in);

#endif
