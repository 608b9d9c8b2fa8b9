# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which process the sidecar accepts as its agent. Any other process that owns the socket's path learns nothing,
and the sidecar accepts nothing from it."""
import json
import os
import re
import socket
import subprocess

import pytest

import lab as labs
import peers
from lab import Program, wait_until
from pki import CA

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason='needs root, to become others')
SIDECAR_UID, AGENT_UID, STRANGER = 64001, 64002, 64003


@pytest.fixture
def run(lab):
    """Returns the agent's own folder for sockets."""
    folder = lab.folder / 'run'
    folder.mkdir()
    os.chown(folder, AGENT_UID, -1)
    folder.chmod(0o755)
    return folder


def workload(lab, app, run, sections=None, **options):
    inbound = lab.inbound(app().port, {'agent': {'socket': run / 'agent.sock'}, **(sections or {})}, start=False,
                          sidecar_uid=SIDECAR_UID, agent_uid=AGENT_UID, **options)
    inbound.folder.chmod(0o755)
    inbound.ini.chmod(0o644)
    return inbound


def evil(lab, inbound):
    """Starts an agent of the stranger. It has an identity from the stranger's CA and a policy that admits the
    stranger's peers."""
    ca = CA('evil.example')
    folder = lab.folder / 'evil'
    folder.mkdir()
    folder.chmod(0o755)
    his = ca.issue('spiffe://evil.example/x')
    text = inbound.ini.read_text().replace(f'spiffe://{labs.TD}/**', 'spiffe://evil.example/**')
    for name, data in ('tls.crt', his.chain_pem), ('tls.key', his.key_pem), ('ca.crt', ca.cert_pem):
        (folder / name).write_bytes(data)
        text = text.replace(str(inbound.folder / name), str(folder / name))
    (folder / 'evil.ini').write_text(text)
    return Program(lab, 'evil-agent', [labs.AGENT, 'run', '-c', folder / 'evil.ini'], user=STRANGER), ca


def identity(inbound):
    return json.loads(inbound.get('/status')[1])['id']


def check(inbound, user=None):
    done = subprocess.run([*labs.sanitizer_prefix(), labs.within_reach(labs.AGENT, inbound.lab.folder), 'check', '-c', inbound.ini],
                          capture_output=True, text=True, check=False, user=user, group=user,
                          extra_groups=[] if user else None)
    return done.returncode, done.stderr


def test_who_took_the_path_is_not_the_agent(lab, app, run):
    """The agent started while the folder was closed. Then the folder is opened, and the stranger takes the free path.
    After the folder is closed again, the sidecar still does not accept the stranger as its agent."""
    inbound = workload(lab, app, run).start().wait_ready()
    inbound.agent.stop()
    run.chmod(0o1777)
    false, ca = evil(lab, inbound)
    false.expected.add(2)
    assert false.wait() == 2 and 'others than its owner may write to' in false.text, 'our own program refuses that'
    # The stranger's own program does not check that.
    listener = stranger_listens(run / 'agent.sock')
    inbound.wait_line(level='warn', msg=re.compile(r'others than its owner may write to .*run \(mode 1777\).* creates it.*; trying'))
    run.chmod(0o755)
    inbound.wait_line(level='warn', msg=re.compile(f'runs as uid {STRANGER}, so it is not accepted as the agent: .*`.agent. uid = '
                                                   f'{STRANGER}`'))
    assert listener.heard() == b'', 'nothing is said to him'
    assert identity(inbound) == labs.SERVER and inbound.get('/readyz')[0] == 200
    assert peers.verdict(inbound.port, ca.issue('spiffe://evil.example/me'), ca), 'his people stay outside'
    listener.stop()
    (run / 'agent.sock').unlink()
    inbound.start_agent()
    inbound.agent.wait_line(msg='sidecar connected')


