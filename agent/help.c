/* SPDX-License-Identifier: GPL-3.0-or-later */
/* help - the manual pages, as they are printed: 80 columns, no markup. */
#include "agent/help.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"

#define COMMON_OPTIONS                                                                             \
	"  -c, --config FILE   the INI that agent and sidecar share; default\n"                    \
	"                      " FL_CONF_DEFAULT_PATH "\n"                                         \
	"  -h, --help          this page\n"                                                        \
	"  -V, --version       the version\n"

static const char program_page[] =
	"NAME\n"
	"  fairlead-agent - credentials and policy for a Fairlead sidecar, and its tools\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent [-c FILE] COMMAND [OPTION...]\n"
	"\n"
	"COMMANDS\n"
	"  run        validate the mounted credentials and hand them to the sidecar\n"
	"  check      every problem of the INI and the credentials, and what would run\n"
	"  wait       until the sidecar is ready\n"
	"\n"
	"  Not supported yet: preview, explain, status, suggest, redirect.\n"
	"\n"
	"  fairlead-agent COMMAND --help tells more.\n"
	"\n"
	"OPTIONS\n" COMMON_OPTIONS "\n"
	"EXIT STATUS\n"
	"  2 where the command line or the INI is wrong; the rest is each command's own.\n"
	"  Diagnostics go to stderr, results to stdout.\n";

static const char run_page[] =
	"NAME\n"
	"  fairlead-agent run - validate the mounted credentials and hand them to the\n"
	"  sidecar\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent run [-c FILE]\n"
	"\n"
	"DESCRIPTION\n"
	"  Reads the certificate, key and trust bundles that the INI names, validates\n"
	"  them down to a trial handshake with themselves, and pushes them together with\n"
	"  the INI to the sidecar as one numbered generation, over `[agent] socket`. The\n"
	"  sidecar itself opens no key and no certificate.\n"
	"\n"
	"  While files are missing or not usable, the reason is logged once and they are\n"
	"  read again every second: a Kubernetes Secret may come later. An error in the\n"
	"  INI is fatal.\n"
	"\n"
	"  Both processes may be restarted at any time. A sidecar that has the same\n"
	"  content already is left alone; another one gets the next number.\n"
	"\n"
	"  The socket lets in processes of the agent's own uid and of `[agent]\n"
	"  sidecar_uid`. Its directory must exist.\n"
	"\n"
	"OPTIONS\n" COMMON_OPTIONS "\n"
	"SIGNALS\n"
	"  SIGTERM and SIGINT end it; the sidecar goes on with what it has.\n"
	"\n"
	"EXIT STATUS\n"
	"  0  after SIGTERM or SIGINT\n"
	"  2  it could not start: the INI, the socket or its directory\n"
	"\n"
	"FILES\n"
	"  " FL_CONF_DEFAULT_PATH "\n"
	"  what [identity] and [federate ...] name in it\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent check, which shows beforehand what run would do\n";

static const char check_page[] =
	"NAME\n"
	"  fairlead-agent check - every problem of the INI and the credentials, and what\n"
	"  would run\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent check [-c FILE] [--json]\n"
	"\n"
	"DESCRIPTION\n"
	"  Does all that `run` does before it pushes, and reports everything at once:\n"
	"  errors and warnings as FILE:LINE with their remedy on stderr, then on stdout\n"
	"  the identity and how long it lives, the trust bundles, the listeners and where\n"
	"  they lead, the policy in the order in which it is asked, and the limits.\n"
	"  Changes nothing, opens no port, and needs no running sidecar.\n"
	"\n"
	"OPTIONS\n"
	"      --json          one JSON document on stdout, problems included: verdict\n"
	"                      (good, warnings, refused), problems, identity, bundles,\n"
	"                      services, upstreams, policy, limits\n" COMMON_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  good\n"
	"  1  usable, with warnings\n"
	"  2  refused\n"
	"\n"
	"EXAMPLES\n"
	"  fairlead-agent check -c fairlead.ini\n"
	"  fairlead-agent check --json | jq -r '.problems[].text'\n";

static const char wait_page[] =
	"NAME\n"
	"  fairlead-agent wait - until the sidecar is ready\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent wait [-c FILE] [--timeout DURATION]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks /readyz of `[sidecar] admin` until the sidecar can carry traffic: it has\n"
	"  a usable generation and is not about to stop. A sidecar that is not running\n"
	"  yet is waited for. When time is up, the last reason is printed.\n"
	"\n"
	"  An admin endpoint on all addresses (*:15020) is asked on loopback.\n"
	"\n"
	"OPTIONS\n"
	"      --timeout DURATION  give up after this time: 250ms, 30s, 5m, 1h;\n"
	"                      default 30s; 0 asks once\n" COMMON_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  ready\n"
	"  1  not ready in time\n"
	"  2  it cannot be asked: the command line, the INI, or no admin endpoint\n"
	"\n"
	"EXAMPLES\n"
	"  fairlead-agent wait --timeout 5s && exec ./app\n";

const char *fl_help(const char *command)
{
	static const struct {
		const char *command;
		const char *page;
	} pages[] = {{"run", run_page}, {"check", check_page}, {"wait", wait_page}};

	if (command == NULL) {
		return program_page;
	}
	for (size_t i = 0; i < FL_COUNT_OF(pages); i++) {
		if (strcmp(pages[i].command, command) == 0) {
			return pages[i].page;
		}
	}
	return NULL;
}
