/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CREDENTIAL_FILES_H
#define FL_PKI_CREDENTIAL_FILES_H
/* credential_files - the files of our own that make a set of credentials, listed once.
 *
 * X(name, is_secret): the name is that of the key of [identity]. Code that has something for each of them (a path, a line
 * of the INI, the bytes that were read) declares its members with this list and walks over them with it. Bundles of
 * federated trust domains are not among them: there may be any number of those. */
#define FL_CREDENTIAL_FILES(X)                                                                     \
	X(cert, false)             /* PEM: the leaf, then the intermediates */                     \
	X(key, true)               /* PEM: the key of that leaf */                                 \
	X(credential_bundle, true) /* PEM: key and chain, in place of the two above */             \
	X(bundle, false)           /* PEM: the roots of our own trust domain */                    \
	X(crl, false)              /* PEM: any number of CRLs */

#endif
