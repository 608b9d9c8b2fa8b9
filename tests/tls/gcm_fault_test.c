/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gcm_fault_test - where known answers of AES-GCM come out wrong (lib/gcm_fault.c), our wide code is not used, wolfSSL's is, and a
 * sentence says so. Skipped on a CPU that has no wide code. */
#include "pair.h"

/* Each run of our code ends with wiping what it has derived from the key: 320 bytes. Nothing else is of that size. */
#define DERIVED 320
static unsigned runs;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names are the linker's */
void __real_fl_wipe(void *data, size_t len);
void __wrap_fl_wipe(void *data, size_t len);

void __wrap_fl_wipe(void *data, size_t len)
{
	runs += len == DERIVED;
	__real_fl_wipe(data, len);
}
/* NOLINTEND(bugprone-reserved-identifier) */

#if defined(FL_WITH_VAES)
#include "tls/gcm_vaes.h"

Test(gcm_fault, wrong_answer__wolfssl_takes_over)
{
	static uint8_t data[4096];
	struct fl_err err = {0};
	struct pair pair;

	cr_assert_eq(fl_tls_global_init(&err), 0, "%s", err.text);
	if (fl_gcm_state() == FL_GCM_ABSENT) {
		cr_assert_null(fl_tls_warning());
		cr_skip_test("this CPU has no VAES");
	}
	cr_assert_eq(fl_gcm_state(), FL_GCM_WRONG);
	cr_assert_not_null(strstr(fl_tls_warning(), "VAES"), "%s", fl_tls_warning());
	cr_assert_gt(runs, 0, "the self-test did not run our code");
	pair_open(&pair, NULL, NULL); /* checks again */
	runs = 0;
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	side_write(&pair.client, data, sizeof(data));
	side_deliver(&pair.server, &pair.client, 0);
	cr_assert_eq(pair.server.got_len, sizeof(data));
	pair_close(&pair);
	cr_assert_eq(runs, 0, "our code runs although it is wrong");
	fl_tls_global_done();
}
#endif
