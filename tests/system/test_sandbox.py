# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left to somebody who has taken over a process: next to nothing. tests/unit/sandbox_test.c tries more, from inside."""
import array
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios

import pytest

import lab as labs
from false_agent import SIGN, frame
from false_sidecar import hello
from lab import ASAN, TSAN

SANITIZED = ASAN or TSAN
WITHOUT_CALLS = pathlib.Path(labs.__file__).with_name('without_calls.py')
HOLDING_CALLS = pathlib.Path(labs.__file__).with_name('holding_calls.py')

release_only = pytest.mark.skipif(SANITIZED, reason='sanitizers need files and more calls, which their builds allow')
root_only = pytest.mark.skipif(os.getuid() != 0, reason='needs root, to trace a process that is not dumpable')


def landlock_of_this_kernel():
    version = ctypes.CDLL(None).syscall(444, None, 0, 1)
    return version if version > 0 else None


def status_field(pid, name):
    return re.search(rf'^{name}:\s+(\S+)', pathlib.Path(f'/proc/{pid}/status').read_text(), re.M)[1]


def threads(pid):
    return [f'{pid}/task/{tid}' for tid in os.listdir(f'/proc/{pid}/task')]


def processes(workload):
    return workload.sidecar, workload.agent


def sandbox_of(workload):
    return json.loads(workload.get('/status')[1])['sandbox']


@pytest.fixture
def workload(lab, app):
    return lab.inbound(app().port, {'sidecar': {'workers': 2}})


def test_every_thread_of_both_is_filtered(workload):
    for process in processes(workload):
        assert {status_field(thread, 'Seccomp') for thread in threads(process.pid)} == {'2'}, process.name
        process.wait_line(level='info', msg=re.compile('^sandbox: seccomp, Landlock' if landlock_of_this_kernel() else
                                                       '^sandbox: seccomp, no Landlock'))


def test_status_shows_what_is_in_force(workload):
    said = sandbox_of(workload)
    assert said == {'wanted': True, 'seccomp': True, 'landlock': landlock_of_this_kernel(), 'missing': said['missing']}
    assert (said['missing'] is None) == (said['landlock'] is not None)
    shown = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, 'status', '-c', workload.ini], capture_output=True,
                           text=True, check=True).stdout
    assert re.search(r'^sandbox +seccomp, (Landlock \d+$|NO LANDLOCK: .)', shown, re.M), shown
    assert 'seccomp, ' in workload.get('/')[1]


def test_off_is_off_and_says_so(lab, app):
    workload = lab.inbound(app().port, {'sidecar': {'sandbox': 'off'}, 'agent': {'sandbox': 'off'}})
    for process in processes(workload):
        assert {status_field(thread, 'Seccomp') for thread in threads(process.pid)} == {'0'}, process.name
        process.wait_line(level='warn', msg=re.compile('^sandbox = off'))
    assert sandbox_of(workload) == {'wanted': False, 'seccomp': False, 'landlock': None, 'missing': None}


@pytest.mark.parametrize('off', ['sidecar', 'agent'])
def test_off_is_off_for_the_one_only(lab, app, off):
    """The other one has all of its filters, that against rings too, without which its own sandbox would end it."""
    workload = lab.inbound(app().port, {off: {'sandbox': 'off'}})
    ours = int(status_field(os.getpid(), 'Seccomp_filters'))
    for process, wanted in (workload.sidecar, off != 'sidecar'), (workload.agent, off != 'agent'):
        process.wait_line(msg=re.compile('^sandbox: seccomp' if wanted else '^sandbox = off'))
        for thread in threads(process.pid):
            filters = int(status_field(thread, 'Seccomp_filters')) - ours
            assert filters == 2 if wanted else filters == 0, (process.name, thread, filters)
    assert sandbox_of(workload)['wanted'] == (off != 'sidecar')


def test_a_change_of_the_key_needs_a_restart(workload):
    workload.change({'sidecar': {'sandbox': 'off'}})
    workload.wait_line(level='warn', msg=re.compile('restart of the sidecar'), keys='[sidecar] sandbox')
    workload.change({'agent': {'sandbox': 'off'}})
    workload.agent.wait_line(level='warn', msg=re.compile('restart of the agent'), keys='[agent] sandbox')
    assert sandbox_of(workload)['wanted']


