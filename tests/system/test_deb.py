# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the Debian packages: lintian finds nothing, on the Debian that a package is for. test_machine.py installs, runs and purges
them. Takes minutes: FAIRLEAD_LONG=1."""
import re

import pytest

import debian

pytestmark = pytest.mark.skipif(bool(debian.missing()), reason=debian.missing() or '-')


@pytest.mark.parametrize('suite', ['bookworm', 'trixie'])
def test_lintian_finds_nothing(suite, tmp_path):
    """And nothing is overridden."""
    package = debian.package(suite, tmp_path)
    assert re.fullmatch(r'fairlead_[0-9.]+~debian1[23]_[a-z0-9]+\.deb', package.name)
    root = debian.bare(suite, tmp_path / 'root')
    debian.install(root, 'lintian')
    (root / package.name).write_bytes(package.read_bytes())
    assert debian.inside(root, 'lintian', '--allow-root', '--no-cfg', '--show-overrides', '--fail-on', 'error,warning',
                         f'/{package.name}') == ''
