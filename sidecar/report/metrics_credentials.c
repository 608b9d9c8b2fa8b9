/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The metrics of the credentials in use: our identity, and the validity period of every
 * certificate. */
#include <inttypes.h>

#include "pki/name.h"
#include "report/metrics_parts.h"

static void put_identity(struct fl_text *text, const struct fl_expiries *expiries)
{
	static const char name[] = "fairlead_identity_info";
	char serial[FL_SERIAL_TEXT], issuer[FL_NAME_TEXT];
	const struct fl_credentials *c = expiries->credentials;
	struct fl_cert cert;
	struct fl_span leaf;

	if (c == NULL || c->chain.count == 0) {
		return;
	}
	leaf = (struct fl_span){c->chain.items[0].data, c->chain.items[0].len};
	if (fl_cert_parse(leaf, &cert, NULL) != FL_RULE_NONE) {
		return;
	}
	fl_metric_family(
		text, name, "gauge",
		"Our own SPIFFE ID and the certificate that proves it, as labels; always 1.");
	fl_text_print(text, "%s", name);
	fl_metric_label(text, '{', "id", c->id);
	fl_metric_label(text, ',', "trust_domain", c->trust_domain);
	fl_metric_label(text, ',', "serial", fl_crl_serial_text(leaf, serial));
	fl_metric_label(text, ',', "issuer", fl_name_text(cert.issuer, issuer));
	fl_text_print(text, "} 1\n");
}

static void put_time(struct fl_text *text, const char *name, const struct fl_expiry *expiry,
		     int64_t time)
{
	fl_text_print(text, "%s", name);
	fl_metric_label(text, '{', "kind", fl_certificate_kind_word(expiry->kind));
	fl_metric_label(text, ',', "trust_domain", expiry->trust_domain);
	fl_text_print(text, ",index=\"%u\"} %" PRId64 "\n", expiry->index, time);
}

static void put_validity(struct fl_text *text, const struct fl_expiries *expiries)
{
	static const char begin[] = "fairlead_certificate_not_before_timestamp_seconds",
			  end[] = "fairlead_certificate_expiry_timestamp_seconds";

	fl_metric_family(
		text, begin, "gauge",
		"From when on a certificate or CRL in use is valid, in seconds since the epoch; "
		"index is its place in its file.");
	for (size_t i = 0; i < expiries->count; i++) {
		put_time(text, begin, &expiries->items[i], expiries->items[i].not_before);
	}
	fl_metric_family(
		text, end, "gauge",
		"When a certificate or CRL in use expires, in seconds since the epoch; index is "
		"its place in its file.");
	for (size_t i = 0; i < expiries->count; i++) {
		put_time(text, end, &expiries->items[i], expiries->items[i].not_after);
	}
	fl_metric_single(
		text, "fairlead_certificates_left_out", "gauge",
		"Roots and CRLs without a series of their own, beyond the 16 that expire first.",
		(int64_t)expiries->left_out);
}

static void put_roots(struct fl_text *text, const struct fl_snapshot *s)
{
	const struct fl_credentials *c = s->expiries->credentials;

	if (c == NULL) {
		return;
	}
	fl_metric_family(
		text, "fairlead_roots", "gauge",
		"Roots of each trust domain: valid now, or out of date. Without a valid one, "
		"nobody of that trust domain is trusted.");
	for (size_t i = 0; i < c->bundle_count; i++) {
		size_t late = fl_bundle_late_count(&c->bundles[i], s->now);
		size_t good = c->bundles[i].anchors.count - late;

		fl_text_print(text, "fairlead_roots");
		fl_metric_label(text, '{', "trust_domain", c->bundles[i].trust_domain);
		fl_text_print(text, ",state=\"good\"} %zu\nfairlead_roots", good);
		fl_metric_label(text, '{', "trust_domain", c->bundles[i].trust_domain);
		fl_text_print(text, ",state=\"out_of_date\"} %zu\n", late);
	}
}

void fl_metrics_credentials(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	if (snapshot->expiries == NULL) {
		return;
	}
	put_identity(ret, snapshot->expiries);
	put_validity(ret, snapshot->expiries);
	put_roots(ret, snapshot);
}
