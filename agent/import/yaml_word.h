/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_IMPORT_YAML_WORD_H
#define FL_AGENT_IMPORT_YAML_WORD_H
/* yaml_word - what kubectl takes a word of YAML for that is not in quotes. Thread: any. */
#include <stdbool.h>

/* Is it a number or a truth value, not a text? Decided like kubectl does (goyaml.v2/resolve.go of kubernetes-sigs/yaml), which
 * follows YAML 1.1 where it differs from 1.2. The forms of null are not looked at. */
bool fl_yaml_word_is_typed(const char *word);

#endif
