/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_REASON_H
#define FL_COUNT_REASON_H
/* reason - why a connection ended: one fixed list, the same words in log, metric and status.
 * Words are part of the contract with users: add, never rename. */
#include <stdbool.h>
#include <stdint.h>

#include "tls/tls.h"

/* id, word, class, sentence. A new reason needs a row here, code that ends a connection with it,
 * and a run of tests/lint/reference.py --write. */
#define FL_REASONS(X)                                                                                                     \
	X(DONE, "done", ENDED, "both sides finished")                                                                     \
	X(APP_RESET, "app_reset", ENDED, "the app reset its connection")                                                  \
	X(APP_TIMEOUT, "app_timeout", ENDED, "the app's address no longer answers at TCP level")                          \
	X(APP_REFUSED, "app_refused", ENDED,                                                                              \
	  "the app's address refused the connection: is the app listening there?")                                        \
	X(APP_UNREACHABLE, "app_unreachable", ENDED, "the app's address cannot be reached")                               \
	X(APP_CONNECT_TIMEOUT, "app_connect_timeout", ENDED,                                                              \
	  "the app did not accept within [limits] connect_timeout")                                                       \
	X(PEER_RESET, "peer_reset", ENDED, "the peer reset its connection")                                               \
	X(PEER_TIMEOUT, "peer_timeout", ENDED,                                                                            \
	  "the peer's machine answered nothing at TCP level for [limits] peer_timeout")                                   \
	X(PEER_TRUNCATED, "peer_truncated", ENDED,                                                                        \
	  "the peer's connection ended without close_notify")                                                             \
	X(PEER_REFUSED, "peer_refused", ENDED, "the upstream's address refused the connection")                           \
	X(PEER_UNREACHABLE, "peer_unreachable", ENDED, "the upstream's address cannot be reached")                        \
	X(PEER_CONNECT_TIMEOUT, "peer_connect_timeout", ENDED,                                                            \
	  "no upstream address answered within [limits] connect_timeout")                                                 \
	X(PEER_STALLED, "peer_stalled", ENDED,                                                                            \
	  "the upstream's machine answers, but its sidecar does not say whether it has opened the connection")            \
	X(NO_ADDRESS, "no_address", ENDED,                                                                                \
	  "no address is known for the upstream: its name does not resolve, or not yet")                                  \
	X(HANDSHAKE_TIMEOUT, "handshake_timeout", ENDED,                                                                  \
	  "the TLS handshake took longer than [limits] handshake_timeout")                                                \
	X(IDLE_TIMEOUT, "idle_timeout", ENDED, "no bytes either way for [limits] idle_timeout")                           \
	X(NOT_TLS, "not_tls", REFUSED,                                                                                    \
	  "the peer does not speak TLS: plaintext or garbage arrived in place of a TLS record")                           \
	X(TLS_VERSION, "tls_version", REFUSED, "the peer does not speak TLS 1.3")                                         \
	X(TLS_PARAMETERS, "tls_parameters", REFUSED,                                                                      \
	  "no cipher, group or signature algorithm in common with the peer")                                              \
	X(TLS_PROTOCOL, "tls_protocol", ENDED, "a broken, tampered or unexpected TLS message")                            \
	X(FRAME, "frame", ENDED, "the peer sent a frame (fairlead/2) that is broken, or not due")                         \
	X(PEER_ALERT, "peer_alert", ENDED, "the peer refused us with a TLS alert")                                        \
	X(CERTIFICATE, "certificate_refused", REFUSED, "the peer's certificate breaks a rule")                            \
	X(NOT_MUTUAL, "not_mutual", REFUSED,                                                                              \
	  "the peer did not ask for our certificate: that is not mutual TLS")                                             \
	X(POLICY, "policy_denied", REFUSED, "no rule allows this identity, or a rule denies it")                          \
	X(DESTINATION_UNKNOWN, "destination_unknown", REFUSED,                                                            \
	  "the original destination is not known: a direct connection to a capture port, or its conntrack entry is gone") \
	X(LOOP, "loop", REFUSED, "the destination is one of the sidecar's own listeners")                                 \
	X(OUTBOUND_REFUSED, "outbound_refused", REFUSED,                                                                  \
	  "the INI refuses this destination: `mode` of its [upstream], or [outbound] default")                            \
	X(TRUST_LOST, "trust_lost", LOST,                                                                                 \
	  "the peer's chain no longer verifies under the current bundles")                                                \
	X(REVOKED, "revoked", LOST, "a certificate of the peer's chain is on a current CRL")                              \
	X(PEER_EXPIRED, "peer_expired", LOST, "the peer's certificate has expired")                                       \
	X(POLICY_LOST, "policy_lost", LOST,                                                                               \
	  "the current policy, or `peer` of its upstream, no longer allows this connection")                              \
	X(RECYCLED, "recycled", ENDED,                                                                                    \
	  "it belonged to an older generation, and [rotation] recycle asks it to end")                                    \
	X(MAX_AGE, "max_age", ENDED, "it has reached [limits] max_age")                                                   \
	X(CONNECTION_LIMIT, "connection_limit", REFUSED, "[limits] connections is reached")                               \
	X(CROWDED_OUT, "crowded_out", REFUSED,                                                                            \
	  "there were too many connections without a proven identity, most of them from its network")                     \
	X(RESTART_NEEDED, "restart_needed", ENDED,                                                                        \
	  "the INI no longer has this listener: restart the sidecar")                                                     \
	X(DRAIN, "drain", ENDED, "the sidecar stops")                                                                     \
	X(ABORTED, "aborted", ENDED,                                                                                      \
	  "the kernel of this machine ended the connection, as `ss --kill` asks it to")                                   \
	X(SIGNATURE_UNAVAILABLE, "signature_unavailable", ENDED,                                                          \
	  "the agent, which has our private key, did not sign the handshake: is it running?")                             \
	X(INTERNAL, "internal", ENDED, "out of memory or file descriptors, or a defect of ours")

