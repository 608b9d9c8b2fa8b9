/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pki.h"

#include <stdio.h>

#include "base/text.h"
#include "pki/pem.h"

/* Appended to, never reordered: corpora hold the numbers. */
static const char *const names[] = {
	"p256.crt",
	"p256.key",
	"root.crt",
	"root.crl",
	"other.crt",
	"p384.crt",
	"p384.key",
	"ed25519.crt",
	"ed25519.key",
	"rsa2048.crt",
	"rsa2048.key",
	"rsa2048.pkcs1.key",
	"p256.sec1.key",
	"p256.params.key",
	"p256.encrypted.key",
	"p256.bundle",
	"intermediate.crt",
	"intermediate.key",
	"intermediate.bundle",
	"two-intermediates.crt",
	"two-intermediates.key",
	"own.crl",
	"middle.crl",
	"far.crl",
	"lower.crl",
	"late.crl",
	"elsewhere.crl",
	"elsewhere-web.crl",
	"forged.crl",
	"scope-users.crl",
	"scope-cas.crl",
	"delta.crl",
	"critical.crl",
	"rsa-root.crt",
	"rsa-root.crl",
	"rsa-root-pss.crl",
	"p384-root.crt",
	"ed25519-root.crt",
	"root-second.crt",
	"root-expired.crt",
	"root-bad-id.crt",
	"root-plain.crt",
	"under-rsa-root.crt",
	"under-rsa-root.key",
	"expired.crt",
	"expired.key",
	"uri-two.crt",
	"uri-two.key",
	"leaf-ca.crt",
	"leaf-ca.key",
	"other-web.crt",
	"serial-zero.crt",
};

static struct fl_span read_file(const char *name)
{
	const char *folder = getenv("FL_TEST_PKI");
	char *path = fl_format("%s/%s", folder != NULL ? folder : "pki", name);
	FILE *file = fopen(path, "re");
	uint8_t *data = fl_new(65536);
	size_t len;

	if (file == NULL) {
		perror(path);
		exit(1); // NOLINT(concurrency-mt-unsafe): there is one thread
	}
	len = fread(data, 1, 65536, file);
	(void)fclose(file);
	free(path);
	return (struct fl_span){data, len};
}

struct fl_span fuzz_pki_file(const char *name)
{
	static struct {
		char *name;
		struct fl_span text;
	} files[128];
	size_t i = 0;

	while (files[i].name != NULL && strcmp(files[i].name, name) != 0) {
		FL_REQUIRE(++i < FL_COUNT_OF(files));
	}
	if (files[i].name == NULL) {
		files[i].name = fl_strdup(name);
		files[i].text = read_file(name);
	}
	return files[i].text;
}

/* --- PEM ------------------------------------------------------------------------------------------ */

static void put_pem(struct fl_text *to, const char *label, const struct fl_der *der)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	fl_text_print(to, "-----BEGIN %s-----", label);
	for (size_t i = 0; i < der->len; i += 3) {
		uint32_t bits = (uint32_t)der->data[i] << 16;
		char quad[4] = "====";

		bits |= i + 1 < der->len ? (uint32_t)der->data[i + 1] << 8 : 0;
		bits |= i + 2 < der->len ? (uint32_t)der->data[i + 2] : 0;
		for (size_t k = 0; k < 4 && k < der->len - i + 1; k++) {
			quad[k] = digits[bits >> (18 - 6 * k) & 63];
		}
		fl_text_put(to, i % 48 == 0 ? "\n" : "", i % 48 == 0);
		fl_text_put(to, quad, 4);
	}
	fl_text_print(to, "\n-----END %s-----\n", label);
}

/* The file's blocks, the first with an edit. */
static void put_edited(struct fl_text *to, struct fl_span file, struct fl_span *in)
{
	struct fl_der_list list = {0};
	const char *label = "CERTIFICATE";
	size_t at = fuzz_u16(in), count = fuzz_u8(in) % 64u;
	struct fl_span bytes = fuzz_take(in, count);
	int rc = fl_pem_certificates((const char *)file.data, file.len, false, &list, NULL);

	if (rc != FL_OK) {
		label = "X509 CRL";
		rc = fl_pem_crls((const char *)file.data, file.len, &list, NULL);
	}
	if (rc != FL_OK) {
		return; /* a key */
	}
	for (size_t i = 0; i < bytes.len; i++) {
		list.items[0].data[(at + i) % list.items[0].len] = bytes.data[i];
	}
	for (size_t i = 0; i < list.count; i++) {
		put_pem(to, label, &list.items[i]);
	}
	fl_der_list_done(&list);
}

struct fl_span fuzz_pki_text(struct fl_span *in)
{
	struct fl_text text = {0};

	fl_text_put(&text, "", 0);
	while (in->len > 0 && text.len < 262144) {
		uint8_t byte = fuzz_u8(in);

		if (byte == FUZZ_PKI_NEXT) {
			break;
		}
		if (byte != FUZZ_PKI_FILE && byte != FUZZ_PKI_EDIT) {
			fl_text_put(&text, (const char *)&byte, 1);
			continue;
		}
		struct fl_span file = fuzz_pki_file(names[fuzz_u8(in) % FL_COUNT_OF(names)]);

		if (byte == FUZZ_PKI_EDIT) {
			put_edited(&text, file, in);
		} else {
			fl_text_put(&text, (const char *)file.data, file.len);
		}
	}
	return (struct fl_span){(uint8_t *)text.data, text.len};
}
