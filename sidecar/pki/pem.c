/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pem - a strict walk over lines: text, BEGIN line, base64, END line, and again.
 *
 * We find the blocks ourselves: wolfSSL's own reader uses the first block that it accepts and skips
 * what it does not understand, so that a damaged bundle would load as a smaller one. Here broken
 * PEM fails (FL_ERR_INVALID), and the error names block and line. Base64 of keys is gathered in one
 * buffer that is wiped, and decoded without table look-ups. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/coding.h>

#include "pki/pem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DASHES "-----"
#define BEGIN DASHES "BEGIN "
#define END DASHES "END "

/* One line without its end and trailing blanks. */
struct line {
	struct fl_span text;
	unsigned number; /* from 1 */
};

struct scan {
	struct fl_span text;
	size_t pos;
	unsigned line;   /* of the last line read */
	unsigned blocks; /* found so far */
	bool has_text;   /* something other than blanks and comments outside the blocks */
};

struct block {
	struct fl_span label; /* printable */
	struct fl_span body;  /* whole lines between BEGIN and END */
	unsigned number;      /* from 1 */
	unsigned line;        /* of BEGIN */
};

static bool has_prefix(struct fl_span text, const char *prefix)
{
	size_t len = strlen(prefix);

	return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static bool contains(struct fl_span text, const char *needle)
{
	return text.len > 0 && memmem(text.data, text.len, needle, strlen(needle)) != NULL;
}

static bool is_label(const struct block *block, const char *label)
{
	return block->label.len == strlen(label) && has_prefix(block->label, label);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool next_line(struct scan *scan, struct line *ret)
{
	const uint8_t *at, *newline;
	size_t len;

	if (scan->pos == scan->text.len) {
		return false;
	}
	at = scan->text.data + scan->pos;
	newline = memchr(at, '\n', scan->text.len - scan->pos);
	len = newline ? (size_t)(newline - at) : scan->text.len - scan->pos;
	scan->pos += newline ? len + 1 : len;
	scan->line++;
	while (len > 0 && is_blank(at[len - 1])) {
		len--;
	}
	*ret = (struct line){.text = {at, len}, .number = scan->line};
	return true;
}

/* The label of a BEGIN or END line. False: the line is not a well-formed one. */
static bool parse_boundary(struct fl_span line, const char *prefix, struct fl_span *ret)
{
	size_t begin = strlen(prefix), dashes = strlen(DASHES);

	if (!has_prefix(line, prefix) || line.len <= begin + dashes ||
	    memcmp(line.data + line.len - dashes, DASHES, dashes) != 0) {
		return false;
	}
	*ret = (struct fl_span){line.data + begin, line.len - dashes - begin};
	for (size_t i = 0; i < ret->len; i++) {
		if (ret->data[i] < ' ' || ret->data[i] > '~' || ret->data[i] == '-') {
			return false;
		}
	}
	return ret->len <= 64;
}

/* Checks a line outside the blocks that is not a valid BEGIN line: text, or broken PEM. */
static int check_text(struct scan *scan, const struct line *line, struct fl_err *err)
{
	struct fl_span text = line->text;
	size_t blanks = 0;

	if (has_prefix(text, END)) {
		return fl_err_set(err, FL_ERR_INVALID, "line %u: an END line without BEGIN",
				  line->number);
	}
	if (line->number == 1 && has_prefix(text, "\xef\xbb\xbf" BEGIN)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "line 1: the file begins with a byte-order mark: save it as "
				  "plain text without one");
	}
	while (blanks < text.len && is_blank(text.data[blanks])) {
		blanks++;
	}
	if (blanks > 0 &&
	    has_prefix((struct fl_span){text.data + blanks, text.len - blanks}, DASHES)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"line %u begins with blanks: remove the indentation, each line of PEM "
			"must begin at the margin (in YAML, use a block after `|`)",
			line->number);
	}
	if (has_prefix(text, DASHES) || (contains(text, "BEGIN ") && contains(text, "--"))) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "line %u: a BEGIN line is damaged, it must be exactly "
				  "-----BEGIN, a label and -----",
				  line->number);
	}
	if (text.len > 0 && text.data[0] != '#') {
		scan->has_text = true;
	}
	return 0;
}