enum fl_reason {
#define FL_REASON_ENUM(id, word, class, text) FL_REASON_##id,
	FL_REASONS(FL_REASON_ENUM)
#undef FL_REASON_ENUM
		FL_REASON_COUNT,
};

/* Who or what ended the connection. */
enum fl_reason_class {
	/* one of its ends, the network, a deadline, or the sidecar's shutdown */
	FL_REASON_CLASS_ENDED,
	/* we refused it before it was open: certificate, protocol, policy, limit */
	FL_REASON_CLASS_REFUSED,
	FL_REASON_CLASS_LOST, /* it was open, but would be refused now */
};

/* These are pure; thread: any. */
const char *fl_reason_word(enum fl_reason reason); /* of the log and the label */
const char *fl_reason_text(enum fl_reason reason); /* its sentence */
enum fl_reason_class fl_reason_class(enum fl_reason reason);
/* Is it of class REFUSED or LOST? `[log] access = denied` logs those. */
bool fl_reason_is_denial(enum fl_reason reason);
/* Did it end in another way than both sides or the INI wanted? `[log] access = failed` logs those; denials are among them. */
bool fl_reason_is_failure(enum fl_reason reason);

/* Translations of lower layers' errors, one for each kind. sys: negative uv error. A shortage is INTERNAL: it says nothing
 * about the other end. */
enum fl_reason fl_reason_of_tls(const struct fl_tls_failure *failure);
enum fl_reason fl_reason_of_app_dial(int sys);
enum fl_reason fl_reason_of_peer_dial(int sys);
/* For a connection that was open: the error of a read or a write, or one that the kernel reported
 * by itself. */
enum fl_reason fl_reason_of_app_error(int sys);
enum fl_reason fl_reason_of_peer_error(int sys);

#endif
