/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_UNIT_SOURCE_MOUNT_H
#define FL_TESTS_UNIT_SOURCE_MOUNT_H
/* source_mount - a folder of mounted files, and what is read from it. Header only: each test is a program of its own. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "certs-watch/source.h"
#include "fixture.h"
#include "pki/pem.h"

#define NOBODY 65534

static const char *const groups[] = {"X25519"};
static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256"};
static const struct fl_tls_options tls = {groups, 1, ciphers, 1, .ticket_keys = NULL};

/* --- a folder ----------------------------------------------------------------------------------- */

struct mount {
	char path[64];
	char *cert, *key, *bundle, *extra; /* paths of tls.crt, tls.key, ca.crt, extra */
	struct fl_source source;
	/* the result of fl_source_load() */
	struct fl_credentials *credentials;
	struct fl_source_files files;
	struct fl_findings findings;
};

static inline void write_file(const char *path, const char *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, mode), 0);
	cr_assert_eq(close(fd), 0);
}

static inline void copy_fixture(const char *name, const char *to, mode_t mode)
{
	size_t len;
	char *text = fl_fixture(name, &len);

	write_file(to, text, len, mode);
	free(text);
}

static inline void mount_begin(struct mount *m)
{
	struct fl_err err;

	cr_assert_eq(fl_tls_global_init(&err), 0, "%s", err.text);
	*m = (struct mount){.path = "/tmp/fairlead-source.XXXXXX"};
	cr_assert_not_null(mkdtemp(m->path));
	cr_assert_eq(chmod(m->path, 0755), 0);
	m->cert = fl_format("%s/tls.crt", m->path);
	m->key = fl_format("%s/tls.key", m->path);
	m->bundle = fl_format("%s/ca.crt", m->path);
	m->extra = fl_format("%s/extra", m->path);
	m->source = (struct fl_source){.cert = m->cert, .key = m->key, .bundle = m->bundle};
}

/* Plain files. */
static inline void mount_plain(struct mount *m)
{
	mount_begin(m);
	copy_fixture("p256.crt", m->cert, 0644);
	copy_fixture("p256.key", m->key, 0600);
	copy_fixture("root.crt", m->bundle, 0644);
}

static inline int load(struct mount *m)
{
	return fl_source_load(&m->source, &tls, (int64_t)time(NULL), &m->credentials, &m->files,
			      &m->findings);
}

static inline void unload(struct mount *m)
{
	fl_credentials_free(m->credentials);
	m->credentials = NULL;
	fl_source_files_done(&m->files);
	fl_findings_done(&m->findings);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void mount_end(struct mount *m)
{
	unload(m);
	remove_tree(m->path);
	free(m->cert);
	free(m->key);
	free(m->bundle);
	free(m->extra);
	fl_tls_global_done();
}

static inline void expect_good(struct mount *m)
{
	int rc = load(m);

	cr_assert_eq(rc, 0, "%s",
		     m->findings.count > 0 ? m->findings.items[0].text : "and nobody knows why");
	cr_assert_eq(m->findings.errors, 0);
	cr_assert_not_null(m->credentials);
}

static inline void expect_warning(struct mount *m, const char *path, const char *says)
{
	expect_good(m);
	cr_assert_eq(m->findings.count, 1, "%zu findings", m->findings.count);
	cr_assert(!m->findings.items[0].is_error);
	cr_assert_eq(m->findings.items[0].path, path);
	cr_assert(strstr(m->findings.items[0].text, says), "%s", m->findings.items[0].text);
	unload(m);
}

/* Refused with one error that says so about path, among count findings; an own candidate each time. */
static inline void expect_bad(struct mount *m, const char *path, const char *says)
{
	bool found = false;

	cr_assert_eq(load(m), FL_ERR_INVALID, "%s was let in", path ? path : "the set");
	cr_assert_null(m->credentials);
	cr_assert_null(m->files.key.data);
	cr_assert_gt(m->findings.errors, 0);
	for (size_t i = 0; i < m->findings.count; i++) {
		const struct fl_finding *finding = &m->findings.items[i];

		found |= finding->is_error && finding->path == path && strstr(finding->text, says);
	}
	cr_assert(found, "%s: %s is not said, but: %s", path ? path : "set", says,
		  m->findings.items[0].text);
	unload(m);
}

#endif