# --- before it is there --------------------------------------------------------------------------------------

FIRST, LAST = 'landlock_create_ruleset', 'seccomp'  # the calls by which the sandbox begins, and by which it is complete
READS = {'sidecar': ['accept4', 'connect'], 'agent': ['accept4']}  # without which nothing is read from anybody


def wait_held(lab, call):
    """At a call at which the program is held, and at none before."""
    labs.wait_until(lambda: held(lab), f'it does not come to {call}')
    assert held(lab) == {call}


def held(lab):
    return {path.stem for path in lab.folder.glob('*.held') if not path.with_suffix('.go').exists()}


def let_go(lab, *calls):
    for call in calls:
        (lab.folder / f'{call}.go').touch()


def is_unread(sock):
    """Has the other end, of a Unix socket, not read what was sent? Of a TCP connection: has it not been accepted?"""
    if sock.family == socket.AF_UNIX:
        count = array.array('i', [0])
        fcntl.ioctl(sock, termios.TIOCOUTQ, count)
        return count[0] > 0
    ports = f'{sock.getpeername()[1]:04X} {sock.getsockname()[1]:04X}'
    for line in pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]:
        fields = line.split()
        if f'{fields[1][-4:]} {fields[2][-4:]}' == ports:
            return fields[9] == '0' and not fields[4].endswith(':00000000')
    raise AssertionError('no such connection')


@pytest.mark.parametrize('which', ['sidecar', 'agent'])
def test_nothing_is_read_before_it_is_complete(lab, app, which):
    """Callers are there before it begins, and have said what they want."""
    control = lab.folder / 'folder' / 'control.sock'
    control.parent.mkdir(mode=0o700)
    workload = lab.inbound(app().port, {'sidecar': {'control': control}}, start=False)
    prefix = [sys.executable, HOLDING_CALLS, lab.folder, ','.join([FIRST, LAST, *READS[which]])]
    if which == 'sidecar':
        workload.start_agent()
        workload.start_sidecar(prefix=prefix)
    else:
        workload.start_agent(prefix=prefix)
    wait_held(lab, FIRST)
    with contextlib.ExitStack() as stack:
        if which == 'sidecar':
            callers = [(workload.dial_admin(), b'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'), (labs.connect(control), b'log-level info\n')]
        else:
            callers = [(labs.connect(workload.folder / 'agent.sock'), hello()),
                       (labs.connect(workload.folder / 'agent.sock'), frame(SIGN, b''))]
        for sock, text in callers:
            stack.enter_context(sock)
            sock.sendall(text)
        let_go(lab, FIRST)
        wait_held(lab, LAST)
        assert all(is_unread(sock) for sock, _ in callers)
        let_go(lab, LAST, *READS[which])
        for sock, _ in callers:
            assert sock.recv(1)
            assert not is_unread(sock)
    if which == 'agent':
        workload.start_sidecar()
    workload.wait_ready()


# --- attempts from inside, by a debugger ------------------------------------------------------------------

def calls(pid, expressions, *, end):
    """Makes the process call each expression. Returns the answers: numbers, and 'SIGSYS' where the sandbox intervened. end: the
    last of these interventions takes its course."""
    script = [f'set confirm off\nset pagination off\nset unwindonsignal on\nset print thread-events off\nattach {pid}']
    script += ['handle SIGSYS stop nopass']
    for number, expression in enumerate(expressions):
        if end and number == len(expressions) - 1:
            script += ['handle SIGSYS nostop pass']
        script += [f'echo \\n{number}:\\n', f'print (long) {expression}']
    script += ['detach']
    done = subprocess.run(['gdb', '--batch', '-nx', *(word for line in script for cmd in line.split('\n')
                                                      for word in ('-ex', cmd))],
                          capture_output=True, text=True, timeout=120, check=False)
    answers = []
    for number in range(len(expressions)):
        part = done.stdout.split(f'\n{number}:\n', 1)
        text = part[1].split(f'\n{number + 1}:\n')[0] if len(part) > 1 else ''
        answer = re.search(r'^\$\d+ = (-?\d+)$', text, re.M)
        answers.append(int(answer[1]) if answer else 'SIGSYS' if number + 1 < len(expressions) or not end else None)
    return answers, done.stdout + done.stderr


