/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_KEYRING_H
#define FL_AGENT_RUN_KEYRING_H
/* keyring - the private keys that sidecars have signatures made with ([tls] key = agent), and the rules for making one.
 *
 * A key is *current* while its generation is; it is *held* while a connected sidecar uses it, which is longer if that
 * sidecar has not taken the next generation, or has refused it. A key that is neither stays until connections that are being
 * made with it are open: by [limits], twice connect_timeout and handshake_timeout, or detect_timeout and handshake_timeout if
 * that is more. It is then wiped.
 *
 * It signs CertificateVerify messages of TLS 1.3 with a key that it has and that is named, as often as `[agent] signatures`
 * allows (run/sign_rate.h), and refuses everything else (pki/signer.h), which does not count. What it refuses it logs, rationed.
 *
 * Loop: the one of the timer; all calls there. Owns: the keys. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/run/sign_rate.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ctl/message.h"
#include "pki/signer.h"

#define FL_KEYRING_KEYS 16u /* at most; one more wipes the oldest that is not current */

struct fl_keyring;

/* log is borrowed. */
struct fl_keyring *fl_keyring_open(uv_loop_t *loop, const struct fl_conf *conf, struct fl_log *log);
/* Wipes all keys. The memory is freed in the loop's next iterations. */
void fl_keyring_close(struct fl_keyring *keyring);

/* Another generation: its settings, and its key, which is taken over; NULL: it has none here. */
void fl_keyring_take(struct fl_keyring *keyring, const struct fl_conf *conf,
		     struct fl_signer *signer);

/* A key that is not the one of a generation, which a sidecar may hold; taken over. */
void fl_keyring_add(struct fl_keyring *keyring, struct fl_signer *signer);

/* A connected sidecar uses the key of that name, FL_DIGEST_LEN bytes. False: there is no such key. */
bool fl_keyring_hold(struct fl_keyring *keyring, const uint8_t *name);
/* Of a key that is held: once for each hold. */
void fl_keyring_release(struct fl_keyring *keyring, const uint8_t *name);
/* The name of the current key; NULL: there is none. */
const uint8_t *fl_keyring_current(const struct fl_keyring *keyring);

/* Makes the signature of a request, or refuses it: fills in ret, whose signature points into buf, FL_SIGNATURE_MAX bytes. share:
 * of who asks. */
void fl_keyring_sign(struct fl_keyring *keyring, const struct fl_ctl_sign_request *request,
		     struct fl_sign_share *share, uint8_t *buf, struct fl_ctl_sign_answer *ret);
/* He will not ask again. */
void fl_keyring_leave(struct fl_keyring *keyring, const struct fl_sign_share *share);

#endif
