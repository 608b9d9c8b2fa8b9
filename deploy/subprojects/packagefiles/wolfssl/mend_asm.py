#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One x86-64 assembly file of wolfSSL 5.9.2, mended: mend_asm.py FILE prints it.

1. No function is marked as a target of indirect branches, which most of these are: endbr64.

2. fe_cmov_table_avx2 takes the upper half of ymm9 for zero after `movd`, which does not clear it, so that a public key
   may come out wrong, depending on who used the register last. `vmovq` clears it. (tests/tls/x25519_test.c)

3. Upper halves of ymm registers stay in use (tests/lint/vectors.py, tests/tls/vectors_test.c).

   Worth sending upstream: the routines of sp_x86_64_asm.S that use ymm registers (table look-ups of RSA, P-256, P-384 and
   P-521, and sp_256_mod_inv_avx2_4), and poly1305_setkey_avx2, return without vzeroupper. On Intel's processors every
   instruction of the old SSE encoding is slow from there on, until somebody cleans up: it has to merge its result with
   the upper half, and waits for the instruction before it. The SHA-NI code has only such instructions. Measured
   on a Sapphire Rapids: after one ECDSA signature SHA-256 takes 13.6 us a block in place of 0.13, and a third of a
   handshake goes there (528 us for both sides of a full one, 289 when the registers are cleaned before SHA-256). Intel's
   Optimization Reference Manual (mixing AVX code with SSE code) asks for a vzeroupper at the end of each such routine. So:
   - Every function that writes a ymm register and has no vzeroupper gets one before each return.
   - The functions that call another one while they use ymm registers get one before the call. No value of theirs is
     needed after it.
   - Inside AVX2 code wc_mlkem_asm.S has `movq` and `movss` of the old encoding. Each `movq` is followed by a vinserti128
     or by 128-bit code, so that it makes no difference that vmovq clears the upper half.
   AMD's processors do not have this trap.

4. fe_invert_avx2 and curve25519_avx2 call fl_inverse_25519 (inverse.h) in place of 265 multiplications, which take 1.7 times as
   long.

5. fe_init calls cpuid_get_flags() with a stack that is not aligned to 16 bytes, as the ABI asks: a compiler that uses movaps
   there makes a program that crashes, as gcc 12 does without optimization.

Each mend says how often it has to be made in which file, so that another wolfSSL is noticed at once.
"""
import re
import sys
from pathlib import Path

CALLS = r'Transform_Sha\d+_AVX2(?:_RORX)?|chacha_encrypt_avx1'

#                      endbr64, vmovq, functions, calls, old moves, inverses, aligned calls
EXPECTED = {
    'aes_asm.S': (16, 0, 0, 0, 0, 0, 0),
    'aes_gcm_asm.S': (33, 0, 0, 0, 0, 0, 0),
    'chacha_asm.S': (3, 0, 0, 1, 0, 0, 0),
    'fe_x25519_asm.S': (71, 1, 0, 0, 0, 2, 1),
    'poly1305_asm.S': (8, 0, 1, 0, 0, 0, 0),
    'sha256_asm.S': (12, 0, 0, 2, 0, 0, 0),
    'sha3_asm.S': (8, 0, 0, 0, 0, 0, 0),
    'sha512_asm.S': (8, 0, 0, 2, 0, 0, 0),
    'sp_x86_64_asm.S': (255, 0, 15, 0, 0, 0, 0),
    'wc_mlkem_asm.S': (25, 0, 0, 0, 54, 0, 0),
}

# Its label for ELF, behind what declares it. (In the other branch of #ifndef __APPLE__ it begins with an underscore.)
ENTRY = re.compile(r'^(\.globl\s+(?!_)(\w+)\n(?:\.(?:type|align).*\n)*\2:)$', re.M)

# The whole function, from the label for ELF to its size.
FUNCTION = re.compile(r'^(?P<name>\w+):\n#else\n.*?^\.size\t(?P=name),', re.M | re.S)


def clean_up(body):
    """(the text, functions and calls that needed it)"""
    if '%ymm' not in body:
        return body, 0, 0
    functions = 0
    if 'vzeroupper' not in body:
        body = re.sub(r'^(\s+)(repz retq|ret)$', r'\1vzeroupper\n\1\2', body, flags=re.M)
        functions = 1
    body, calls = re.subn(rf'^(\s+)(callq?\t(?:{CALLS})@plt)$', r'\1vzeroupper\n\1\2', body, flags=re.M)
    return body, functions, calls


def new_moves(body):
    if '%ymm' not in body:
        return body, 0
    body, loads = re.subn(r'^(\s+)movq(\t\(\S+\), %xmm\d+)$', r'\1vmovq\2', body, flags=re.M)
    body, stores = re.subn(r'^(\s+)movss\t', r'\1vmovss\t', body, flags=re.M)
    return body, loads + stores


# Both raise z to the power of 2^255 - 21; %rsp is a multiple of 16 in the second.
INVERT = re.compile(r'^(fe_invert_avx2:\n#else\n(?:.*\n){4}#endif.*\n)(?:.*\n)*?(\s+)repz retq$', re.M)
INVERT_LAST = re.compile(r'^(\s+jge\tL_curve25519_avx2_last_3\n)\s+# Invert\n(?:.*\n)*?(\s+movq\t168\(%rsp\), %rdi)$', re.M)


def inverses(text):
    text, whole = INVERT.subn(r'\1\2jmp\tfl_inverse_25519@plt', text)
    text, last = INVERT_LAST.subn(r'\1'
                                  '        movq\t%rsp, %rdi\n'
                                  '        movq\t%rsp, %rsi\n'
                                  '        callq\tfl_inverse_25519@plt\n'
                                  r'\2', text)
    return text, whole + last


def main():
    path = Path(sys.argv[1])
    text = path.read_text(encoding='utf-8')
    functions = calls = moves = 0

    def mend(found):
        nonlocal functions, calls, moves
        body, f, c = clean_up(found.group())
        body, m = new_moves(body)
        functions, calls, moves = functions + f, calls + c, moves + m
        return body

    text, vmovq = re.subn(r'movd\t%rbx, %xmm9', r'vmovq\t%rbx, %xmm9', text)
    text = FUNCTION.sub(mend, text)
    text, inverted = inverses(text)
    text, aligned = re.subn(r'^(\s+)callq\tcpuid_get_flags@plt$', r'\1subq\t$8, %rsp\n\g<0>\n\1addq\t$8, %rsp', text,
                            flags=re.M)
    text, marks = ENTRY.subn(r'\1 endbr64', text)
    if (done := (marks, vmovq, functions, calls, moves, inverted, aligned)) != EXPECTED[path.name]:
        sys.exit(f'{path}: mends were made {done} times, not {EXPECTED[path.name]}')
    sys.stdout.write(text)


if __name__ == '__main__':
    main()