# What is asked, and what comes of it: -1, or the end.
ATTEMPTS = [
    ('((int (*)(const char *, int)) open64)("/etc/passwd", 0)', -1),
    ('((int (*)(const char *, int, int)) open64)("/tmp/fairlead-made", 0101, 0600)', 'SIGSYS'),
    ('((int (*)(int, int, int)) socket)(2, 3, 1)', 'SIGSYS'),  # raw
    ('((int (*)(int, int, int)) socket)(16, 3, 0)', 'SIGSYS'),  # netlink
    ('((long (*)(int, int, long, long)) ptrace)(16, 1, 0, 0)', 'SIGSYS'),
    ('((int (*)(unsigned long, unsigned long, int)) mprotect)(((unsigned long) $sp) & ~4095, 4096, 7)', 'SIGSYS'),
    ('((int (*)(int)) unshare)(0x10000000)', 'SIGSYS'),  # a user namespace
    ('((int (*)(int, int)) kill)(1, 15)', 'SIGSYS'),
    ('((int (*)(const char *, long, long)) execve)("/bin/true", 0, 0)', None),
]


@release_only
@root_only
@pytest.mark.heavy
@pytest.mark.parametrize('which', ['sidecar', 'agent'])
def test_every_attempt_is_refused_and_the_last_one_is_in_the_log(workload, which):
    process = getattr(workload, which)
    answers, output = calls(process.pid, [expression for expression, _ in ATTEMPTS], end=True)
    if landlock_of_this_kernel() is None and which == 'agent':
        answers[0] = -1
    assert answers == [expected for _, expected in ATTEMPTS], output
    process.expected.add(-signal.SIGSYS)
    assert process.wait() == -signal.SIGSYS
    line = process.wait_line(level='error', syscall='execve')
    assert 'does not let the system call execve (number 59) through' in line['msg']
    assert line['program'] == f'fairlead-{which}' and re.fullmatch(r'\d{4}(-\d\d){2}T(\d\d:){2}\d\d\.\d{6}Z', line['time'])
    assert not os.path.exists('/tmp/fairlead-made')


@release_only
@root_only
def test_the_line_has_the_form_of_the_log(lab, app):
    workload = lab.inbound(app().port, {'log': {'format': 'text'}})
    calls(workload.sidecar.pid, [ATTEMPTS[-1][0]], end=True)
    workload.sidecar.expected.add(-signal.SIGSYS)
    assert workload.sidecar.wait() == -signal.SIGSYS
    last = workload.sidecar.text.splitlines()[-1]
    assert re.match(r'\d{4}-\S+Z error the sandbox does not let the system call execve \(number \d+\) through', last)
    assert last.endswith(' program=fairlead-sidecar syscall=execve')


# --- what the kernel makes of a filter ----------------------------------------------------------------------

ALLOW, TRAP = 0x7fff0000, 0x00030000
AUDIT_ARCH = {'x86_64': 0xc000003e, 'aarch64': 0xc00000b7}


def verdict(program, architecture, number):
    """What the filter of a release says of a call whose arguments are all zero."""
    text = subprocess.run([labs.BUILD / 'sidecar/base/make_sandbox_filters', architecture, 'release'], capture_output=True, text=True,
                          check=True).stdout
    text = text.split(f'{program}_filter[] = {{')[1].split('};')[0]
    steps = [tuple(int(word, 0) for word in row) for row in re.findall(r'\{(\S+), (\d+), (\d+), (\S+)\}', text)]
    data = {0: number, 4: AUDIT_ARCH[architecture]}
    at = value = 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x06:  # return
            return operand
        if code == 0x05:  # jump
            at += operand
        elif code in (0x15, 0x35):  # equal; greater or equal
            at += if_true if (value == operand if code == 0x15 else value >= operand) else if_false
        elif code == 0x20:  # load
            value = data.get(operand, 0)
        else:
            assert code == 0x54  # and
            value &= operand