/* Looks for the END line of a block whose BEGIN line has been read. */
static int find_end(struct scan *scan, struct block *block, struct fl_err *err)
{
	struct fl_span label;
	struct line line;

	block->body.data = scan->text.data + scan->pos;
	while (next_line(scan, &line)) {
		if (!has_prefix(line.text, DASHES)) {
			continue;
		}
		block->body.len = (size_t)(line.text.data - block->body.data);
		if (has_prefix(line.text, END) && contains(line.text, BEGIN)) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "line %u: two blocks meet on one line, a line end is "
					  "missing where files were joined",
					  line.number);
		}
		if (has_prefix(line.text, BEGIN)) {
			break;
		}
		if (!parse_boundary(line.text, END, &label) || label.len != block->label.len ||
		    memcmp(label.data, block->label.data, label.len) != 0) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "block %u (line %u): line %u does not end it as "
					  "-----END %.*s-----",
					  block->number, block->line, line.number,
					  (int)block->label.len, (const char *)block->label.data);
		}
		return 0;
	}
	return fl_err_set(err, FL_ERR_INVALID,
			  "block %u (line %u) is cut off, its line -----END %.*s----- is missing",
			  block->number, block->line, (int)block->label.len,
			  (const char *)block->label.data);
}

static int next_block(struct scan *scan, bool *ret_found, struct block *ret, struct fl_err *err)
{
	struct block block = {.number = scan->blocks + 1};
	struct line line;
	int rc;

	while (next_line(scan, &line)) {
		if (parse_boundary(line.text, BEGIN, &block.label)) {
			block.line = line.number;
			rc = find_end(scan, &block, err);
			if (rc < 0) {
				return rc;
			}
			scan->blocks++;
			*ret = block;
			*ret_found = true;
			return 0;
		}
		rc = check_text(scan, &line, err);
		if (rc < 0) {
			return rc;
		}
	}
	*ret_found = false;
	return 0;
}

static bool is_base64(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

/* Gathers the base64 of a block into buf (body.len bytes), without line ends. */
static int gather(const struct block *block, uint8_t *buf, size_t *ret_len, struct fl_err *err)
{
	struct scan scan = {.text = block->body, .line = block->line};
	size_t len = 0, padding = 0;
	struct line line;

	while (next_line(&scan, &line)) {
		for (size_t i = 0; i < line.text.len; i++) {
			uint8_t c = line.text.data[i];

			if (c == '=') {
				padding++;
			} else if (!is_base64(c) || padding > 0) {
				return fl_err_set(err, FL_ERR_INVALID,
						  "block %u (line %u): line %u is not base64",
						  block->number, block->line, line.number);
			}
			buf[len++] = c;
		}
	}
	if (len == 0) {
		return fl_err_set(err, FL_ERR_INVALID, "block %u (line %u) is empty", block->number,
				  block->line);
	}
	if (len % 4 != 0 || padding > 2) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "block %u (line %u): its base64 is incomplete, was it truncated?",
				  block->number, block->line);
	}
	*ret_len = len;
	return 0;
}

static int decode(const struct block *block, struct fl_der *ret, struct fl_err *err)
{
	uint8_t *base64 = fl_new(block->body.len + 1);
	struct fl_der der = {0};
	size_t len = 0;
	word32 out_len;
	int rc = gather(block, base64, &len, err);

	if (rc == 0) {
		FL_REQUIRE(len <= INT_MAX);
		der.len = len / 4 * 3;
		der.data = fl_new(der.len);
		out_len = (word32)der.len;
		if (Base64_Decode(base64, (word32)len, der.data, &out_len) != 0) {
			fl_wipe_free(der.data, der.len);
			rc = fl_err_set(err, FL_ERR_INVALID, "block %u (line %u) is not base64",
					block->number, block->line);
		} else {
			der.len = out_len;
			*ret = der;
		}
	}
	fl_wipe_free(base64, block->body.len + 1);
	return rc;
}

/* --- unexpected content ------------------------------------------- */

/* No block was found. wanted: "a certificate", command: how to turn DER into PEM. */
static int refuse_blockless(const struct scan *scan, const char *wanted, const char *command,
			    struct fl_err *err)
{
	struct fl_span text = scan->text;

	if (text.len >= 2 && text.data[0] == 0x30 && text.data[1] >= 0x80) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "this is binary (DER), not PEM; convert it: %s", command);
	}
	if (scan->blocks > 0) {
		return fl_err_set(err, FL_ERR_INVALID, "it has EC PARAMETERS only, %s belongs here",
				  wanted);
	}
	if (!scan->has_text) {
		return fl_err_set(err, FL_ERR_INVALID, "it is empty, %s belongs here", wanted);
	}
	return fl_err_set(err, FL_ERR_INVALID, "it has text but no PEM block, %s belongs here",
			  wanted);
}

#define X509_COMMAND "openssl x509 -inform DER -in FILE -out FILE.pem"
#define CRL_COMMAND "openssl crl -inform DER -in FILE -out FILE.pem"
#define PKEY_COMMAND "openssl pkey -inform DER -in FILE -out FILE.pem"

static bool is_private_key(const struct block *block)
{
	return contains(block->label, "PRIVATE KEY");
}

