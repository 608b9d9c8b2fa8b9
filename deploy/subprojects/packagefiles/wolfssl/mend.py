#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One C file of wolfSSL 5.9.2, mended: mend.py FILE prints it.

Each mend says why, and replaces a passage that has to be there exactly once, or as often as it says, so that another wolfSSL is noticed at once.
"""
import sys
from pathlib import Path


def tables_on_the_heap(name, curves, variants, more=''):
    """Mends for sp_*.c: the tables of public keys seen twice (FP_ECC) are allocated when there is such a key.

    As thread-local arrays they are 162 KB of each thread, and glibc writes zeros to all of it when the thread starts, in programs,
    too, that never verify anything. curves: (bits, the functions that fill a table). variants: how often the code is there, by the
    size of its tables. more: what else a thread forgets."""
    mends = []
    for bits, fills in curves:
        for size in variants:
            mends.append(('Tables on the heap.', f'''    sp_table_entry_{bits} table[{size}];
    /* Count of entries in table. */
    word32 cnt;
    /* Point and table set in entry. */
    int set;
}} sp_cache_{bits}_t;
''', f'''    sp_table_entry_{bits}* table;
    /* Count of entries in table. */
    word32 cnt;
    /* Point and table set in entry. */
    int set;
}} sp_cache_{bits}_t;

static int sp_cache_has_table_{bits}(sp_cache_{bits}_t* cache)
{{
    if (cache->table == NULL)
        cache->table = (sp_table_entry_{bits}*)XMALLOC({size} * sizeof(sp_table_entry_{bits}), NULL, DYNAMIC_TYPE_ECC);
    return cache->table != NULL;
}}
'''))
        for fill in fills:
            mends.append(('Without memory for a table there is none, and the next use tries again.', f'''        if (cache->cnt == 2)
            {fill}(''', f'''        if (cache->cnt == 2 && !sp_cache_has_table_{bits}(cache))
            cache->cnt = 1;
        if (cache->cnt == 2)
            {fill}(''', len(variants)))
    for bits, _ in curves:
        mends.append(('The first key is looked at, too, when one has to go; and uses of long ago weigh less than recent ones: certificates '
                      'change every few hours, and after some of them all places would be those of keys that nobody has any more.',
                      f'''            least = sp_cache_{bits}[0].cnt;
            for (j=1; j<FP_ENTRIES; j++) {{
''', f'''            i = 0;
            least = sp_cache_{bits}[0].cnt;
            for (j=0; j<FP_ENTRIES; j++)
                sp_cache_{bits}[j].cnt -= sp_cache_{bits}[j].cnt / 2;
            least -= least / 2;
            for (j=1; j<FP_ENTRIES; j++) {{
''', len(variants)))
    end = '#endif /* WOLFSSL_HAVE_SP_ECC */\n'
    forget = ''.join(f'''    for (i = 0; i < FP_ENTRIES; i++)
        XFREE(sp_cache_{bits}[i].table, NULL, DYNAMIC_TYPE_ECC);
    XMEMSET(sp_cache_{bits}, 0, sizeof(sp_cache_{bits}));
    sp_cache_{bits}_last = -1;
''' for bits, _ in curves)
    mends.append(('A thread frees its tables when it ends: ecc.c, where these functions were, has none any more.', end, f'''void wc_ecc_fp_init(void)
{{
}}

void wc_ecc_fp_free(void)
{{
    int i;

{forget}{more}}}
{end}'''))
    return {name: mends}


MENDS = {
    'src/ecc.c': [
        ('The tables of FP_ECC for curves that sp_*.c does not have: there are none such here, and each thread had 48 KB for them.',
         '''#include <wolfssl/wolfcrypt/ecc.h>
''',
         '''#include <wolfssl/wolfcrypt/ecc.h>
#undef FP_ECC
'''),
    ],
    'src/sp_x86_64.c': [
        *tables_on_the_heap('src/sp_x86_64.c', [
            ('256', ['sp_256_gen_stripe_table_4', 'sp_256_gen_stripe_table_avx2_4']),
            ('384', ['sp_384_gen_stripe_table_6', 'sp_384_gen_stripe_table_avx2_6'])], [64], '    fl_256_forget_keys();\n')['src/sp_x86_64.c'],
        ('An inverse modulo the prime or the order of P-256 takes half the time, or a third: inverse.h.',
         '''static void sp_256_mont_inv_avx2_4(sp_digit* r, const sp_digit* a, sp_digit* td)
{
#ifdef WOLFSSL_SP_SMALL
''',
         '''#include <wolfssl/wolfcrypt/memory.h>
#include "p256_inverse.h"

static void sp_256_mont_inv_avx2_4(sp_digit* r, const sp_digit* a, sp_digit* td)
{
#if 1
    (void)td;
    fl_256_mont_inverse(r, a);
#elif defined(WOLFSSL_SP_SMALL)
'''),
        ('(the same)',
         '''            sp_256_mont_inv_order_avx2_4(kInv, k, tmp);
''',
         '''            fl_256_mont_inverse_order(kInv, k);
'''),
        ('(the same)',
         '''        sp_256_mod_inv_avx2_4(s, s, p256_order);
''',
         '''        fl_inverse(s, s, &fl_256_order);
'''),
        ('A signature under a P-256 key that was seen before: p256_verify.h.',
         '''/* Calculate the verification point: [e/s]G + [r/s]Q
 *
 * p1    Calculated point.
 * p2    Public point and temporary.
 * s     Second part of signature as a number.
 * u1    Temporary number.
 * u2    Temporary number.
 * heap  Heap to use for allocation.
 * returns MEMORY_E when memory allocation fails and MP_OKAY on success.
 */
static int sp_256_calc_vfy_point_4(''',
         '''#include "p256_verify.h"

static int sp_256_calc_vfy_point_4('''),
        ('(the same)',
         '''            err = sp_256_ecc_mulmod_base_avx2_4(p1, u1, 0, 0, heap);
''',
         '''            if (fl_256_verify_point(p1, p2, u1, u2, tmp))
                return MP_OKAY;
            err = sp_256_ecc_mulmod_base_avx2_4(p1, u1, 0, 0, heap);
'''),
        ('(the same) Any other product has no table: an ephemeral key is used twice, and its table cost more than both.',
         '''static int sp_256_ecc_mulmod_avx2_4(sp_point_256* r, const sp_point_256* g,
        const sp_digit* k, int map, int ct, void* heap)
{
#ifndef FP_ECC
''',
         '''static int sp_256_ecc_mulmod_avx2_4(sp_point_256* r, const sp_point_256* g,
        const sp_digit* k, int map, int ct, void* heap)
{
#if 1
'''),
    ],
    **tables_on_the_heap('src/sp_arm64.c', [
        ('256', ['sp_256_gen_stripe_table_4']),
        ('384', ['sp_384_gen_stripe_table_6'])], [64, 256]),
    'src/tls.c': [
        ('What is wrong with one extension is not that another one, which was not looked at any more, is missing.',
         '''    if (IsAtLeastTLSv1_3(ssl->version) && msgType == client_hello && isRequest) {
        int hasKeyShare =''',
         '''    if (ret == 0 && IsAtLeastTLSv1_3(ssl->version) && msgType == client_hello && isRequest) {
        int hasKeyShare ='''),
        ('Of the names that a client offers ours comes first, wherever in its list it stands.',
         '''    list = (ALPN*)extension->data;
    for (s = alpn_val;
         (s - alpn_val) < alpn_val_len;
         s += wlen) {
        wlen = *s++; /* bounds already checked on save */
        alpn = TLSX_ALPN_Find(list, (char*)s, wlen);
        if (alpn != NULL) {
''',
         '''    list = (ALPN*)extension->data;
    for (s = alpn_val;
         (s - alpn_val) < alpn_val_len;
         s += wlen) {
        wlen = *s++;
        if (wlen > 9 && XMEMCMP(s, "fairlead/", 9) == 0 &&
                TLSX_ALPN_Find(list, (char*)s, wlen) != NULL) {
            sel = s;
            sel_len = wlen;
            break;
        }
    }
    for (s = alpn_val;
         sel == NULL && (s - alpn_val) < alpn_val_len;
         s += wlen) {
        wlen = *s++; /* bounds already checked on save */
        alpn = TLSX_ALPN_Find(list, (char*)s, wlen);
        if (alpn != NULL) {
'''),
        ('RFC 8446 section 4.1.4: a HelloRetryRequest asks for a group that the client has offered. wolfSSL would ask for '
         'its own first one where there is none in common (alert handshake_failure: section 4.1.1).',
         '''    if (curve == NULL) {
        byte i;
        /* Fallback to user selected group */
        preferredRank = WOLFSSL_MAX_GROUP_COUNT;
        for (i = 0; i < ssl->numGroups; i++) {
            rank = TLSX_KeyShare_GroupRank(ssl, ssl->group[i]);
            if (rank == -1)
                continue;
            if (rank < preferredRank) {
                name = ssl->group[i];
                preferredRank = rank;
            }
        }
        if (name == WOLFSSL_NAMED_GROUP_INVALID) {
            /* No group selected or specified by the server */
            WOLFSSL_ERROR_VERBOSE(BAD_KEY_SHARE_DATA);
            return BAD_KEY_SHARE_DATA;
        }
    }
''',
         '''    if (curve == NULL) {
        return KEY_SHARE_ERROR;
    }
'''),
        ('A ticket of another server may be of any size; it is none of ours, and the handshake a full one.',
         '''        if (len < OPAQUE16_LEN + identityLen + OPAQUE32_LEN ||
                identityLen > MAX_PSK_ID_LEN)
            return BUFFER_E;
''',
         '''        if (len < OPAQUE16_LEN + identityLen + OPAQUE32_LEN)
            return BUFFER_E;
'''),
        ('Each ticket of a hello is compared with all before it, and 64 KB have room for 8,000: 118 ms for a stranger. Nobody offers '
         'more than a few; of those who do none is looked at, and the handshake is a full one.',
         '''    /* Create a pre-shared key object for each identity. */
    while (len > 0) {
''',
         '''    {
        word32 at = idx, end = (word32)idx + len, count = 0;
        while (at + OPAQUE16_LEN <= end) {
            word16 size;
            if (++count > 32)
                return 0;
            ato16(input + at, &size);
            at += OPAQUE16_LEN + size + OPAQUE32_LEN;
        }
    }
    /* Create a pre-shared key object for each identity. */
    while (len > 0) {
'''),
        ('Of a list of signature algorithms longer than there is room for, wolfSSL would take the first ones; now, those that '
         'it knows. One always stays: none at all would be an extension left out.',
         '''    if (suites->hashSigAlgoSz > WOLFSSL_MAX_SIGALGO) {
        WOLFSSL_MSG("TLSX SigAlgo list exceeds max, truncating");
        suites->hashSigAlgoSz = WOLFSSL_MAX_SIGALGO;
    }
    XMEMCPY(suites->hashSigAlgo, input, suites->hashSigAlgoSz);
''',
         '''    if (len > WOLFSSL_MAX_SIGALGO) {
        word32 at;
        suites->hashSigAlgoSz = 0;
        for (at = 0; at < len && suites->hashSigAlgoSz < WOLFSSL_MAX_SIGALGO; at += 2) {
            int known = input[at] == 0x08 ? input[at + 1] >= 0x04 && input[at + 1] <= 0x0b
                                          : input[at] >= 0x04 && input[at] <= 0x06;
            if (known || (at + 2 == len && suites->hashSigAlgoSz == 0)) {
                XMEMCPY(suites->hashSigAlgo + suites->hashSigAlgoSz, input + at, 2);
                suites->hashSigAlgoSz += 2;
            }
        }
        return TLSX_SignatureAlgorithms_MapPss(ssl, suites->hashSigAlgo, suites->hashSigAlgoSz);
    }
    XMEMCPY(suites->hashSigAlgo, input, suites->hashSigAlgoSz);
'''),
    ],
    'src/internal.c': [
        ('One generator of random numbers for all connections of a context (fl_wolf_set_random). One for each costs 3.5 us of a handshake '
         'on either side, most of it for a test of the algorithm, and a server 200 bytes of each connection.',
         '''    if (ssl->rng == NULL) {
        ssl->rng = (WC_RNG*)XMALLOC(sizeof(WC_RNG), ssl->heap,DYNAMIC_TYPE_RNG);
''',
         '''    if (ssl->rng == NULL)
        ssl->rng = (WC_RNG*)ctx->ticketEncCtx;
    if (ssl->rng == NULL) {
        ssl->rng = (WC_RNG*)XMALLOC(sizeof(WC_RNG), ssl->heap,DYNAMIC_TYPE_RNG);
'''),
        ('The transcript is hashed with every function that there is, as though the cipher suite were unknown to the end. No suite of '
         'TLS 1.3 has SHA-512; and from the ServerHello on it is known whether it is SHA-384.',
         '''    #ifdef WOLFSSL_SHA384
        ret = wc_Sha384Update(&ssl->hsHashes->hashSha384, data, (word32)sz);
        if (ret != 0)
            return ret;
''',
         '''    #ifdef WOLFSSL_SHA384
        if (ssl->options.serverState < SERVER_HELLO_COMPLETE || ssl->specs.mac_algorithm == sha384_mac)
            ret = wc_Sha384Update(&ssl->hsHashes->hashSha384, data, (word32)sz);
        if (ret != 0)
            return ret;
'''),
        ('(the same)',
         '''    #ifdef WOLFSSL_SHA512
        ret = wc_Sha512Update(&ssl->hsHashes->hashSha512, data, (word32)sz);
        if (ret != 0)
            return ret;
    #ifdef WOLFSSL_DEBUG_TLS
''',
         '''    #ifdef WOLFSSL_TLS13_SHA512
        ret = wc_Sha512Update(&ssl->hsHashes->hashSha512, data, (word32)sz);
        if (ret != 0)
            return ret;
    #ifdef WOLFSSL_DEBUG_TLS
'''),
        ('RFC 8446 section 5.1: the version of a record is ignored. A ChangeCipherSpec that follows a ClientHello may have that of '
         'its record.',
         '''#endif /* WOLFSSL_DTLS13 */
        /* Don't care about protocol version being lower than expected on alerts
         * sent back before version negotiation. */
        else if (!(ssl->options.side == WOLFSSL_CLIENT_END &&
''',
         '''#endif /* WOLFSSL_DTLS13 */
        else if (!ssl->options.handShakeDone && rh->pvMajor == ssl->version.major &&
                 rh->pvMinor <= TLSv1_2_MINOR) {
        }
        /* Don't care about protocol version being lower than expected on alerts
         * sent back before version negotiation. */
        else if (!(ssl->options.side == WOLFSSL_CLIENT_END &&
'''),
        ('A cipher in common, but no signature algorithm: another number, so that it can be said.',
         '''        ret = PickHashSigAlgo(ssl, peerSuites->hashSigAlgo,
                              peerSuites->hashSigAlgoSz, 1);
        if (ret != 0)
            return ret;

#if defined(WOLFSSL_TLS13) && defined(HAVE_SUPPORTED_CURVES)
        if (cs.doHelloRetry) {
''',
         '''        ret = PickHashSigAlgo(ssl, peerSuites->hashSigAlgo,
                              peerSuites->hashSigAlgoSz, 1);
        if (ret != 0)
            return SIG_TYPE_E;

#if defined(WOLFSSL_TLS13) && defined(HAVE_SUPPORTED_CURVES)
        if (cs.doHelloRetry) {
'''),
        ('RFC 8446 section 5.1: an alert is one whole record; an empty one is answered by unexpected_message.',
         '''#ifdef WOLFSSL_EXTRA_ALERTS
        SendAlert(ssl, alert_fatal, unexpected_message);
#endif
        return BUFFER_E;
    }

    level = input[(*inOutIdx)++];
''',
         '''        SendAlert(ssl, alert_fatal, unexpected_message);
        return BUFFER_E;
    }

    level = input[(*inOutIdx)++];
'''),
        ('(the same, in the clear; of handshake messages as well)',
         '''        WOLFSSL_MSG("0 length, non-app data record.");
        WOLFSSL_ERROR_VERBOSE(LENGTH_ERROR);
        return LENGTH_ERROR;
''',
         '''        return SANITY_MSG_E;
'''),
        ('A peer that could not take our first flight has no keys for its alert. As long as it has sent nothing encrypted, the '
         'alert in the clear ends the handshake, as it would under keys, and is not answered.',
         '''    if (IsAtLeastTLSv1_3(ssl->version) && IsEncryptionOn(ssl, 0) &&
                                                      !ssl->keys.decryptedCur)
    {
#ifdef WOLFSSL_TLS13_IGNORE_PT_ALERT_ON_ENC
''',
         '''    if (IsAtLeastTLSv1_3(ssl->version) && IsEncryptionOn(ssl, 0) &&
        !ssl->keys.decryptedCur &&
        (ssl->options.handShakeDone || ssl->keys.peer_sequence_number_hi != 0 ||
         ssl->keys.peer_sequence_number_lo != 0))
    {
#ifdef WOLFSSL_TLS13_IGNORE_PT_ALERT_ON_ENC
'''),
    ],
    'src/tls13.c': [
        ('A ticket may have 64 KB. One that is too big for us to keep (ticket.c) is not kept at all: it would take its memory '
         'for as long as the connection lives.',
         '''    if ((ret = SetTicket(ssl, input + *inOutIdx, length)) != 0)
        return ret;
''',
         '''    if (length > FAIRLEAD_FOREIGN_TICKET_MAX) {
        *inOutIdx = begin + size;
        ssl->expect_session_ticket = 0;
        return 0;
    }
    if ((ret = SetTicket(ssl, input + *inOutIdx, length)) != 0)
        return ret;
'''),
        ('As in MatchSuite(): no signature algorithm in common.',
         '''                            peerSuites.hashSigAlgoSz, 0) != 0) {
            WOLFSSL_ERROR_VERBOSE(INVALID_PARAMETER);
            return INVALID_PARAMETER;
        }
''',
         '''                            peerSuites.hashSigAlgoSz, 0) != 0) {
            return SIG_TYPE_E;
        }
'''),
        ('RFC 8446 section 4.4.3: an algorithm that does not belong to the key is an illegal parameter, no bad signature.',
         '''                WOLFSSL_MSG("Sig algo doesn't correspond to certificate");
                ERROR_OUT(SIG_VERIFY_E, exit_dcv);
''',
         '''                ERROR_OUT(INVALID_PARAMETER, exit_dcv);
'''),
        ('A failure to choose the group of a HelloRetryRequest stays one.',
         '''            ssl->options.serverState = SERVER_HELLO_RETRY_REQUEST_COMPLETE;
            if (ret != WC_NO_ERR_TRACE(WC_PENDING_E))
                ret = 0; /* for hello_retry return 0 */
''',
         '''            ssl->options.serverState = SERVER_HELLO_RETRY_REQUEST_COMPLETE;
'''),
        ('More cipher suites than wolfSSL has room for are legal. Those of TLS 1.3 are what is looked at.',
         '''    if (ssl->clSuites->suiteSz > WOLFSSL_MAX_SUITE_SZ)
        ERROR_OUT(BUFFER_ERROR, exit_dch);
    XMEMCPY(ssl->clSuites->suites, input + args->idx, ssl->clSuites->suiteSz);
    args->idx += ssl->clSuites->suiteSz;
''',
         '''    if (ssl->clSuites->suiteSz > WOLFSSL_MAX_SUITE_SZ) {
        const byte* from = input + args->idx;
        word16 all = ssl->clSuites->suiteSz;
        word16 at;
        ssl->clSuites->suiteSz = 0;
        for (at = 0; at < all && ssl->clSuites->suiteSz < WOLFSSL_MAX_SUITE_SZ - 1; at += 2) {
            if (from[at] == TLS13_BYTE || (at + 2 == all && ssl->clSuites->suiteSz == 0)) {
                XMEMCPY(ssl->clSuites->suites + ssl->clSuites->suiteSz, from + at, 2);
                ssl->clSuites->suiteSz += 2;
            }
        }
        args->idx += all;
    }
    else {
        XMEMCPY(ssl->clSuites->suites, input + args->idx, ssl->clSuites->suiteSz);
        args->idx += ssl->clSuites->suiteSz;
    }
'''),
        ('A wrong signature of our own is our own trouble, and no bad proof of the peer.',
         '''                            &tmp
                #else
                            NULL
                #endif
                            );
                }
            }
        #ifdef WOLFSSL_DUAL_ALG_CERTS
''',
         '''                            &tmp
                #else
                            NULL
                #endif
                            );
                    if (ret != 0 && ret != WC_NO_ERR_TRACE(MEMORY_E))
                        ret = RSA_SIGN_FAULT;
                }
            }
        #ifdef WOLFSSL_DUAL_ALG_CERTS
'''),
        ('A message in several records: memory grows with what has come, not with what was announced; and after the '
         'handshake, where wolfSSL has given away what it collects them in, such messages (big tickets) are legal, too.',
         '''    if (ssl->arrays == NULL) {
        if (GetHandshakeHeader(ssl, input, inOutIdx, &type, &size,
                                                                totalSz) != 0) {
            SendAlert(ssl, alert_fatal, unexpected_message);
            WOLFSSL_ERROR_VERBOSE(PARSE_ERROR);
            return PARSE_ERROR;
        }
''',
         '''    if (ssl->arrays == NULL) {
        word32 start = *inOutIdx;
        if (GetHandshakeHeader(ssl, input, inOutIdx, &type, &size,
                                                                totalSz) != 0) {
            SendAlert(ssl, alert_fatal, unexpected_message);
            WOLFSSL_ERROR_VERBOSE(PARSE_ERROR);
            return PARSE_ERROR;
        }
        if (size > totalSz - *inOutIdx &&
            (type == key_update ||
             (type == session_ticket && ssl->options.side == WOLFSSL_CLIENT_END))) {
            ssl->arrays = (Arrays*)XMALLOC(sizeof(Arrays), ssl->heap,
                                           DYNAMIC_TYPE_ARRAYS);
            if (ssl->arrays == NULL)
                return MEMORY_E;
            XMEMSET(ssl->arrays, 0, sizeof(Arrays));
            *inOutIdx = start;
        }
    }
    if (ssl->arrays == NULL) {
'''),
        ('(the same)',
         '''            ssl->arrays->pendingMsg = (byte*)XMALLOC(size + HANDSHAKE_HEADER_SZ,
                                                     ssl->heap,
                                                     DYNAMIC_TYPE_ARRAYS);
            if (ssl->arrays->pendingMsg == NULL)
                return MEMORY_E;
            XMEMCPY(ssl->arrays->pendingMsg,
                    input + *inOutIdx - HANDSHAKE_HEADER_SZ,
                    inputLength);
''',
         '''            ssl->arrays->pendingMsg = (byte*)XMALLOC(PendingRoom(inputLength,
                                                     size + HANDSHAKE_HEADER_SZ),
                                                     ssl->heap,
                                                     DYNAMIC_TYPE_ARRAYS);
            if (ssl->arrays->pendingMsg == NULL)
                return MEMORY_E;
            XMEMCPY(ssl->arrays->pendingMsg,
                    input + *inOutIdx - HANDSHAKE_HEADER_SZ,
                    inputLength);
'''),
        ('(the same)',
         '''        XMEMCPY(ssl->arrays->pendingMsg + ssl->arrays->pendingMsgOffset,
                input + *inOutIdx, inputLength);
        ssl->arrays->pendingMsgOffset += inputLength;
''',
         '''        size = PendingRoom(ssl->arrays->pendingMsgOffset + inputLength,
                           ssl->arrays->pendingMsgSz);
        if (size > PendingRoom(ssl->arrays->pendingMsgOffset,
                               ssl->arrays->pendingMsgSz)) {
            byte* bigger = (byte*)XREALLOC(ssl->arrays->pendingMsg, size,
                                           ssl->heap, DYNAMIC_TYPE_ARRAYS);
            if (bigger == NULL)
                return MEMORY_E;
            ssl->arrays->pendingMsg = bigger;
        }
        XMEMCPY(ssl->arrays->pendingMsg + ssl->arrays->pendingMsgOffset,
                input + *inOutIdx, inputLength);
        ssl->arrays->pendingMsgOffset += inputLength;
'''),
        ('(the same)',
         '''                ssl->arrays->pendingMsg = NULL;
                ssl->arrays->pendingMsgSz = 0;
            }
        }
    }

    WOLFSSL_LEAVE("DoTls13HandShakeMsg", ret);
''',
         '''                ssl->arrays->pendingMsg = NULL;
                ssl->arrays->pendingMsgSz = 0;
                if (ssl->options.handShakeDone)
                    FreeArrays(ssl, 0);
            }
        }
    }

    WOLFSSL_LEAVE("DoTls13HandShakeMsg", ret);
'''),
        ('(the same)',
         '''int DoTls13HandShakeMsg(WOLFSSL* ssl, byte* input, word32* inOutIdx,
                        word32 totalSz)
{
''',
         '''static word32 PendingRoom(word32 len, word32 all)
{
    word32 room = 1024;
    while (room < len)
        room *= 2;
    return room < all ? room : all;
}

int DoTls13HandShakeMsg(WOLFSSL* ssl, byte* input, word32* inOutIdx,
                        word32 totalSz)
{
'''),
    ],
}


def main():
    path = Path(sys.argv[1])
    name = '/'.join(path.parts[-2:])
    text = path.read_text(encoding='utf-8')
    for why, old, new, *times in MENDS[name]:
        if text.count(old) != (times[0] if times else 1):
            sys.exit(f'{path}: a passage to be mended is there {text.count(old)} times ({why})')
        text = text.replace(old, new)
    sys.stdout.write(text)


if __name__ == '__main__':
    main()