@pytest.mark.parametrize('program', ['sidecar', 'agent'])
def test_what_the_kernel_itself_puts_into_a_program_is_let_through(program):
    """A tool on the node may observe where functions return. The kernel of this machine may not ask filters about it any more."""
    names = {'x86_64': {'uretprobe': 335, 'restart_syscall': 219, 'read': 0, 'execve': 59, 'unassigned': 336},
             'aarch64': {'restart_syscall': 128, 'read': 63, 'execve': 221, 'unassigned': 335}}
    for architecture, numbers in names.items():
        for name, number in numbers.items():
            assert verdict(program, architecture, number) == (TRAP if name in ('execve', 'unassigned') else ALLOW), name


# --- where something is missing -----------------------------------------------------------------------------

def start_without(lab, app, error, names):
    """A workload whose sidecar and agent find no such calls."""
    workload = lab.inbound(app().port, start=False)
    prefix = [sys.executable, WITHOUT_CALLS, error, names]
    workload.start_sidecar(prefix=prefix)
    workload.agent = labs.Program(lab, f'{workload.name}-agent', [labs.AGENT, 'run', '-c', workload.ini], prefix=prefix)
    return workload.wait_ready()


@pytest.mark.skipif(SANITIZED, reason='the prefix of sanitizers')
@pytest.mark.parametrize('error, says', [('ENOSYS', 'this kernel has no Landlock'),
                                         ('EOPNOTSUPP', 'this kernel was started without Landlock'),
                                         ('EPERM', 'Landlock cannot be used here: Operation not permitted')])
def test_without_landlock(lab, app, error, says):
    workload = start_without(lab, app, error, 'landlock_create_ruleset')
    assert sandbox_of(workload) == {'wanted': True, 'seccomp': True, 'landlock': None, 'missing': says}
    for process in processes(workload):
        assert len(process.lines(level='warn', msg=f'sandbox: seccomp, no Landlock; {says}')) == 1
    shown = subprocess.run([labs.AGENT, 'status', '-c', workload.ini], capture_output=True, text=True, check=True).stdout
    assert re.search(rf'^sandbox +seccomp, NO LANDLOCK: {says}$', shown, re.M)


@pytest.mark.skipif(SANITIZED, reason='the prefix of sanitizers')
def test_without_anything(lab, app):
    """They run, and one line says what is missing."""
    workload = start_without(lab, app, 'ENOSYS', 'landlock_create_ruleset,seccomp')
    said = sandbox_of(workload)
    assert said['wanted'] and not said['seccomp'] and said['landlock'] is None
    assert said['missing'] == 'this kernel has no Landlock; this kernel, or the container, has no seccomp filters'
    for process in processes(workload):
        assert [line['msg'] for line in process.lines(level='warn') if 'sandbox' in line['msg']] == \
            ['sandbox: no seccomp, no Landlock; ' + said['missing']]
        assert status_field(process.pid, 'Seccomp_filters') == '1', 'that of the test'


# --- what goes on inside ------------------------------------------------------------------------------------

def test_the_agent_follows_a_link_and_a_folder_that_are_replaced(lab, app):
    """Not only Kubernetes' way."""
    workload = lab.inbound(app().port, start=False)
    certs = workload.folder / 'certs'
    sets = [certs / 'v1', certs / 'v2']
    for folder in sets:
        shutil.copytree(workload.folder, folder, ignore=lambda _, names: [n for n in names if not n.endswith(('crt', 'key'))])
    (certs / 'current').symlink_to('v1')
    fresh = lab.root.issue(f'spiffe://{labs.TD}/ns/test/sa/fresh')
    (sets[1] / 'tls.crt').write_bytes(fresh.chain_pem)
    (sets[1] / 'tls.key').write_bytes(fresh.key_pem)
    workload.change({'identity': {name: certs / 'current' / file for name, file in
                                  (('cert', 'tls.crt'), ('key', 'tls.key'), ('bundle', 'ca.crt'))}})
    workload.start().wait_ready()
    (certs / 'next').symlink_to('v2')
    (certs / 'next').rename(certs / 'current')
    workload.agent.wait_line(msg='credentials validated', id=f'spiffe://{labs.TD}/ns/test/sa/fresh')
    # v2 itself is replaced as a whole
    shutil.copytree(sets[0], certs / 'v3')
    sets[1].rename(certs / 'old')
    (certs / 'v3').rename(sets[1])
    labs.wait_until(lambda: len(workload.agent.lines(msg='credentials validated')) == 3, 'the third set is not in use')


