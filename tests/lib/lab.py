# SPDX-License-Identifier: GPL-3.0-or-later
"""Real sidecars and agents on loopback, for the system tests.

    lab.inbound(app)            a sidecar through which mesh peers reach the app, with its agent
    lab.outbound(to)            a sidecar that carries the app's connections into the mesh, with its agent
    lab.pair(app)               both, one behind the other

Ports come from the kernel and stay reserved for the test. Every wait has a deadline and polls. Every process is
ended by its pid and has to end cleanly: a wrong exit status or a sanitizer's report fails the test.
FAIRLEAD_BUILD names the build tree (default: build).
"""
import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from pki import CA

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get('FAIRLEAD_BUILD', 'build')
SIDECAR = str(BUILD / 'sidecar' / 'fairlead-sidecar')
AGENT = str(BUILD / 'agent' / 'fairlead-agent')
ASAN, TSAN = 'asan' in BUILD.name, 'tsan' in BUILD.name
SLOW = 8 if TSAN else 4 if ASAN or BUILD.name == 'build-aarch64' else 1  # a factor for all time limits
PACE = min(SLOW, 2)  # a factor for times that a test has to wait in full

TD = 'prod.example'
CLIENT, SERVER = f'spiffe://{TD}/ns/test/sa/client', f'spiffe://{TD}/ns/test/sa/server'


# --- waiting --------------------------------------------------------------------------------------

def wait_until(condition, what, timeout=10):
    """Polls until condition() is true, and returns its value. what: for the message after the deadline."""
    deadline, pause, tick = time.monotonic() + timeout * SLOW, 0.001, threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f'in vain: {what() if callable(what) else what}'
        tick.wait(pause)
        pause = min(pause * 1.5, 0.05)


# --- addresses ------------------------------------------------------------------------------------

class Ports:
    """Ports that the kernel chooses. They stay bound, without listening, so that no other process gets them."""

    def __init__(self):
        self.held = []

    def free(self):
        holder = socket.socket(socket.AF_INET6)
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(('::', 0))
        self.held.append(holder)
        return holder.getsockname()[1]

    def close(self):
        for holder in self.held:
            holder.close()


def connect(to, timeout=10, source=None):
    """Connects to a port of 127.0.0.1, to (host, port), or to the path of a Unix socket. source: a local address."""
    if isinstance(to, (str, pathlib.Path)):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout * SLOW)
        sock.connect(str(to))
        return sock
    return socket.create_connection(('127.0.0.1', to) if isinstance(to, int) else to, timeout * SLOW,
                                    (source, 0) if source else None)