class stranger_listens:
    """A process of the stranger that listens on the path and records what it receives."""

    SCRIPT = '''
import socket, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(64)
import os; os.chmod(sys.argv[1], 0o777); print('listening', flush=True)
while True:
    sock, _ = listener.accept(); sock.settimeout(0.2)
    try: data = sock.recv(4096)
    except OSError: data = b''
    sys.stdout.write('heard:' + data.hex() + '\\n'); sys.stdout.flush()
'''

    def __init__(self, path):
        self.process = subprocess.Popen(['python3', '-c', self.SCRIPT, path], user=STRANGER, group=STRANGER, extra_groups=[],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == 'listening\n'

    def heard(self):
        """Returns what the next caller sends."""
        return bytes.fromhex(self.process.stdout.readline().strip().removeprefix('heard:'))

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.mark.parametrize('mode', [0o1777, 0o777, 0o775])
def test_a_folder_that_others_may_write_to_is_refused(lab, app, run, mode):
    """`check`, the agent and the sidecar refuse such a folder, each with the remedy."""
    run.chmod(mode)
    inbound = workload(lab, app, run)
    code, err = check(inbound)
    assert code == 2 and f'run (mode {mode:04o})' in err and '0755' in err and 'fairlead-agent creates it' in err, err
    inbound.start_agent()
    inbound.agent.expected.add(2)
    assert inbound.agent.wait() == 2 and 'others than its owner may write to' in inbound.agent.text
    inbound.start_sidecar()
    inbound.wait_line(level='warn', msg=re.compile(f'others than its owner may write to .*run .mode {mode:04o}'))
    status, reason = inbound.get('/readyz')
    assert status == 503 and 'may write to' in reason
    # Applies the remedy.
    run.chmod(0o755)
    assert check(inbound, user=AGENT_UID)[0] != 2
    inbound.start_agent()
    inbound.wait_ready()


@pytest.mark.parametrize('umask', ['000', '077'])
def test_the_folder_is_made_in_one_that_is_sticky(lab, app, run, umask):
    """The parent folder is like an in-memory emptyDir of Kubernetes, which every user can write to. Inside its sandbox, which
    lets it change no modes, the agent makes the folder again if it is removed."""
    run.chmod(0o3777)
    os.chown(run, 0, AGENT_UID)
    inbound = workload(lab, app, run, {'agent': {'socket': run / 'agent' / 'agent.sock'}})
    assert check(inbound, user=AGENT_UID)[0] != 2
    inbound.start_sidecar()
    inbound.start_agent(prefix=['sh', '-c', 'umask "$0" && exec "$@"', umask])
    inbound.wait_ready()
    made = os.stat(run / 'agent')
    assert (made.st_uid, made.st_mode & 0o777) == (AGENT_UID, 0o755)
    (run / 'agent').rename(run / 'gone')  # all at once: in one that is being emptied the agent would make its socket again
    inbound.agent.wait_line(msg=re.compile('it has been made again'))
    made = os.stat(run / 'agent')
    assert (made.st_uid, made.st_mode & 0o777) == (AGENT_UID, 0o755)
    inbound.agent.stop()
    inbound.start_agent()
    inbound.agent.wait_line(msg='sidecar connected')


def test_a_stranger_s_folder_is_not_ours(lab, app, run):
    run.chmod(0o1777)
    (run / 'agent').mkdir(mode=0o755)
    os.chown(run / 'agent', STRANGER, -1)
    inbound = workload(lab, app, run, {'agent': {'socket': run / 'agent' / 'agent.sock'}}).start()
    inbound.agent.expected.add(2)
    assert inbound.agent.wait() == 2 and f'belongs to uid {STRANGER}' in inbound.agent.text
    inbound.wait_line(level='warn', msg=re.compile(f'belongs to uid {STRANGER}'))


def test_an_agent_of_another_user_is_told_at_its_start(lab, app, run):
    """Root gets no exception: in a pod, an app may run as root."""
    os.chown(run, 0, 0)
    inbound = workload(lab, app, run)
    inbound.agent_uid = None
    inbound.mount(lab.server, lab.root.cert_pem)
    for name in 'tls.crt', 'tls.key', 'ca.crt':
        os.chown(inbound.folder / name, 0, 0)
    inbound.start()
    inbound.agent.wait_line(level='warn', msg=re.compile(r'we run as uid 0, .* set `\[agent\] uid = 0`'))
    inbound.wait_line(level='warn', msg=re.compile('runs as uid 0, so it is not accepted as the agent'))
    inbound.agent.stop()
    inbound.sidecar.stop()
    inbound.change({'agent': {'uid': 0}})
    inbound.start().wait_ready()


def test_the_tools_tell_nobody_else_anything(lab, app, run):
    """`preview` would send the key to the owner of the control socket's path."""
    folder = lab.folder / 'control'
    folder.mkdir()
    folder.chmod(0o1777)
    path = folder / 'sidecar.sock'
    inbound = workload(lab, app, run, {'sidecar': {'control': path, 'admin': ''}})
    inbound.start()
    wait_until(path.exists, 'the socket is there')

    def tool(*words):
        done = subprocess.run([*labs.sanitizer_prefix(), labs.within_reach(labs.AGENT, lab.folder), *words, '-c', inbound.ini],
                              capture_output=True, text=True, check=False, user=AGENT_UID, group=AGENT_UID, extra_groups=[])
        return done.returncode, done.stdout, done.stderr

    code, out, err = tool('wait')
    assert (code, out) == (0, 'ready\n'), 'without `admin` the tools ask over `control`: ' + err
    assert json.loads(tool('status', '--json')[1])['ready'] is True
    assert tool('suggest')[0] == 0
    assert tool('preview')[0] == 0
    assert tool('log-level', 'debug')[0] == 0
    assert inbound.sidecar.stop() == 0
    listener = stranger_listens(path)
    for words in ('preview',), ('drain',), ('status',), ('suggest',):
        code, out, err = tool(*words)
        assert code in (1, 2) and f'runs as uid {STRANGER}, so it is not trusted to be the sidecar' in err, (words, err)
        assert listener.heard() == b'', words
    listener.stop()
