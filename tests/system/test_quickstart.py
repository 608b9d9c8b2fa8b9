# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs deploy/quickstart to its end, with the programs of this build in a copy of the checkout."""
import os
import shutil
import subprocess

import pytest

import database
import lab as labs
import software


@pytest.mark.heavy
@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='it is for the release build')
@pytest.mark.skipif(not database.programs(), reason='PostgreSQL is missing (package postgresql)')
@pytest.mark.skipif(bool(software.missing('nginx', 'curl', 'openssl')), reason='nginx, curl or openssl is missing')
def test_quickstart(lab):
    """Every claim is checked and holds, and nothing is left behind."""
    checkout, place = lab.folder / 'checkout', lab.folder / 'place'
    shutil.copytree(labs.ROOT / 'deploy', checkout / 'deploy', ignore=shutil.ignore_patterns('subprojects'))
    for program in labs.SIDECAR, labs.AGENT:
        copy = checkout / 'build' / os.path.relpath(program, labs.BUILD)
        copy.parent.mkdir(parents=True)
        shutil.copy(program, copy)
    (checkout / 'deploy' / 'build').write_text('#!/bin/sh\n')  # they are built already
    place.mkdir()
    place.chmod(0o1777)
    done = subprocess.run([checkout / 'deploy' / 'quickstart'], env={**os.environ, 'TMPDIR': str(place)},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=180, check=False)
    assert done.returncode == 0, done.stdout
    assert os.listdir(place) == []
