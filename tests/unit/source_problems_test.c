/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mounted files that are empty, expired, unreadable, or do not belong together. */
#include "source_mount.h"

/* --- nobody, for ever, too early ---------------------------------------------------------------- */

/* Probably emptied by accident. */
Test(source, empty_bundle)
{
	static const char comment[] = "# nobody, until the audit is over\n\n";
	struct mount m;

	mount_plain(&m);
	write_file(m.bundle, "", 0, 0644);
	expect_bad(&m, m.bundle, "it is empty, a certificate belongs here");
	write_file(m.bundle, comment, sizeof(comment) - 1, 0644);
	expect_bad(&m, m.bundle, "it is empty, a certificate belongs here");
	write_file(m.bundle, "nobody\n", 7, 0644);
	expect_bad(&m, m.bundle, "no PEM block");
	cr_assert_eq(unlink(m.bundle), 0);
	expect_bad(&m, m.bundle, "it does not exist");
	mount_end(&m);
}

Test(source, file_that_is_a_mount)
{
	struct mount m;

	mount_plain(&m);
	copy_fixture("root.crt", m.extra, 0644);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(m.extra, m.bundle, NULL, MS_BIND, NULL) < 0) {
		mount_end(&m);
		cr_skip("only root makes mounts");
	}
	expect_warning(&m, m.bundle, "it is itself a mount (subPath");
	cr_assert(fl_source_is_mount(m.bundle));
	cr_assert(!fl_source_is_mount(m.cert));
	cr_assert_eq(umount(m.bundle), 0);
	/* A whole directory is how it should be. */
	cr_assert_eq(mount(m.path, m.path, NULL, MS_BIND, NULL), 0);
	expect_good(&m);
	cr_assert_eq(m.findings.count, 0);
	cr_assert_eq(umount2(m.path, MNT_DETACH), 0);
	mount_end(&m);
}

/* The same candidate is recognized, good or bad. */
Test(source, digest)
{
	uint8_t first[FL_DIGEST_LEN], other[FL_DIGEST_LEN];
	struct mount m;

	mount_plain(&m);
	expect_good(&m);
	cr_assert(!m.findings.is_atomic);
	memcpy(first, m.findings.digest, sizeof(first));
	unload(&m);
	copy_fixture("p256-renewed.crt", m.cert, 0644);
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	memcpy(other, m.findings.digest, sizeof(other));
	cr_assert_neq(memcmp(first, other, sizeof(first)), 0);
	unload(&m);
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	cr_assert_arr_eq(other, m.findings.digest, sizeof(other));
	unload(&m);
	cr_assert_eq(unlink(m.cert), 0);
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	cr_assert_neq(memcmp(other, m.findings.digest, sizeof(other)), 0);
	unload(&m);
	copy_fixture("p256.crt", m.cert, 0644);
	expect_good(&m);
	cr_assert_arr_eq(first, m.findings.digest, sizeof(first));
	mount_end(&m);
}

/* The credentials of a set of fixtures. roots: joined by +. */
static struct fl_credentials *credentials_of(struct mount *m, const char *leaf, const char *roots)
{
	struct fl_credentials *credentials;
	char *cert = fl_format("%s.crt", leaf), *key = fl_format("%s.key", leaf);
	char *list = fl_strdup(roots), *rest = list, *name, *all = fl_strdup("");

	while ((name = strsep(&rest, "+")) != NULL && name[0] != '\0') {
		char *text = fl_fixture(name, NULL), *longer = fl_format("%s%s", all, text);

		free(text);
		free(all);
		all = longer;
	}
	copy_fixture(cert, m->cert, 0644);
	copy_fixture(key, m->key, 0600);
	write_file(m->bundle, all, strlen(all), 0644);
	expect_good(m);
	credentials = m->credentials;
	m->credentials = NULL;
	unload(m);
	free(cert);
	free(key);
	free(list);
	free(all);
	return credentials;
}

