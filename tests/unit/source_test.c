/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mounted files as Kubernetes and people leave them, in a folder of the test's own. */
#include "source_mount.h"

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

	/* With an empty federated bundle no peer of that domain is trusted; the same with a bad one, which is also
	 * reported. */
	write_file(m.extra, "", 0, 0644);
	expect_good(&m);
	cr_assert_eq(m.credentials->bundles[1].roots.count, 0);
	unload(&m);
	cr_assert_eq(unlink(m.extra), 0);
	expect_good(&m);
	cr_assert_not_null(strstr(m.credentials->bundles[1].refused, "it does not exist"));
	unload(&m);
	expect_warning(&m, m.extra, "until this is repaired, nobody of other.example is trusted");
	foreign.trust_domain = "prod.example"; /* ours, which is no fault of the file */
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	cr_assert_eq(m.findings.errors, 1);
	unload(&m);
	foreign.trust_domain = "other.example";
	copy_fixture("p256.crt", m.extra, 0644);
	expect_warning(&m, m.extra, "until this is repaired, nobody of other.example is trusted");
	mount_end(&m);
}

/* A partner's files cost neither our own nor another partner's, and are not tried one after the other. */
Test(source, federated_link_that_leads_nowhere)
{
	struct fl_source_foreign foreign[10] = {{.trust_domain = "other.example"}};
	struct timespec began, ended;
	struct mount m;
	char *link, *lost;

	mount_plain(&m);
	foreign[0].bundle = m.extra;
	copy_fixture("other.crt", m.extra, 0644);
	link = fl_format("%s/..data", m.path);
	lost = fl_format("%s/partner.pem", link);
	cr_assert_eq(symlink("gone", link), 0);
	for (size_t i = 1; i < FL_COUNT_OF(foreign); i++) {
		foreign[i].trust_domain = fl_format("p%zu.example", i);
		foreign[i].bundle = lost;
	}
	m.source.foreign = foreign;
	m.source.foreign_count = FL_COUNT_OF(foreign);
	cr_assert_eq(clock_gettime(CLOCK_MONOTONIC, &began), 0);
	cr_assert_eq(load(&m), 0);
	cr_assert_eq(clock_gettime(CLOCK_MONOTONIC, &ended), 0);
	cr_assert_lt(ended.tv_sec - began.tv_sec, 2, "20 pauses of 5 ms, and not 180");
	cr_assert_eq(m.credentials->bundles[0].roots.count, 1);
	cr_assert_eq(m.credentials->bundles[1].roots.count, 1);
	cr_assert_eq(m.credentials->bundles[2].roots.count, 0);
	cr_assert_eq(m.findings.count, FL_COUNT_OF(foreign) - 1);
	cr_assert_str_eq(m.findings.items[0].path, lost);
	cr_assert_not_null(strstr(m.findings.items[0].text, "leads nowhere"));
	unload(&m);

	/* One of ours: that is the only problem. */
	m.source.foreign_count = 1;
	m.source.cert = lost;
	cr_assert_eq(load(&m), FL_ERR_INVALID);
	cr_assert_eq(m.findings.count, 1, "%s", m.findings.items[m.findings.count - 1].text);
	for (size_t i = 1; i < FL_COUNT_OF(foreign); i++) {
		free((char *)foreign[i].trust_domain);
	}
	free(link);
	free(lost);
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
