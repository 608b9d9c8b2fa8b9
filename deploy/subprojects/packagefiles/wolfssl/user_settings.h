/* SPDX-License-Identifier: GPL-3.0-or-later */
/* wolfSSL as Fairlead builds it: TLS 1.3 only, native API, no file system, no sockets, single-precision
 * maths and assembly for the curves in use. Memory and speed depend on this very list: an idle
 * connection takes 2.6 to 2.8 KB with it, and several times that with some innocent-looking options.
 * Assembly files include this header too: preprocessor lines only. */
#ifndef FAIRLEAD_WOLFSSL_USER_SETTINGS_H
#define FAIRLEAD_WOLFSSL_USER_SETTINGS_H

/* Platform. Autotools would detect these. HAVE_GMTIME_R is no nicety: without it the date checks of
 * certificates race between threads. NO_GETPID: we never fork after wolfSSL_Init. */
#define HAVE_LIMITS_H
#define HAVE_STDINT_H
#define HAVE_ERRNO_H
#define HAVE_SYS_TIME_H
#define HAVE_GMTIME_R
#define HAVE_PTHREAD
#define HAVE_THREAD_LS
#define HAVE_C___ATOMIC 1
#define WOLFSSL_HAVE_ATOMIC_H
#define WOLFSSL_HAVE_ASSERT_H
#define HAVE___UINT128_T 1
#define SIZEOF_LONG 8
#define SIZEOF_LONG_LONG 8
#define WOLFSSL_USE_ALIGN
#define WOLFSSL_GETRANDOM
#define NO_DEV_URANDOM
#define WOLFSSL_NO_GETPID
/* Before and after memory is wiped: the compiler is to leave the writes where they are. wolfSSL's own, a fence between threads, takes
 * 3 of the 140 us of a handshake, and nothing here needs it. (Reading of ASN.1 and the session cache have it against speculation,
 * too, which it does not stop.) */
#ifndef __ASSEMBLER__
#define XFENCE() __asm__ volatile("" : : : "memory")
#endif

/* Assembly. The features of the CPU are looked up at run time, no -march is needed. */
#if defined(__x86_64__)
#define WOLFSSL_X86_64_BUILD
#define USE_INTEL_SPEEDUP
#define WOLFSSL_AESNI
#define WOLFSSL_SP_X86_64
#define WOLFSSL_SP_X86_64_ASM
#elif defined(__aarch64__)
#define WOLFSSL_AARCH64_BUILD
#define WOLFSSL_ARMASM
#define WOLFSSL_SP_ARM64
#define WOLFSSL_SP_ARM64_ASM
/* No table for each key, 1 KB of each connection: with NEON nothing reads it. */
#define GCM_SMALL
#else
#error "Fairlead builds wolfSSL with assembly for x86-64 and aarch64; add this CPU here and in meson.build"
#endif

/* Mathematics. FP_ECC keeps tables of public keys seen twice, per thread: P-256 verification 1.7 times
 * as fast, or 2.5 times where p256_verify.h is used (CPUs with ADX). Elsewhere it makes ephemeral P-256 slower, so P-256 is our last
 * group, and no share of it goes into a first hello. */
#define WOLFSSL_SP_MATH_ALL
#define WOLFSSL_SP_ASM
#define WOLFSSL_SP_LARGE_CODE
#define WOLFSSL_HAVE_SP_ECC
#define WOLFSSL_HAVE_SP_RSA
#define WOLFSSL_SP_4096
#define WOLFSSL_SP_384
#define HAVE_ECC384
#define TFM_TIMING_RESISTANT
#define ECC_TIMING_RESISTANT
#define WC_RSA_BLINDING
#define FP_ECC
#define FP_ENTRIES 16

/* Algorithms. */
#define HAVE_ECC
#define ECC_SHAMIR
#define ECC_MIN_KEY_SZ 256
#define HAVE_CURVE25519
#define HAVE_ED25519
#define WC_RSA_PSS
#define WOLFSSL_PSS_LONG_SALT
#define HAVE_AESGCM
#define HAVE_CHACHA
#define HAVE_POLY1305
#define HAVE_HKDF
#define WOLFSSL_SHA224
#define WOLFSSL_SHA384
#define WOLFSSL_SHA512
#define WOLFSSL_SHA3
#define WOLFSSL_SHAKE128
#define WOLFSSL_SHAKE256
#define WOLFSSL_HAVE_MLKEM
#define WOLFSSL_PQC_HYBRIDS
#define WOLFSSL_TLS_NO_MLKEM_STANDALONE
#define HAVE_HASHDRBG
#define WOLFSSL_BASE64_ENCODE
#define WOLFSSL_ASN_TEMPLATE

/* Left out. */
#define NO_DH
#define NO_DSA
#define NO_RC4
#define NO_MD4
#define NO_MD5
#define NO_DES3
#define NO_DES3_TLS_SUITES
#define NO_PSK
#define NO_OLD_TLS
#define WOLFSSL_NO_TLS12
#define NO_AES_CBC
#define WOLFSSL_AEAD_ONLY
#define NO_PKCS12
#define NO_PWDBASED
#define NO_ERROR_QUEUE
#define NO_FILESYSTEM
#define NO_WOLFSSL_DIR
#define NO_WRITEV
#define WOLFSSL_USER_IO
#define WOLFSSL_NO_CA_NAMES
#define SMALL_SESSION_CACHE

/* TLS. ALWAYS_VERIFY_CB: the verify callback sees good leaves as well, which is where the SVID rules are
 * enforced. ALT_NAMES: the URI names of a certificate. */
#define WOLFSSL_TLS13
#define HAVE_TLS_EXTENSIONS
#define HAVE_SUPPORTED_CURVES
#define HAVE_SNI
#define HAVE_ALPN
#define HAVE_SESSION_TICKET
#define WOLFSSL_NO_DEF_TICKET_ENC_CB
/* Room for our part of a ticket (tls/ticket.c): 11 bytes and a SPIFFE ID. Each byte is one more of
 * every connection, on either side. */
#define WOLFSSL_TICKET_EXTRA_PADDING_SZ 212
#define WOLFSSL_TICKET_NONCE_MALLOC
/* Bytes of another server's ticket that a client keeps (tls/ticket.c, mend.py). */
#define FAIRLEAD_FOREIGN_TICKET_MAX 4096
/* A ClientHello with another server's ticket, and a NewSessionTicket, may have 64 KB and a little; memory for it grows with
 * what has come (mend.py). */
#define MAX_HANDSHAKE_SZ (80 * 1024)
/* Key shares of one hello; more than there are groups that we know of are legal. */
#define MAX_KEYSHARE_NAMED_GROUPS 512
/* A client that sends a session ID gets a ChangeCipherSpec that says nothing (RFC 8446 appendix D.4). Our own sends none. */
#define WOLFSSL_TLS13_MIDDLEBOX_COMPAT
#define HAVE_CRL
#define WOLFSSL_ALT_NAMES
#define WOLFSSL_ALWAYS_VERIFY_CB
/* A signature of ours is verified before it goes out: one made by a faulty machine could give the key away. */
#define WOLFSSL_CHECK_SIG_FAULTS

#endif