static const struct {
	const char *leaf_before, *roots_before, *leaf_after, *roots_after;
	const char *of_bundle, *of_chain; /* warnings; NULL: none */
} changes[] = {
	/* the safe order, step by step */
	{"p256", "root.crt", "p256", "root.crt+rsa-root.crt", NULL, NULL},
	{"p256", "root.crt+rsa-root.crt", "under-rsa-root", "root.crt+rsa-root.crt", NULL, NULL},
	{"under-rsa-root", "root.crt+rsa-root.crt", "under-rsa-root", "rsa-root.crt", NULL, NULL},
	/* nothing to do with roots */
	{"p256", "root.crt", "p256-renewed", "root.crt", NULL, NULL},
	{"p256", "root.crt", "two-intermediates", "root.crt", NULL, NULL},
	{"two-intermediates", "root.crt+root-second.crt", "p256", "root.crt", NULL, NULL},
	/* all at once, and each step too early */
	{"p256", "root.crt", "under-rsa-root", "rsa-root.crt", "gone from our bundle",
	 "did not have before"},
	{"p256", "root.crt", "under-rsa-root", "root.crt+rsa-root.crt", NULL,
	 "issue from a new root only after every workload has it"},
	{"intermediate", "root.crt+rsa-root.crt", "under-rsa-root", "rsa-root.crt",
	 "remove a root only after", NULL},
};

static void expect_text(const struct fl_findings *findings, const char *path, const char *says)
{
	size_t count = 0;

	for (size_t i = 0; i < findings->count; i++) {
		const struct fl_finding *finding = &findings->items[i];

		if (finding->path == path) {
			count++;
			cr_assert(!finding->is_error);
			cr_assert(says && strstr(finding->text, says), "%s", finding->text);
		}
	}
	cr_assert_eq(count, says ? 1 : 0, "%s: %zu", path, count);
}

Test(source, rollover)
{
	for (size_t i = 0; i < FL_COUNT_OF(changes); i++) {
		struct fl_credentials *before, *after;
		struct fl_findings findings = {0};
		struct mount m;

		mount_begin(&m);
		before = credentials_of(&m, changes[i].leaf_before, changes[i].roots_before);
		after = credentials_of(&m, changes[i].leaf_after, changes[i].roots_after);
		fl_der_wipe(&before->key);
		fl_source_judge_change(&m.source, before, after, &findings);
		expect_text(&findings, m.bundle, changes[i].of_bundle);
		expect_text(&findings, m.cert, changes[i].of_chain);
		fl_findings_done(&findings);
		fl_credentials_free(before);
		fl_credentials_free(after);
		mount_end(&m);
	}
}

/* --- permissions -------------------------------------------------------------------------------- */

Test(source, modes)
{
	static const mode_t fine[] = {0400, 0600, 0440, 0640};
	struct mount m;

	mount_plain(&m);
	for (size_t i = 0; i < FL_COUNT_OF(fine); i++) {
		cr_assert_eq(chmod(m.key, fine[i]), 0);
		expect_good(&m);
		cr_assert_eq(m.findings.count, 0, "%04o", (unsigned)fine[i]);
		unload(&m);
	}
	cr_assert_eq(chmod(m.key, 0644), 0);
	expect_warning(&m, m.key, "everyone may read the private key (mode 0644)");
	if (geteuid() == 0) {
		cr_assert_eq(chown(m.key, 0, NOBODY), 0);
		cr_assert_eq(chmod(m.key, 0640), 0);
		expect_warning(&m, m.key, "group 65534 may read the private key");
		cr_assert_eq(chown(m.key, 0, 0), 0);
	}
	cr_assert_eq(chmod(m.key, 0600), 0);
	cr_assert_eq(chmod(m.bundle, 0666), 0);
	expect_warning(&m, m.bundle, "everyone may write to it (mode 0666)");
	mount_end(&m);
}

