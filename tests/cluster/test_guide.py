# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of deploy/README.md, as they are printed there, in the order of the guide."""
import re
import subprocess
import textwrap

import pytest

from conftest import ROOT, until

GUIDE = (ROOT / 'deploy' / 'README.md').read_text()


def blocks(title):
    """Returns the shell commands below this heading."""
    section = re.search(rf'(?ms)^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)', GUIDE).group(1)
    return [textwrap.dedent(each) for each in re.findall(r'(?ms)^ *```sh\n(.*?)^ *```', section)]


@pytest.fixture
def shell(mesh):
    """shell(commands, status=0) runs them as a reader would, in a folder that looks like the root of the checkout. Returns what they print."""
    folder = mesh.pki.parent
    if not (folder / 'deploy').exists():
        (folder / 'deploy').symlink_to(ROOT / 'deploy')

    def run(commands, status=0):
        done = subprocess.run(['bash', '-euo', 'pipefail', '-c', commands], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        assert status in (done.returncode, None), (commands, done.stdout)
        return done.stdout if status is not None else done.returncode
    return run


def test_two_workloads(shell):
    """The first block is what the fixture has done."""
    _, reach, look = blocks('From nothing to two workloads in Kubernetes')
    front, stranger = reach.strip().split('\n\n')
    assert '200' in shell(front)
    said = shell(stranger, status=1)
    assert 'Error' in said and '200' not in said
    *printed, forward = look.strip().splitlines()
    assert 'port-forward' in forward
    log, status, explanation = (shell(each, status=code) for each, code in zip(printed, (0, 0, 1)))
    assert 'spiffe://prod.example/ns/prod/sa/front' in log and 'not_tls' in log
    assert 'ready' in status and 'rules' not in status
    assert 'from = spiffe://prod.example/ns/prod/sa/other' in explanation
    page = f'{forward.partition("#")[0]} >/dev/null &\n until curl -fs http://127.0.0.1:15020/; do sleep 0.2; done; kill $!; wait $! || true'
    assert '<title>' in shell(page)


def test_from_permissive_to_strict(shell):
    suggest, preview = blocks('From permissive to strict')
    assert shell(suggest)
    shell(f'cp deploy/kubernetes/example/shop/fairlead.ini strict.ini; {preview}')


def test_renew_and_change_a_root(shell, mesh):
    (renew,) = blocks('Renew')
    shell(renew)
    function, change, preview = blocks('Change a root')
    for line in change.strip().splitlines():
        if 'drop' in line:
            until('nobody depends on the old root', lambda: shell(preview, status=None) == 0)
        shell(f'{function}\n{line}')
        mesh.await_certificates()
