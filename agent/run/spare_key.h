/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SPARE_KEY_H
#define FL_AGENT_RUN_SPARE_KEY_H
/* spare_key - the mounted key of an agent that was started while something else that is mounted is refused.
 *
 * A sidecar that runs goes on with the generation that it has, and needs the key of that: it is the mounted one, if the fault
 * is elsewhere, for example in a CRL. So it is kept for sidecars that name it, without being the key of a generation. */
#include "conf/conf.h"
#include "pki/signer.h"

/* Reads key and certificate that conf names (blocks, bounded). NULL: they do not belong together, or cannot be read; that is
 * reported with the refusal. */
struct fl_signer *fl_spare_key(const struct fl_conf *conf);

#endif
