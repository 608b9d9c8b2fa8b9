/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mounted files as Kubernetes and people leave them, in a folder of the test's own. */
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
	/* what fl_source_load() gave */
	struct fl_credentials *credentials;
	struct fl_source_files files;
	struct fl_findings findings;
};

static void write_file(const char *path, const char *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, mode), 0);
	cr_assert_eq(close(fd), 0);
}

static void copy_fixture(const char *name, const char *to, mode_t mode)
{
	size_t len;
	char *text = fl_fixture(name, &len);

	write_file(to, text, len, mode);
	free(text);
}

static void mount_begin(struct mount *m)
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
static void mount_plain(struct mount *m)
{
	mount_begin(m);
	copy_fixture("p256.crt", m->cert, 0644);
	copy_fixture("p256.key", m->key, 0600);
	copy_fixture("root.crt", m->bundle, 0644);
}

static int load(struct mount *m)
{
	return fl_source_load(&m->source, &tls, (int64_t)time(NULL), &m->credentials, &m->files,
			      &m->findings);
}

static void unload(struct mount *m)
{
	fl_credentials_free(m->credentials);
	m->credentials = NULL;
	fl_source_files_done(&m->files);
	fl_findings_done(&m->findings);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void mount_end(struct mount *m)
{
	unload(m);
	remove_tree(m->path);
	free(m->cert);
	free(m->key);
	free(m->bundle);
	free(m->extra);
	fl_tls_global_done();
}

static void expect_good(struct mount *m)
{
	int rc = load(m);

	cr_assert_eq(rc, 0, "%s",
		     m->findings.count > 0 ? m->findings.items[0].text : "and nobody knows why");
	cr_assert_eq(m->findings.errors, 0);
	cr_assert_not_null(m->credentials);
}

static void expect_warning(struct mount *m, const char *path, const char *says)
{
	expect_good(m);
	cr_assert_eq(m->findings.count, 1, "%zu findings", m->findings.count);
	cr_assert(!m->findings.items[0].is_error);
	cr_assert_eq(m->findings.items[0].path, path);
	cr_assert(strstr(m->findings.items[0].text, says), "%s", m->findings.items[0].text);
	unload(m);
}

/* Refused with one error that says so about path, among count findings; an own candidate each time. */
static void expect_bad(struct mount *m, const char *path, const char *says)
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

/* --- good sets ---------------------------------------------------------------------------------- */

Test(source, plain_files)
{
	struct mount m;
	size_t len;
	char *key = fl_fixture("p256.key", &len);

	mount_plain(&m);
	expect_good(&m);
	cr_assert_eq(m.findings.count, 0);
	cr_assert_str_eq(m.credentials->id, "spiffe://prod.example/ns/test/sa/p256");
	cr_assert_eq(m.files.key.len, len);
	cr_assert_str_eq(m.files.key.data, key);
	cr_assert_gt(m.files.cert.len, 0);
	cr_assert_gt(m.files.bundle.len, 0);
	cr_assert_null(m.files.credential_bundle.data);
	free(key);
	mount_end(&m);
}

Test(source, credential_bundle_and_federation)
{
	struct fl_source_foreign foreign = {.trust_domain = "other.example"};
	struct mount m;

	mount_plain(&m);
	foreign.bundle = m.extra;
	copy_fixture("intermediate.bundle", m.key, 0600);
	copy_fixture("other.crt", m.extra, 0644);
	m.source = (struct fl_source){.credential_bundle = m.key,
				      .bundle = m.bundle,
				      .foreign = &foreign,
				      .foreign_count = 1};
	expect_good(&m);
	cr_assert_eq(m.credentials->chain.count, 2);
	cr_assert_eq(m.credentials->bundle_count, 2);
	cr_assert_eq(m.files.foreign_count, 1);
	cr_assert_gt(m.files.foreign[0].len, 0);
	cr_assert_gt(m.files.credential_bundle.len, 0);
	unload(&m);

	/* An empty foreign bundle trusts nobody; what is wrong with it, too, and is said. */
	write_file(m.extra, "", 0, 0644);
	expect_good(&m);
	cr_assert_eq(m.credentials->bundles[1].roots.count, 0);
	unload(&m);
	cr_assert_eq(unlink(m.extra), 0);
	expect_warning(&m, m.extra, "until this is repaired, nobody of other.example is trusted");
	copy_fixture("p256.crt", m.extra, 0644);
	expect_warning(&m, m.extra, "until this is repaired, nobody of other.example is trusted");
	mount_end(&m);
}

Test(source, relative_path)
{
	struct mount m;

	mount_plain(&m);
	cr_assert_eq(chdir(m.path), 0);
	m.source = (struct fl_source){.cert = "tls.crt", .key = "./tls.key", .bundle = "ca.crt"};
	expect_good(&m);
	cr_assert_eq(chdir("/"), 0);
	mount_end(&m);
}

/* --- Kubernetes' way of writing ----------------------------------------------------------------- */

/* What the kubelet does at a change: a new directory, `..data` swapped, the old one removed. */
static void kubelet_write(const char *path, unsigned number, const char *const (*files)[2])
{
	char *dir = fl_format("%s/..%u", path, number), *data = fl_format("%s/..data", path),
	     *fresh = fl_format("%s/..data_tmp", path), old[256] = "";
	ssize_t len = readlink(data, old, sizeof(old) - 1);

	cr_assert_eq(mkdir(dir, 0755), 0);
	for (; (*files)[0]; files++) {
		char *file = fl_format("%s/%s", dir, (*files)[0]);
		char *slash = strrchr((*files)[0], '/');

		if (slash) {
			char *sub =
				fl_format("%s/%.*s", dir, (int)(slash - (*files)[0]), (*files)[0]);

			(void)mkdir(sub, 0755);
			free(sub);
		}
		copy_fixture((*files)[1], file, 0440);
		free(file);
	}
	cr_assert_eq(symlink(strrchr(dir, '/') + 1, fresh), 0);
	cr_assert_eq(rename(fresh, data), 0);
	if (len > 0) {
		char *gone = fl_format("%s/%s", path, old);

		remove_tree(gone);
		free(gone);
	}
	free(dir);
	free(data);
	free(fresh);
}

static void kubelet_link(const char *path, const char *name)
{
	char *link = fl_format("%s/%s", path, name), *target = fl_format("..data/%s", name);

	cr_assert_eq(symlink(target, link), 0);
	free(link);
	free(target);
}

static const char *const set_a[][2] = {
	{"tls.crt", "p256.crt"}, {"tls.key", "p256.key"}, {"ca.crt", "root.crt"}, {NULL, NULL}};
static const char *const set_b[][2] = {{"tls.crt", "other-web.crt"},
				       {"tls.key", "other-web.key"},
				       {"ca.crt", "other.crt"},
				       {NULL, NULL}};

static void mount_kubernetes(struct mount *m)
{
	mount_begin(m);
	kubelet_write(m->path, 0, set_a);
	kubelet_link(m->path, "tls.crt");
	kubelet_link(m->path, "tls.key");
	kubelet_link(m->path, "ca.crt");
}

Test(source, kubernetes_swap)
{
	uint8_t a[FL_DIGEST_LEN], b[FL_DIGEST_LEN], again[FL_DIGEST_LEN];
	struct mount m;

	mount_kubernetes(&m);
	expect_good(&m);
	cr_assert_eq(m.findings.count, 0, "mode 0440 of our own group is a finding: %s",
		     m.findings.items[0].text);
	fl_credentials_digest(m.credentials, a);
	unload(&m);
	kubelet_write(m.path, 1, set_b);
	expect_good(&m);
	cr_assert_str_eq(m.credentials->trust_domain, "other.example");
	fl_credentials_digest(m.credentials, b);
	unload(&m);
	kubelet_write(m.path, 2, set_a);
	expect_good(&m);
	fl_credentials_digest(m.credentials, again);
	cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
	cr_assert_arr_eq(a, again, sizeof(a));
	unload(&m);

	/* Named through `..data` by the user, some of it. */
	free(m.key);
	m.key = fl_format("%s//..data/tls.key", m.path);
	m.source.key = m.key;
	expect_good(&m);
	mount_end(&m);
}

/* Items with a path: the link is the first folder of it. */
Test(source, kubernetes_items_in_folders)
{
	static const char *const files[][2] = {{"id/tls.crt", "p256.crt"},
					       {"id/tls.key", "p256.key"},
					       {"ca.crt", "root.crt"},
					       {NULL, NULL}};
	struct mount m;

	mount_begin(&m);
	kubelet_write(m.path, 0, files);
	kubelet_link(m.path, "id");
	kubelet_link(m.path, "ca.crt");
	free(m.cert);
	free(m.key);
	m.source.cert = m.cert = fl_format("%s/id/tls.crt", m.path);
	m.source.key = m.key = fl_format("%s/id/tls.key", m.path);
	expect_good(&m);
	mount_end(&m);
}

_Noreturn static void swap_forever(const char *path)
{
	for (unsigned i = 1;; i++) {
		kubelet_write(path, i, i % 2 ? set_b : set_a);
	}
}

/* Two sets of different trust domains take turns as fast as they can: each load sees one of them,
 * whole. Reading the files by their own paths fails here within a few rounds. */
Test(source, kubernetes_swap_in_between)
{
	size_t seen_a = 0, seen_b = 0;
	struct mount m;
	pid_t child;

	mount_kubernetes(&m);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		swap_forever(m.path);
	}
	for (size_t i = 0; i < 20000 && (i < 500 || seen_a < 10 || seen_b < 10); i++) {
		expect_good(&m);
		seen_a += strcmp(m.credentials->trust_domain, "prod.example") == 0;
		seen_b += strcmp(m.credentials->trust_domain, "other.example") == 0;
		unload(&m);
	}
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_assert(seen_a >= 10 && seen_b >= 10, "%zu and %zu", seen_a, seen_b);
	mount_end(&m);
}