/* Root can read everything, so the test changes its user for a while. */
static void drop(void)
{
	if (geteuid() == 0) {
		cr_assert_eq(setegid(NOBODY), 0);
		cr_assert_eq(seteuid(NOBODY), 0);
	}
}

static void regain(void)
{
	if (getuid() == 0) {
		cr_assert_eq(seteuid(0), 0);
		cr_assert_eq(setegid(0), 0);
		/* The leak checker needs what the change of uid took away. */
		(void)prctl(PR_SET_DUMPABLE, 1);
	}
}

Test(source, unreadable)
{
	struct mount m;
	struct stat st;
	char *mode, *gid;

	mount_plain(&m);
	cr_assert_eq(stat(m.key, &st), 0);
	cr_assert_eq(chmod(m.key, 0000), 0);
	drop();
	mode = fl_format("uid %u (gid %u) may not read it", (unsigned)geteuid(),
			 (unsigned)getegid());
	gid = fl_format("securityContext.runAsGroup to %u and the volume's defaultMode to 0440",
			(unsigned)st.st_gid);
	expect_bad(&m, m.key, mode);
	expect_bad(&m, m.key, gid);
	regain();
	cr_assert_eq(chmod(m.path, 0600), 0);
	drop();
	expect_bad(&m, m.cert, "may not search its directory");
	regain();
	cr_assert_eq(chmod(m.path, 0700), 0);
	free(mode);
	free(gid);
	mount_end(&m);
}

/* --- all at once -------------------------------------------------------------------------------- */

Test(source, all_problems_at_once)
{
	struct fl_source_foreign foreign = {.trust_domain = "other.example"};
	const char *paths[5];
	struct mount m;

	mount_plain(&m);
	foreign.bundle = m.extra;
	m.source.foreign = &foreign;
	m.source.foreign_count = 1;
	copy_fixture("expired.crt", m.cert, 0644);
	cr_assert_eq(unlink(m.key), 0);
	copy_fixture("root-expired.crt", m.bundle, 0644);
	cr_assert_eq(mkfifo(m.extra, 0600), 0);
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	/* What could not be read first, then what was read; nothing about the missing key twice. */
	paths[0] = m.key;
	paths[1] = m.extra;
	paths[2] = m.cert;
	paths[3] = m.bundle; /* that root, and that none is left */
	paths[4] = m.bundle;
	cr_assert_eq(m.findings.count, 5, "%zu", m.findings.count);
	cr_assert_eq(m.findings.errors, 3);
	for (size_t i = 0; i < 5; i++) {
		cr_assert_eq(m.findings.items[i].path, paths[i], "%zu: %s", i,
			     m.findings.items[i].text);
	}
	mount_end(&m);
}

/* Everything parses and belongs together, but no peer would accept it. */
Test(source, trial)
{
	struct mount m;

	mount_plain(&m);
	copy_fixture("other-ca.crt", m.cert, 0644);
	copy_fixture("other-ca.key", m.key, 0600);
	expect_bad(&m, m.cert, "chain-unknown-issuer");
	copy_fixture("foreign-td.crt", m.cert, 0644);
	copy_fixture("foreign-td.key", m.key, 0600);
	copy_fixture("root.crt", m.bundle, 0644);
	expect_good(&m); /* other.example's own root it is, then */
	cr_assert_str_eq(m.credentials->trust_domain, "other.example");
	mount_end(&m);
}

/* --- a set that is not whole -------------------------------------------------------------------- */

Test(source, files_that_are_not_named)
{
	struct mount m;

	mount_plain(&m);
	m.source.key = NULL;
	m.source.bundle = NULL;
	m.source.may_lack_files = true;
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	cr_assert_eq(m.findings.count, 0, "nothing is wrong with the certificate");
	cr_assert_null(m.credentials);
	unload(&m);
	write_file(m.cert, "nobody\n", 7, 0644);
	expect_bad(&m, m.cert, "no PEM block");
	m.source.may_lack_files = false;
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	cr_assert_eq(m.findings.errors, 3);
	mount_end(&m);
}
