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
	"  status     what the sidecar does and how long its certificates last\n"
	"  redirect   the rules that lead the pod's connections through the sidecar\n"
	"  drain      let the sidecar finish what is open, and end\n"
	"  log-level  of the running sidecar\n"
	"\n"
	"  Not supported yet: preview, explain, suggest.\n"
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
	"  INI is fatal at the start.\n"
	"\n"
	"  Afterwards it watches what is mounted: a change becomes the next generation,\n"
	"  or is refused as a whole, with the reason, and what is in force stays.\n"
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

static const char status_page[] =
	"NAME\n"
	"  fairlead-agent status - what the sidecar does and how long its certificates\n"
	"  last\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent status [-c FILE] [--watch] [--json]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks /status of `[sidecar] admin` and prints it: ready or why not, the\n"
	"  identity and what is left of its life, the generation in use, when each\n"
	"  intermediate and root expires, how many generations were used and refused,\n"
	"  why the last one was refused, whether the agent is connected, the listeners\n"
	"  and where they lead, and for each direction that has seen any the connections,\n"
	"  handshakes and bytes. Connections and handshakes that did not end well are\n"
	"  counted by the reason that the access log gives, too. Where the INI has\n"
	"  [redirect]: what its rules have seen (which takes NET_ADMIN to know).\n"
	"\n"
	"  `REFUSED` in place of `last refusal`: what was refused is what is mounted\n"
	"  still, and the sidecar goes on with the generation before.\n"
	"\n"
	"  An admin endpoint on all addresses (*:15020) is asked on loopback. The same is\n"
	"  there for a browser at / and for Prometheus at /metrics.\n"
	"\n"
	"OPTIONS\n"
	"      --watch         again every second until Ctrl-C; on a terminal in place\n"
	"      --json          the sidecar's document as it is: ready, reason, version,\n"
	"                      pid, now, started, workers, id, generation, certificates,\n"
	"                      certificates_left_out, rotations, last_rotation,\n"
	"                      last_refusal, listeners, connections, bytes, handshakes,\n"
	"                      agent, log_lines_lost\n" COMMON_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  ready\n"
	"  1  not ready, or not reachable\n"
	"  2  it cannot be asked: the command line, the INI, or no admin endpoint\n"
	"  With --watch, that of the last look.\n"
	"\n"
	"EXAMPLES\n"
	"  fairlead-agent status --watch\n"
	"  fairlead-agent status --json | jq .generation.remaining_seconds\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent wait, which says no more than ready or not\n";

static const char redirect_page[] =
	"NAME\n"
	"  fairlead-agent redirect - the rules that lead the pod's connections through\n"
	"  the sidecar\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent redirect apply|remove|print [-c FILE]\n"
	"\n"
	"DESCRIPTION\n"
	"  apply   Makes the rules from [redirect] of the INI and puts them in force, in\n"
	"          the network namespace that it runs in. Again and again is fine.\n"
	"  remove  Takes them away. That there are none is fine, and no INI is needed.\n"
	"  print   Writes them, as `nft -f` takes them, with a comment on every rule, and\n"
	"          before them, as comments, what the rules that are in force have seen.\n"
	"          Needs no privilege; the latter does.\n"
	"\n"
	"  They are one nftables table, `inet fairlead`, for IPv4 and IPv6, put in place\n"
	"  of the one before in a single transaction: whenever it is interrupted, the\n"
	"  old rules or the new ones are in force. Other tables, and the rules of\n"
	"  iptables, are neither read nor changed.\n"
	"\n"
	"  Inbound, what others open to a TCP port of this pod goes to `[sidecar]\n"
	"  inbound`, when a socket listens at that address and port. Where none does, the\n"
	"  connection is refused, so that probes of an app that is not up fail, and an\n"
	"  app on 127.0.0.1 stays private. Ports of the sidecar itself and of [service]\n"
	"  sections with `listen` are not captured.\n"
	"\n"
	"  Outbound, what the app opens goes to `[sidecar] outbound`, but for what stays\n"
	"  in the pod. The app is every process that is not of `[agent] sidecar_uid`.\n"
	"\n"
	"  Only new connections are captured; those that are open go on as they are, also\n"
	"  when rules are replaced. Stop the sidecar before `remove`: what a captured\n"
	"  connection sends without the rules goes to the network as it is, until the\n"
	"  other side resets it.\n"
	"\n"
	"  With `mode = tproxy` there is also a routing rule for mark 0x539, with table\n"
	"  133.\n"
	"\n"
	"OPTIONS\n" COMMON_OPTIONS "\n"
	"ENVIRONMENT\n"
	"  apply and remove take the capability NET_ADMIN and libnftables (package\n"
	"  libnftables1), which nothing else here does: an init container has them, and\n"
	"  neither the sidecar nor the app.\n"
	"\n"
	"EXIT STATUS\n"
	"  0  done\n"
	"  2  not done, and nothing has changed: the command line, the INI, a permission\n"
	"     that is missing, or the kernel; one sentence on stderr says which\n"
	"\n"
	"EXAMPLES\n"
	"  fairlead-agent redirect print | less\n"
	"  fairlead-agent redirect apply\n"
	"  nsenter -t $PID -n fairlead-agent redirect print\n"
	"\n"
	"SEE ALSO\n"
	"  nft list table inet fairlead; fairlead-agent status\n";

#define CONTROL_NOTES                                                                              \
	"  It is asked over `[sidecar] control`, a Unix socket that takes orders from root,\n"     \
	"  from the sidecar's own user and from the one whom the agent runs as. The same\n"        \
	"  without this program:\n"

static const char drain_page[] =
	"NAME\n"
	"  fairlead-agent drain - let the sidecar finish what is open, and end\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent drain [-c FILE]\n"
	"\n"
	"DESCRIPTION\n"
	"  As SIGTERM does: the sidecar is not ready any more, accepts nothing, gives open\n"
	"  connections at most `[sidecar] drain`, and ends. Asked again, it goes on with\n"
	"  that. Returns at once.\n"
	"\n" CONTROL_NOTES
	"    curl -X POST --unix-socket /run/fairlead/sidecar.sock http://localhost/drain\n"
	"\n"
	"OPTIONS\n" COMMON_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  it drains\n"
	"  1  not reachable, or refused\n"
	"  2  it cannot be asked: the command line, the INI, or no control socket\n";

static const char log_level_page[] =
	"NAME\n"
	"  fairlead-agent log-level - the log level of the running sidecar\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent log-level debug|info|warn|error|default [-c FILE]\n"
	"\n"
	"DESCRIPTION\n"
	"  Sets it in place of `[log] level`, until `default` gives that its say again or\n"
	"  the sidecar ends. A new generation does not change it.\n"
	"\n" CONTROL_NOTES "    curl -X POST --unix-socket /run/fairlead/sidecar.sock \\\n"
	"      'http://localhost/log-level?level=debug'\n"
	"\n"
	"OPTIONS\n" COMMON_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  done\n"
	"  1  not reachable, or refused\n"
	"  2  it cannot be asked: the command line, the INI, or no control socket\n";

const char *fl_help(const char *command)
{
	static const struct {
		const char *command;
		const char *page;
	} pages[] = {{"run", run_page},
		     {"check", check_page},
		     {"wait", wait_page},
		     {"status", status_page},
		     {"redirect", redirect_page},
		     {"drain", drain_page},
		     {"log-level", log_level_page}};

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
