/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_JSON_READ_H
#define FL_AGENT_COMMON_JSON_READ_H
/* json_read - members of a JSON document that another program wrote: the sidecar, nft, or an impostor; perhaps another
 * version. A key that is missing, null, or of another type reads as absent ("", 0, false, NULL). Print texts with
 * fl_text_put_clean(). Thread: any. Nothing fails. */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* "" if it is absent or not a string; borrowed. */
const char *fl_json_read_text(const cJSON *object, const char *key);
/* 0 if it is absent or not a number; clamped to the range. */
int64_t fl_json_read_number(const cJSON *object, const char *key);
/* The same for a count, which is never negative. */
uint64_t fl_json_read_count(const cJSON *object, const char *key);
bool fl_json_read_bool(const cJSON *object, const char *key);
/* NULL if it is absent or null; borrowed. */
const cJSON *fl_json_read_member(const cJSON *object, const char *key);
/* NULL if it is not an object; borrowed. Its members have names: those of an array have none. */
const cJSON *fl_json_read_object(const cJSON *object, const char *key);
/* Appends the document as it is, except that what could mislead a terminal is escaped, which leaves its meaning: JSON allows
 * such characters only inside of strings. */
void fl_json_read_show(const struct fl_text *document, struct fl_text *ret);

#endif
