/* SPDX-License-Identifier: GPL-3.0-or-later */
/* uplinks - reads /proc/net/route and /proc/net/ipv6_route, whose format the kernel keeps (proc(5)). */
#include "agent/capture/uplinks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define WORDS_MAX 11

static int add(struct fl_ruleset_uplinks *ret, const char *name, struct fl_err *err)
{
	for (size_t i = 0; i < ret->count; i++) {
		if (strcmp(ret->names[i], name) == 0) {
			return FL_OK;
		}
	}
	if (ret->count == FL_RULESET_UPLINKS_MAX) {
		return fl_err_set(err, FL_ERR_LIMIT,
				  "more than %d interfaces have a default route here",
				  FL_RULESET_UPLINKS_MAX);
	}
	(void)snprintf(ret->names[ret->count++], IF_NAMESIZE, "%s", name);
	return FL_OK;
}

static size_t split(char *line, const char *words[WORDS_MAX])
{
	char *rest = line;
	size_t count = 0;

	while (count < WORDS_MAX && (words[count] = strtok_r(NULL, " \t\n", &rest)) != NULL) {
		count++;
	}
	return count;
}

/* "eth0 00000000 0100000A 0003 0 0 0 00000000 ...": the interface, the destination; the eighth is the mask. */
static const char *default_of_4(const char *const *words, size_t count)
{
	return count > 7 && strcmp(words[1], "00000000") == 0 && strcmp(words[7], "00000000") == 0
		       ? words[0]
		       : NULL;
}

/* "32 ZEROES 00 ... eth0": the destination and the length of its prefix; the tenth is the interface. */
static const char *default_of_6(const char *const *words, size_t count)
{
	return count > 9 && strspn(words[0], "0") == 32 && strcmp(words[1], "00") == 0 &&
			       strcmp(words[9], "lo") != 0
		       ? words[9]
		       : NULL;
}

/* A kernel without that address family has no such file. */
static int read_routes(const char *path, const char *(*default_of)(const char *const *, size_t),
		       struct fl_ruleset_uplinks *ret, struct fl_err *err)
{
	FILE *file = fopen(path, "re");
	const char *words[WORDS_MAX], *name;
	char line[512];
	int rc = FL_OK;

	if (file == NULL) {
		return errno == ENOENT ? FL_OK : fl_err_sys(err, errno, "cannot open %s", path);
	}
	while (rc == FL_OK && fgets(line, sizeof(line), file) != NULL) {
		size_t count = split(line, words);

		name = default_of(words, count);
		rc = name != NULL ? add(ret, name, err) : FL_OK;
	}
	if (rc == FL_OK && ferror(file)) {
		rc = fl_err_sys(err, errno, "cannot read %s", path);
	}
	(void)fclose(file);
	return rc;
}

int fl_uplinks_read(struct fl_ruleset_uplinks *ret, struct fl_err *err)
{
	int rc;

	*ret = (struct fl_ruleset_uplinks){.count = 0};
	rc = read_routes("/proc/self/net/route", default_of_4, ret, err);
	return rc == FL_OK ? read_routes("/proc/self/net/ipv6_route", default_of_6, ret, err) : rc;
}