/* Files rewritten in place, one at a time: torn sets are refused, never mixed, and soon whole again. */
Test(source, plain_rewrite)
{
	struct mount m;

	mount_plain(&m);
	copy_fixture("p256-renewed.crt", m.cert, 0644);
	expect_bad(&m, m.key, "was only one of the two renewed?");
	copy_fixture("p256-renewed.key", m.key, 0600);
	expect_good(&m);
	mount_end(&m);
}

/* --- files that are none ------------------------------------------------------------------------ */

Test(source, missing)
{
	struct mount m;

	mount_plain(&m);
	cr_assert_eq(unlink(m.cert), 0);
	expect_bad(&m, m.cert, "it does not exist: does the Secret have this key");
	m.source.cert = "/nonexistent/fairlead/tls.crt";
	expect_bad(&m, m.source.cert, "nor does its directory");
	m.source.cert = "/dev/null/tls.crt";
	expect_bad(&m, m.source.cert, "it cannot be opened: Not a directory");
	m.source.cert = m.cert;
	cr_assert_eq(symlink("tls.crt", m.cert), 0);
	expect_bad(&m, m.cert, "it cannot be opened: Too many levels");
	mount_end(&m);
}

Test(source, not_regular)
{
	struct mount m;

	mount_plain(&m);
	cr_assert_eq(unlink(m.key), 0);
	cr_assert_eq(mkfifo(m.key, 0600), 0); /* must not wait for a writer */
	expect_bad(&m, m.key, "it is a FIFO: put a regular file there");
	cr_assert_eq(unlink(m.key), 0);
	cr_assert_eq(mkdir(m.key, 0700), 0);
	expect_bad(&m, m.key, "it is a directory");
	m.source.key = "/dev/zero";
	expect_bad(&m, m.source.key, "it is a device");
	m.source.key = "/";
	expect_bad(&m, m.source.key, "it is a directory");
	mount_end(&m);
}

