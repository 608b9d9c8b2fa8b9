/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_HASH_H
#define FL_BASE_HASH_H
/* hash - FNV-1a (draft-eastlake-fnv), in 32 and in 64 bits: for tables and for short names.
 *
 * It is not keyed: an attacker who chooses the bytes can find collisions. So use it where a collision gains nothing, or put
 * a secret into the start value. Pure; thread: any. */
#include <stddef.h>
#include <stdint.h>

#define FL_HASH_INIT 2166136261u
#define FL_HASH64_INIT 14695981039346656037u

/* The hash of all bytes so far, and of one more. */
static inline uint32_t fl_hash_byte(uint32_t hash, uint8_t byte)
{
	return (hash ^ byte) * 16777619u;
}

/* The hash of all bytes so far, and of len more. */
static inline uint32_t fl_hash_bytes(uint32_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		hash = fl_hash_byte(hash, bytes[i]);
	}
	return hash;
}

static inline uint64_t fl_hash64_bytes(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ bytes[i]) * 1099511628211u;
	}
	return hash;
}

#endif
