# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the library certs-watch alone: what its example prints about a volume that changes."""
import re

import lab as labs
from lab import wait_until
from pki import PAST
from volume import Volume, secret


def test_the_example(lab):
    volume = Volume(lab.folder / 'volume')
    paths = [volume / name for name in ('tls.crt', 'tls.key', 'ca.crt')]
    command = labs.BUILD / 'certs-watch' / 'certs-watch-example'
    example = lab.program('example', [command, *paths])

    def says(pattern, times=1):
        wait_until(lambda: len(re.findall(pattern, example.text, re.M)) == times, lambda: example.text)
    says(r'^refused: .*tls.crt: it does not exist')
    volume.write(secret(lab.server, lab.root))
    says(f'^in force: {re.escape(labs.SERVER)}, until [0-9]+$')
    expired = lab.root.issue(labs.SERVER, **PAST)
    volume.write(secret(expired, lab.root))
    says(r'^refused: .*tls.crt: certificate 1, the leaf: it has expired')
    volume.write(secret(lab.root.issue(labs.CLIENT), lab.root))
    says(f'^in force: {re.escape(labs.CLIENT)}, until [0-9]+$')
    assert example.stop() == 0
