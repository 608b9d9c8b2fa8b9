/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_TLS_ALERT_H
#define FL_BASE_TLS_ALERT_H
/* tls_alert - the alerts of TLS 1.3 that we send or are sent (RFC 8446 section 6; no_application_protocol: RFC 7301 section
 * 3.2). A uint8_t of ours that holds one is 0 where there is none: close_notify is no reason for anything. */

/* id, number, name in the RFC */
#define FL_TLS_ALERTS(X)                                                                           \
	X(CLOSE_NOTIFY, 0, "close_notify")                                                         \
	X(UNEXPECTED_MESSAGE, 10, "unexpected_message")                                            \
	X(BAD_RECORD_MAC, 20, "bad_record_mac")                                                    \
	X(RECORD_OVERFLOW, 22, "record_overflow")                                                  \
	X(HANDSHAKE_FAILURE, 40, "handshake_failure")                                              \
	X(BAD_CERTIFICATE, 42, "bad_certificate")                                                  \
	X(UNSUPPORTED_CERTIFICATE, 43, "unsupported_certificate")                                  \
	X(CERTIFICATE_REVOKED, 44, "certificate_revoked")                                          \
	X(CERTIFICATE_EXPIRED, 45, "certificate_expired")                                          \
	X(CERTIFICATE_UNKNOWN, 46, "certificate_unknown")                                          \
	X(ILLEGAL_PARAMETER, 47, "illegal_parameter")                                              \
	X(UNKNOWN_CA, 48, "unknown_ca")                                                            \
	X(ACCESS_DENIED, 49, "access_denied")                                                      \
	X(DECODE_ERROR, 50, "decode_error")                                                        \
	X(DECRYPT_ERROR, 51, "decrypt_error")                                                      \
	X(PROTOCOL_VERSION, 70, "protocol_version")                                                \
	X(INSUFFICIENT_SECURITY, 71, "insufficient_security")                                      \
	X(INTERNAL_ERROR, 80, "internal_error")                                                    \
	X(USER_CANCELED, 90, "user_canceled")                                                      \
	X(MISSING_EXTENSION, 109, "missing_extension")                                             \
	X(UNSUPPORTED_EXTENSION, 110, "unsupported_extension")                                     \
	X(UNRECOGNIZED_NAME, 112, "unrecognized_name")                                             \
	X(BAD_CERTIFICATE_STATUS_RESPONSE, 113, "bad_certificate_status_response")                 \
	X(UNKNOWN_PSK_IDENTITY, 115, "unknown_psk_identity")                                       \
	X(CERTIFICATE_REQUIRED, 116, "certificate_required")                                       \
	X(NO_APPLICATION_PROTOCOL, 120, "no_application_protocol")

enum fl_tls_alert {
#define FL_TLS_ALERT_ENUM(id, number, name) FL_ALERT_##id = (number),
	FL_TLS_ALERTS(FL_TLS_ALERT_ENUM)
#undef FL_TLS_ALERT_ENUM
};

#endif