Test(source, size)
{
	struct mount m;
	char *text, *big;
	size_t len;

	mount_plain(&m);
	text = fl_fixture("root.crt", &len);
	big = fl_new(FL_SOURCE_FILE_MAX);
	memset(big, '\n', FL_SOURCE_FILE_MAX);
	memcpy(big, text, len);
	write_file(m.bundle, big, FL_SOURCE_FILE_MAX, 0644);
	expect_good(&m);
	unload(&m);
	cr_assert_eq(truncate(m.bundle, FL_SOURCE_FILE_MAX + 1), 0);
	expect_bad(&m, m.bundle, "it has 1048577 bytes, the maximum is 1048576");
	cr_assert_eq(truncate(m.bundle, 1LL << 40), 0); /* sparse */
	expect_bad(&m, m.bundle, "it has 1099511627776 bytes");
	write_file(m.bundle, "\0\0\0\0", 4, 0644);
	expect_bad(&m, m.bundle, "no PEM block");
	free(text);
	free(big);
	mount_end(&m);
}

/* --- nobody, for ever, too early ---------------------------------------------------------------- */

/* Emptied by accident, as far as anybody can tell. */
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

/* The same candidate is known again, good or bad. */
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

/* Root reads everything, so the test becomes somebody else for a while. */
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

/* Everything parses and belongs together, but nobody would believe it. */
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
