/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_JSON_READ_H
#define FL_AGENT_COMMON_JSON_READ_H
/* answer - what others say in JSON, the sidecar or nft, read with care: it may be another version, or somebody
 * else. There is one meaning of absent: a key that is missing, null, or of another type reads as nothing ("", 0, false,
 * NULL). What goes to a terminal goes through fl_text_put_clean(). */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* "" for what is not there or no string; borrowed. */
const char *fl_json_read_text(const cJSON *object, const char *key);
/* 0 for what is not there or no number; clamped. */
int64_t fl_json_read_number(const cJSON *object, const char *key);
/* The same for what is counted, and so never below 0. */
uint64_t fl_json_read_count(const cJSON *object, const char *key);
bool fl_json_read_bool(const cJSON *object, const char *key);
/* NULL for what is not there, or null; borrowed. */
const cJSON *fl_json_read_member(const cJSON *object, const char *key);

#endif
