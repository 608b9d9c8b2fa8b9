#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""wolfSSL's tls13.c as we build it, with a call in BuildTls13Message(), which hands each message that is to be encrypted to
tests/fuzz/tls.c before it enters the transcript: tls13_hook.py MEND prints it."""
import subprocess
import sys
from pathlib import Path

BEFORE = '''            args->idx += (word32)inSz;

            ssl->options.buildMsgState = BUILD_MSG_HASH;
'''
AFTER = '''            inSz = fuzz_tls_message(ssl, output + args->idx, inSz, type);
            args->sz = args->headerSz + (word32)inSz + 1 + ssl->specs.aead_mac_size;
            args->size = (word16)(args->sz - args->headerSz);
            AddTls13RecordHeader(output, args->size, application_data, ssl);
''' + BEFORE

mend = Path(sys.argv[1])
text = subprocess.run([sys.executable, mend, mend.parent / 'src/tls13.c'], check=True, capture_output=True, text=True).stdout
if text.count(BEFORE) != 1:
    sys.exit('tls13_hook.py: BuildTls13Message() is not the one that is known here')
function = 'int BuildTls13Message('
text = text.replace(BEFORE, AFTER)
at = text.index(function)
print(text[:at] + 'int fuzz_tls_message(WOLFSSL* ssl, byte* message, int sz, int type);\n' + text[at:], end='')