static int refuse_as_certificate(const struct block *block, struct fl_err *err)
{
	const char *advice = "only certificates belong here";

	if (is_private_key(block)) {
		advice =
			"a private key where certificates belong: are `cert` and `key` swapped? (key "
			"and chain in one file are a `credential_bundle`)";
	} else if (contains(block->label, "CERTIFICATE REQUEST")) {
		advice = "a request is not a certificate yet: have a CA sign it";
	} else if (is_label(block, "TRUSTED CERTIFICATE")) {
		advice = "OpenSSL's own format; convert it: openssl x509 -in FILE -out FILE.pem";
	} else if (contains(block->label, "PKCS7")) {
		advice = "convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem";
	} else if (contains(block->label, "CRL")) {
		advice = "put a CRL into the file that `crl` names";
	}
	return fl_err_set(err, FL_ERR_INVALID, "block %u (line %u) is \"%.*s\": %s", block->number,
			  block->line, (int)block->label.len, (const char *)block->label.data,
			  advice);
}

static int refuse_as_key(const struct block *block, struct fl_err *err)
{
	const char *advice = "one private key belongs here";

	if (contains(block->label, "CERTIFICATE")) {
		advice =
			"a certificate where the private key belongs: are `cert` and `key` swapped? "
			"(key and chain in one file are a `credential_bundle`)";
	} else if (is_label(block, "PUBLIC KEY") || is_label(block, "RSA PUBLIC KEY")) {
		advice = "a public key: its private half belongs here";
	} else if (is_label(block, "OPENSSH PRIVATE KEY")) {
		advice = "OpenSSH's own format; convert it: ssh-keygen -p -m PKCS8 -f FILE";
	}
	return fl_err_set(err, FL_ERR_INVALID, "block %u (line %u) is \"%.*s\": %s", block->number,
			  block->line, (int)block->label.len, (const char *)block->label.data,
			  advice);
}

static int refuse_as_crl(const struct block *block, struct fl_err *err)
{
	const char *advice = "only CRLs belong here";

	if (contains(block->label, "CERTIFICATE")) {
		advice = "a certificate where CRLs belong: are `crl` and `bundle` swapped?";
	}
	return fl_err_set(err, FL_ERR_INVALID, "block %u (line %u) is \"%.*s\": %s", block->number,
			  block->line, (int)block->label.len, (const char *)block->label.data,
			  advice);
}

static int check_key_block(const struct block *block, struct fl_err *err)
{
	bool encrypted = is_label(block, "ENCRYPTED PRIVATE KEY");

	/* The older form: a header inside the block (RFC 1421). */
	if (is_label(block, "EC PRIVATE KEY") || is_label(block, "RSA PRIVATE KEY")) {
		encrypted = contains(block->body, ",ENCRYPTED");
	} else if (!encrypted && !is_label(block, "PRIVATE KEY")) {
		return refuse_as_key(block, err);
	}
	if (encrypted) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"block %u (line %u) is an encrypted key, and nobody can enter its "
			"passphrase; decrypt it (openssl pkey -in FILE -out FILE.plain) and "
			"protect it by its file mode",
			block->number, block->line);
	}
	return 0;
}

/* The next block that is not EC PARAMETERS, which `openssl ecparam -genkey` writes before the key. */
static int next_key_block(struct scan *scan, bool *ret_found, struct block *ret, struct fl_err *err)
{
	int rc;

	do {
		rc = next_block(scan, ret_found, ret, err);
	} while (rc == 0 && *ret_found && is_label(ret, "EC PARAMETERS"));
	return rc;
}

/* --- the kinds of file -------------------------------------------------------------------------- */

static int scan_begin(struct scan *scan, const char *text, size_t len, struct fl_err *err)
{
	/* wolfCrypt counts in 32 bits. */
	if (len > INT_MAX) {
		return fl_err_set(err, FL_ERR_LIMIT, "it is too big");
	}
	*scan = (struct scan){.text = {(const uint8_t *)text, len}};
	return 0;
}

/* The rest of the blocks, each with that label; refuse() says why another one does not belong. */
static int read_list(struct scan *scan, const char *label,
		     int (*refuse)(const struct block *block, struct fl_err *err),
		     struct fl_der_list *ret, struct fl_err *err)
{
	struct fl_der_list list = {0};
	struct block block;
	bool found;
	int rc;

	for (;;) {
		rc = next_block(scan, &found, &block, err);
		if (rc < 0 || !found) {
			break;
		}
		if (!is_label(&block, label)) {
			rc = refuse(&block, err);
			break;
		}
		list.items = fl_grow(list.items, list.count + 1, sizeof(*list.items));
		rc = decode(&block, &list.items[list.count], err);
		if (rc < 0) {
			break;
		}
		list.count++;
	}
	if (rc < 0) {
		fl_der_list_done(&list);
		return rc;
	}
	*ret = list;
	return 0;
}

