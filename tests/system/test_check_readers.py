# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that fairlead-agent check, which reads everything as root, warns of what agent and sidecar cannot read as users of their
own."""
import os

import pytest

from test_tools import check, tool, web  # noqa: F401

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason='whoever is not root has tried to read the files')


def places(report):
    return [(problem['kind'], problem['line']) for problem in report['problems']]


@pytest.fixture
def mounted(lab, web):
    """Returns the workload with files of each kind that agent and sidecar may read as users of their own."""
    for name, data in ('crl.pem', lab.root.crl([1])), ('other.crt', lab.other_root.cert_pem):
        (web.folder / name).write_bytes(data)
        (web.folder / name).chmod(0o644)
    web.change({'agent': {'uid': 2113, 'sidecar_uid': 2112}, 'identity': {'crl': web.folder / 'crl.pem'},
                'federate other.example': {'bundle': web.folder / 'other.crt'}})
    os.chown(web.folder / 'tls.key', 2113, -1)
    web.ini.chmod(0o644)
    web.folder.chmod(0o755)
    check(web, 0)
    return web


@pytest.mark.parametrize('name, place', [('tls.crt', 'cert'), ('tls.key', 'key'), ('ca.crt', 'bundle'), ('crl.pem', 'crl'),
                                         ('other.crt', '[federate')])
def test_a_file_that_the_agent_cannot_read(mounted, name, place):
    path = mounted.folder / name
    os.chown(path, 0, 0)
    path.chmod(0o600)
    _, err, report = check(mounted, 1)
    assert places(report) == [('warning', mounted.line(place))]
    assert f'{path} belongs to uid 0 and has mode 0600, so the agent cannot read it as uid 2113: ' in err
    assert ('chown it to 2113' if name == 'tls.key' else 'chmod g+r, o+r') in err and 'correct `[agent] uid`' in err
    path.chmod(0o640)  # perhaps the agent has the group
    check(mounted, 0)


def test_an_ini_that_agent_and_sidecar_cannot_read(mounted):
    mounted.ini.chmod(0o600)
    _, err, report = check(mounted, 1)
    assert places(report) == [('warning', 0)] and f'{mounted.ini} belongs to uid 0 and has mode 0600' in err
    assert 'so agent and sidecar cannot read it as uid 2113 and 2112: ' in err
    assert tool('check', '-c', '-', text=mounted.ini.read_text())[2] == '', 'it will be another file'
    os.chown(mounted.ini, 2113, 0)
    assert 'so the sidecar cannot read it as uid 2112: ' in check(mounted, 1)[1]
    os.chown(mounted.ini, 2112, 0)
    assert 'so the agent cannot read it as uid 2113: ' in check(mounted, 1)[1]


def test_a_folder_that_cannot_be_searched_is_named_once(lab, mounted):
    mounted.folder.chmod(0o700)
    _, err, report = check(mounted, 1)
    assert len(report['problems']) == 1 and f'the folder {mounted.folder} belongs to uid 0 and has mode 0700, so agent ' \
        'and sidecar cannot search it as uid 2113 and 2112: ' in err and 'chmod g+x, o+x' in err
    # Each on the way is one.
    lab.folder.chmod(0o700)
    _, err, report = check(mounted, 1)
    assert len(report['problems']) == 2 and f'the folder {lab.folder} ' in err and f'the folder {mounted.folder} ' in err


def test_links_are_followed_on_the_way(lab, mounted):
    """As in a volume of Kubernetes: of the folders behind a link, each has to be open, too."""
    hidden = lab.folder / 'hidden'
    (hidden / 'open').mkdir(parents=True)
    for name in 'tls.crt', 'ca.crt':
        (mounted.folder / name).rename(hidden / 'open' / name)
        (mounted.folder / name).symlink_to(f'..data/{name}')
    (mounted.folder / '..data').symlink_to('../link')
    (lab.folder / 'link').symlink_to(hidden / 'open')
    check(mounted, 0)
    hidden.chmod(0o700)
    _, err, report = check(mounted, 1)
    assert places(report) == [('warning', mounted.line('cert'))] and f'the folder {hidden} belongs to uid 0' in err


def test_whoever_becomes_root_reads_everything(mounted):
    mounted.folder.chmod(0o700)
    mounted.change({'agent': {'sidecar_uid': 0}})
    check(mounted, 0)
    mounted.change({'agent': {'sidecar_uid': 2112, 'uid': 0}})
    assert 'so the sidecar cannot search it as uid 2112: ' in check(mounted, 1)[1]