@release_only
def test_a_folder_that_the_ini_did_not_name_at_the_start(lab, app):
    """It is refused with the remedy, and the remedy works."""
    if landlock_of_this_kernel() is None:
        pytest.skip('no Landlock')
    workload = lab.inbound(app().port)
    with tempfile.TemporaryDirectory() as elsewhere:
        shutil.copy(workload.folder / 'ca.crt', elsewhere)
        workload.change({'identity': {'bundle': f'{elsewhere}/ca.crt'}})
        line = workload.agent.wait_line(msg='credentials refused')
        assert 'sandbox' in line['reason'] and 'restart the agent' in line['reason'], line
        workload.agent.stop()
        workload.start_agent()
        workload.agent.wait_line(msg='credentials validated')


@pytest.mark.skipif(SANITIZED or os.getuid() != 0 or not shutil.which('unshare'), reason='needs root and unshare')
@pytest.mark.parametrize('target', ['real', 'real/', 'real/.', 'beside/../real'])
def test_a_socket_behind_a_link(lab, app, target):
    """As in /var/run/fairlead. Each time it connects the sidecar looks where the link leads, and so does the agent when it makes
    its socket again. realpath() makes other system calls for some targets than for others."""
    real, link = lab.folder / 'real', lab.folder / 'link'
    real.mkdir()
    (lab.folder / 'beside').mkdir()
    link.symlink_to(f'{lab.folder}/{target}')
    workload = lab.inbound(app().port, {'agent': {'socket': link / 'agent.sock'}})
    (real / 'agent.sock').unlink()
    workload.agent.wait_line(msg=re.compile('it has been made again'))
    workload.agent.kill()
    workload.start_agent()
    workload.agent.wait_line(msg='generation is in use already')


@release_only
def test_hosts_that_are_replaced(lab, app):
    """The file that was there at the start is read again when it changes. One that takes its place is not opened; a line says
    so."""
    etc = lab.folder / 'etc'
    etc.mkdir()
    (etc / 'hosts').write_text('127.0.0.1 localhost\n')
    for name in 'resolv.conf', 'nsswitch.conf':
        (etc / name).write_text('nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' if name == 'resolv.conf' else '')
    server = app()
    inbound = lab.inbound(server.port)
    outbound = lab.outbound('127.0.0.1:1', {'upstream peer': {'to': f'ledger.test:{inbound.port}'}}, start=False)
    outbound.start_agent()
    outbound.start_sidecar(prefix=['unshare', '-m', 'sh', '-c', f'mount --bind {etc} /etc && exec "$@"', 'sh'])
    outbound.wait_ready(timeout=20)
    with open(etc / 'hosts', 'a', encoding='ascii') as hosts:
        hosts.write('127.0.0.1 ledger.test\n')

    def is_echoed():
        try:
            with labs.connect(outbound.port) as sock:
                sock.sendall(b'x')
                return sock.recv(1) == b'x'
        except ConnectionError:
            return False
    labs.wait_until(is_echoed, 'the name in the file is not found', timeout=20)
    (etc / 'new').write_text('127.0.0.1 localhost\n')
    (etc / 'new').rename(etc / 'hosts')
    labs.wait_until(lambda: is_echoed() and outbound.sidecar.lines(level='warn', msg=re.compile('/etc/hosts is another file')),
                    'it is not noticed', timeout=40)