static int read_certificates(struct scan *scan, struct fl_der_list *ret, struct fl_err *err)
{
	return read_list(scan, "CERTIFICATE", refuse_as_certificate, ret, err);
}

int fl_pem_certificates(const char *text, size_t len, bool allow_empty, struct fl_der_list *ret,
			struct fl_err *err)
{
	struct fl_der_list list;
	struct scan scan;
	int rc = scan_begin(&scan, text, len, err);

	if (rc == 0) {
		rc = read_certificates(&scan, &list, err);
	}
	if (rc < 0) {
		return rc;
	}
	/* Garbage must not pass for "trust nobody": an empty bundle has blanks and # comments only. */
	if (list.count == 0 && (!allow_empty || scan.has_text)) {
		return refuse_blockless(&scan, "a certificate", X509_COMMAND, err);
	}
	*ret = list;
	return 0;
}

int fl_pem_crls(const char *text, size_t len, struct fl_der_list *ret, struct fl_err *err)
{
	struct fl_der_list list;
	struct scan scan;
	int rc = scan_begin(&scan, text, len, err);

	if (rc == 0) {
		rc = read_list(&scan, "X509 CRL", refuse_as_crl, &list, err);
	}
	if (rc < 0) {
		return rc;
	}
	if (list.count == 0 && !scan.has_text) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "it is empty, a CRL belongs here; without CRLs, remove the key "
				  "`crl` from the INI");
	}
	if (list.count == 0) {
		return refuse_blockless(&scan, "a CRL", CRL_COMMAND, err);
	}
	*ret = list;
	return 0;
}

static int read_key(struct scan *scan, struct fl_der *ret, struct fl_err *err)
{
	struct block block;
	bool found;
	int rc = next_key_block(scan, &found, &block, err);

	if (rc < 0) {
		return rc;
	}
	if (!found) {
		return refuse_blockless(scan, "a private key", PKEY_COMMAND, err);
	}
	rc = check_key_block(&block, err);
	return rc < 0 ? rc : decode(&block, ret, err);
}

int fl_pem_private_key(const char *text, size_t len, struct fl_der *ret, struct fl_err *err)
{
	struct fl_der key = {0};
	struct block block;
	struct scan scan;
	bool found;
	int rc = scan_begin(&scan, text, len, err);

	if (rc == 0) {
		rc = read_key(&scan, &key, err);
	}
	if (rc < 0) {
		return rc;
	}
	rc = next_key_block(&scan, &found, &block, err);
	if (rc == 0 && found) {
		rc = is_private_key(&block)
			     ? fl_err_set(
				       err, FL_ERR_INVALID,
				       "block %u (line %u) is a second private key, one belongs here",
				       block.number, block.line)
			     : refuse_as_key(&block, err);
	}
	if (rc < 0) {
		fl_der_wipe(&key);
		return rc;
	}
	*ret = key;
	return 0;
}

int fl_pem_credential_bundle(const char *text, size_t len, struct fl_der *ret_key,
			     struct fl_der_list *ret_chain, struct fl_err *err)
{
	struct fl_der_list chain = {0};
	struct fl_der key = {0};
	struct scan scan;
	int rc = scan_begin(&scan, text, len, err);

	if (rc == 0) {
		rc = read_key(&scan, &key, err);
	}
	if (rc < 0) {
		return fl_err_prefix(err,
				     "a credential bundle has the key first and then the chain");
	}
	rc = read_certificates(&scan, &chain, err);
	if (rc == 0 && chain.count == 0) {
		rc = fl_err_set(
			err, FL_ERR_INVALID,
			"the certificates that follow the key in a credential bundle are missing");
	}
	if (rc < 0) {
		fl_der_wipe(&key);
		return rc;
	}
	*ret_key = key;
	*ret_chain = chain;
	return 0;
}

/* --- blobs -------------------------------------------------------------------------------------- */

void fl_der_copy(struct fl_der *to, const uint8_t *data, size_t len)
{
	to->data = fl_new(len);
	to->len = len;
	if (len > 0) {
		memcpy(to->data, data, len);
	}
}

void fl_der_list_push(struct fl_der_list *list, const uint8_t *data, size_t len)
{
	list->items = fl_grow(list->items, list->count + 1, sizeof(*list->items));
	fl_der_copy(&list->items[list->count], data, len);
	list->count++;
}

void fl_der_list_done(struct fl_der_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].data);
	}
	free(list->items);
	*list = (struct fl_der_list){0};
}

void fl_der_wipe(struct fl_der *der)
{
	fl_wipe_free(der->data, der->len);
	*der = (struct fl_der){0};
}