def reset(sock):
    """Closes with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()


def use_programs(monkeypatch, folder):
    """Lets workloads start the programs of that build tree."""
    monkeypatch.setattr(sys.modules[__name__], 'SIDECAR', str(folder / 'sidecar' / 'fairlead-sidecar'))
    monkeypatch.setattr(sys.modules[__name__], 'AGENT', str(folder / 'agent' / 'fairlead-agent'))


def ask(port, text):
    """Sends it, and its end. Returns the answer."""
    with connect(port) as sock:
        sock.sendall(text)
        sock.shutdown(1)
        return read_all(sock)


def read_all(sock):
    """Reads up to the clean end. A reset raises an exception."""
    data = bytearray()
    while chunk := sock.recv(1 << 16):
        data += chunk
    return bytes(data)


def end_of(sock):
    """Returns how the connection ends: 'eof' or 'reset'. Bytes before that are discarded."""
    try:
        while sock.recv(1 << 16):
            pass
        return 'eof'
    except (ConnectionResetError, BrokenPipeError):
        return 'reset'


def outcome(to, data=b''):
    """Sends data on a new connection. Returns 'eof', 'reset' or 'refused'."""
    try:
        with connect(to) as sock:
            sock.sendall(data)
            return end_of(sock)
    except ConnectionRefusedError:
        return 'refused'
    except (ConnectionResetError, BrokenPipeError):
        return 'reset'


def listens(to):
    """Returns whether a connection to that address is accepted. (It is closed at once.)"""
    try:
        connect(to).close()
        return True
    except ConnectionError:
        return False


@contextlib.contextmanager
def full_backlog(family=socket.AF_INET):
    """Yields a port whose queue is full: connections to it hang."""
    with socket.socket(family) as listener, contextlib.ExitStack() as stack:
        listener.bind(('127.0.0.1', 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            sock = stack.enter_context(socket.socket(family))
            sock.setblocking(False)
            sock.connect_ex(('127.0.0.1', port))
        wait_until(lambda: hangs(port), 'the queue is full')
        yield port


def hangs(port):
    with socket.socket() as sock:
        sock.settimeout(0.05)
        try:
            sock.connect(('127.0.0.1', port))
        except TimeoutError:
            return True
        return False


# --- processes ------------------------------------------------------------------------------------

def sanitizer_prefix():
    """With more than 28 random bits in addresses, the sanitizers of gcc 12 cannot place their shadow memory."""
    with contextlib.suppress(OSError):
        if (ASAN or TSAN) and int(pathlib.Path('/proc/sys/vm/mmap_rnd_bits').read_text()) > 28:
            return ['setarch', '-R']
    return []


def within_reach(program, folder):
    """Returns a copy of the program that any user may execute: the checkout may lie in a folder of root."""
    copy = folder / pathlib.Path(program).name
    if not copy.exists():
        shutil.copy(program, copy)
    return str(copy)


class Program:
    """A running process. Its output goes to a file."""

    def __init__(self, lab, name, command, *, user=None, prefix=(), cwd=None, env=None):
        self.name, self.lab = name, lab
        self.path = lab.folder / f'{name}.log'
        self.expected = {0}
        program, *arguments = map(str, command)
        if user and program in (SIDECAR, AGENT):
            program = within_reach(program, lab.folder)
        command = [*prefix, *sanitizer_prefix(), program, *arguments]
        with open(self.path, 'ab') as log:
            self.since = log.tell()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=user, cwd=cwd or lab.folder,
                group=user, extra_groups=[] if user else None, env={**os.environ, **(env or {})})
        lab.programs.append(self)

    @property
    def pid(self):
        return self.process.pid

    @property
    def text(self):
        with open(self.path, errors='replace') as log:
            log.seek(self.since)
            return log.read()

    def lines(self, **fields):
        """Returns the JSON lines whose fields have these values. A compiled pattern is searched for."""
        found = []
        for text in self.text.splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if all(matches(line.get(k), v) for k, v in fields.items()):
                    found.append(line)
        return found

    def wait_line(self, timeout=10, **fields):
        """Returns the first such line, and waits for it."""
        return wait_until(lambda: self.lines(**fields), lambda: f'{self.name} has no line with {fields}', timeout)[0]

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)

    def kill(self):
        """Kills the process with SIGKILL and waits for its end."""
        self.expected.add(-signal.SIGKILL)
        self.process.kill()
        return self.process.wait()

    def wait(self, timeout=10):
        return self.process.wait(timeout * SLOW)

    def stop(self):
        self.terminate()
        return self.wait()

    # Figures in which a leak would show.
    def fds(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def pss(self):
        """Returns the memory of this process in bytes, with its share of shared memory."""
        return self.memory('Pss')

    def heap(self):
        """Returns the bytes of heap and stacks: they grow only by what the process itself does."""
        return self.memory('Anonymous')

    def memory(self, kind):
        text = pathlib.Path(f'/proc/{self.pid}/smaps_rollup').read_text()
        return int(re.search(rf'^{kind}:\s+(\d+) kB', text, re.M)[1]) * 1024

    def thread_ticks(self):
        """Returns the CPU time of each thread, by thread id."""
        ticks = {}
        for tid in os.listdir(f'/proc/{self.pid}/task'):
            fields = pathlib.Path(f'/proc/{self.pid}/task/{tid}/stat').read_text().rsplit(')', 1)[1].split()
            ticks[int(tid)] = int(fields[11]) + int(fields[12])
        return ticks

    def thread_times(self):
        """Returns the CPU time in nanoseconds. (Ticks are sampled, so a little work may leave none.)"""
        tasks = pathlib.Path(f'/proc/{self.pid}/task').iterdir()
        return {int(task.name): int((task / 'schedstat').read_text().split()[0]) for task in tasks}


def matches(value, wanted):
    return bool(wanted.search(str(value))) if isinstance(wanted, re.Pattern) else value == wanted


# --- a workload: sidecar and agent under one INI ------------------------------------------------------

def ini(sections):
    """Returns the INI text of {section: {key: value}}."""
    return '\n'.join(f'[{name}]\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items())
                     for name, keys in sections.items() if keys is not None)


class Workload:
    """One INI, the folder of its mounted files, its sidecar and its agent."""

    def __init__(self, lab, name, svid, sections, *, bundle=None, sidecar_uid=None, agent_uid=None):
        self.lab, self.name = lab, name
        self.folder = lab.folder / name
        self.folder.mkdir()
        self.admin = lab.ports.free()
        self.sidecar = self.agent = None
        self.sidecar_uid, self.agent_uid = sidecar_uid, agent_uid
        self.sections = {
            'identity': {'cert': self.folder / 'tls.crt', 'key': self.folder / 'tls.key',
                         'bundle': self.folder / 'ca.crt'},
            'sidecar': {'inbound': '', 'outbound': '', 'control': '', 'admin': f'127.0.0.1:{self.admin}', 'workers': 1,
                        'drain': '100ms'},
            'agent': {'socket': self.folder / 'agent.sock',
                      'sidecar_uid': sidecar_uid if sidecar_uid is not None else os.getuid(),
                      'uid': agent_uid if agent_uid is not None else os.getuid()},
        }
        self.svid_key = getattr(svid, 'key', None)
        self.change(sections)
        self.mount(svid, bundle if bundle is not None else lab.root.cert_pem)

    def change(self, sections):
        """Writes the INI with these sections laid over it. None removes a section."""
        for section, keys in sections.items():
            self.sections[section] = None if keys is None else {**(self.sections.get(section) or {}), **keys}
        self.ini = self.folder / 'fairlead.ini'
        self.ini.write_text(ini(self.sections))

    def mount(self, svid, bundle=None):
        """Writes the credentials for the agent. svid: Issued, or (certificates, key) as PEM."""
        chain, key = svid if isinstance(svid, tuple) else (svid.chain_pem, svid.key_pem)
        for name, mode, data in (('tls.crt', 0o644, chain), ('tls.key', 0o600, key), ('ca.crt', 0o644, bundle)):
            if data is not None:
                path = self.folder / name
                path.write_bytes(data)
                path.chmod(mode)
                if self.agent_uid is not None:
                    os.chown(path, self.agent_uid, -1)

    def start_sidecar(self, prefix=()):
        self.sidecar = Program(self.lab, f'{self.name}-sidecar', [SIDECAR, '-c', self.ini], user=self.sidecar_uid,
                               prefix=prefix)
        return self

    def start_agent(self, prefix=()):
        self.agent = Program(self.lab, f'{self.name}-agent', [AGENT, 'run', '-c', self.ini], user=self.agent_uid,
                             prefix=prefix)
        return self

    def start(self):
        return self.start_agent().start_sidecar()

    def wait_ready(self, timeout=10):
        def ready():
            assert self.sidecar.process.poll() is None, f'{self.sidecar.name} has ended'
            with contextlib.suppress(ConnectionError):
                return self.get('/readyz')[0] == 200
        wait_until(ready, lambda: f'{self.name} is not ready: {self.get("/readyz")}', timeout)
        return self

    def dial_admin(self):
        return connect(self.admin)

    def get(self, path, method='GET'):
        """Returns (status, body) of the admin endpoint."""
        with self.dial_admin() as sock:
            sock.sendall(f'{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'.encode())
            head, _, body = read_all(sock).partition(b'\r\n\r\n')
        return int(head.split()[1]), body.decode()

    def metric(self, name, **labels):
        """Returns the sum of a metric over all series with these labels."""
        total = 0.0
        for line in self.get('/metrics')[1].splitlines():
            found = re.fullmatch(rf'{name}(?:{{(.*)}})? (\S+)', line)
            if found and all(f'{key}="{value}"' in (found[1] or '').split(',') for key, value in labels.items()):
                total += float(found[2])
        return total

    def wait_line(self, **fields):
        """Waits for a line of the sidecar."""
        return self.sidecar.wait_line(**fields)

    def wait_open(self, number):
        """Waits until the sidecar holds this many sockets of its listening ports, on the mesh's or the app's side."""
        wait_until(lambda: self.sidecar.fds() == number, lambda: f'{self.sidecar.fds()} descriptors, not {number}')


class Lab:
    """Everything that one test uses. Use as a context manager."""

    root = CA(TD)
    other_root = CA('other.example')
    client = root.issue(CLIENT)
    server = root.issue(SERVER)

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        os.chmod(folder, 0o755)
        self.ports, self.programs, self.closing = Ports(), [], contextlib.ExitStack()
        self.count, self.kept = 0, []

    def workload(self, svid, sections, *, name=None, start=True, **options):
        self.count += 1
        workload = Workload(self, name or f'workload{self.count}', svid, sections, **options)
        return workload.start().wait_ready() if start else workload

    def inbound(self, app, sections=None, *, svid=None, host='127.0.0.1', allow=f'spiffe://{TD}/**', **options):
        """Starts a workload with [service app] in front of app, which is a port of 127.0.0.1 or an address."""
        port = self.ports.free()
        rules = {'allow mesh': {'from': allow}} if allow else {}
        options.setdefault('name', f'inbound{self.count}')
        workload = self.workload(svid or self.server, merge({
            'service app': {'listen': f'{host}:{port}', 'app': address(app)}, **rules}, sections), **options)
        workload.port = port
        return workload

    def outbound(self, to, sections=None, *, svid=None, host='127.0.0.1', peer=SERVER, **options):
        """Starts a workload with [upstream peer] that leads to a port of 127.0.0.1, or to addresses."""
        port = self.ports.free()
        options.setdefault('name', f'outbound{self.count}')
        workload = self.workload(svid or self.client, merge({
            'upstream peer': {'listen': f'{host}:{port}', 'to': address(to), 'peer': peer}}, sections), **options)
        workload.port = port
        return workload

    def pair(self, app, *, inbound=None, outbound=None, common=None, client=None, server=None):
        """app <- inbound sidecar <- outbound sidecar <- .port"""
        behind = self.inbound(app, merge(inbound, common), svid=server, start=False)
        front = self.outbound(behind.port, merge(outbound, common), svid=client, start=False)
        for workload in (behind, front):
            workload.start()
        for workload in (behind, front):
            workload.wait_ready()
        return Pair(front, behind)

    def program(self, name, command, **options):
        return Program(self, name, command, **options)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.closing.close()
        for program in self.programs:
            program.terminate()
        complaints = []
        for program in self.programs:
            try:
                status = program.wait(20)
            except subprocess.TimeoutExpired:
                program.kill()
                status = 'none: it did not end'
            if status not in program.expected:
                complaints.append(f'{program.name} ended with {status}')
            if re.search(r'Sanitizer|runtime error:', program.text):
                complaints.append(f'{program.name}: a sanitizer found something')
        self.kept = self.logs()
        self.ports.close()
        if failure is None:
            assert not complaints, '; '.join(complaints)

    def logs(self):
        """Returns every log, for a failed test."""
        if self.kept:
            return self.kept
        seen = {}
        for program in self.programs:
            seen.setdefault(program.path, program)
        return [(path.name, tail(path.read_text(errors='replace'))) for path in seen]


class Pair:
    def __init__(self, outbound, inbound):
        self.outbound, self.inbound, self.port = outbound, inbound, outbound.port

    @property
    def workloads(self):
        return self.outbound, self.inbound

    def connect(self):
        return connect(self.port)


def tail(text, limit=12000):
    return text if len(text) <= limit else '[…]\n' + text[-limit:]


def address(to):
    return f'127.0.0.1:{to}' if isinstance(to, int) else to


def merge(first, second):
    merged = dict(first or {})
    for name, keys in (second or {}).items():
        merged[name] = {**merged.get(name, {}), **keys} if keys is not None else None
    return merged


# --- apps behind the sidecar ----------------------------------------------------------------------

class App:
    """A server on loopback that runs handler(connection) in a thread for each connection."""

    def __init__(self, handler, *, family=socket.AF_INET, host=None, port=0, path=None, backlog=512,
                 receive_buffer=None):
        self.handler, self.errors, self.accepted = handler, [], 0
        self.listener = socket.socket(socket.AF_UNIX if path else family)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if not path:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host = host or ('::1' if family == socket.AF_INET6 else '127.0.0.1')
        self.listener.bind(str(path) if path else (host, port))
        self.listener.listen(backlog)
        self.port = None if path else self.listener.getsockname()[1]
        self.wake, self.woken = socket.socketpair()
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            ready, _, _ = select.select([self.listener, self.woken], [], [])
            if self.woken in ready:
                return
            sock, _ = self.listener.accept()
            self.accepted += 1
            sock.settimeout(60 * SLOW)
            thread = threading.Thread(target=self.run, args=(sock,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def run(self, sock):
        try:
            self.handler(sock)
        except OSError as error:
            self.errors.append(error)
        finally:
            sock.close()

    def close(self):
        self.wake.send(b'x')
        self.threads[0].join()
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def echo(sock):
    """Sends back what arrives until the other side finishes, and then finishes too."""
    while data := sock.recv(1 << 16):
        sock.sendall(data)
