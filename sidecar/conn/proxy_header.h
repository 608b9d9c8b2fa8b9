/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_PROXY_HEADER_H
#define FL_CONN_PROXY_HEADER_H
/* proxy_header - tells the app who the client is: `proxy_protocol = v2` (wire/proxy_v2.h). */
#include "conn/conn.h"
#include "conn/mesh.h"
#include "wire/proxy_v2.h"

/* Writes what the app gets before the first byte of an inbound connection; returns its length; 0: the app wants no
 * header. */
size_t fl_proxy_header(const struct fl_mesh *mesh, uint8_t out[FL_PROXY_V2_MAX]);

#endif
