# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS stacks of other implementations, as an echo server and as a client that sends and gets back: for
tests/system/test_stacks.py.

    stack.missing()                          why the stack cannot be used here, or None
    stack.server(lab, svid)                  the port of an echo server that asks for a client certificate
    stack.client(lab, port, svid, size)      `size` bytes there and back, twice if possible; resumed: [False, True]

Those of Go and Rust are short programs in tests/lib/stacks, built once and kept in ~/.cache/fairlead/stacks.
"""
import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import selectors
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

import lab as labs
import peers

SOURCES = pathlib.Path(__file__).resolve().parent / 'stacks'
CACHE = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache', 'fairlead', 'stacks')
PATIENCE = 60 * labs.SLOW


def lines_of(size):
    """Returns lines, because gnutls-serv returns only lines. It sends LF where one of its reads ended in CR LF."""
    return b''.join((os.urandom(500).hex()[1:] + '\n').encode() for _ in range(size // 1000))


def echoed_by_one_thread(tls, size):
    """Does the same over an SSLSocket, which two threads may not use at once. It cannot close one direction and still
    read."""
    sent, got, said = lines_of(size), bytearray(), 0
    tls.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(tls, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while len(got) < size:
            moved = 0
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                moved = tls.send(sent[said:said + (1 << 14)]) if said < size else 0
                said += moved
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                data = tls.recv(1 << 16)
                if not data:
                    break
                got += data
                moved += len(data)
            if not moved:
                selector.modify(tls, selectors.EVENT_READ | (selectors.EVENT_WRITE if said < size else 0))
                selector.select(PATIENCE)
    tls.settimeout(PATIENCE)
    assert got == sent, f'{len(got)} of {size} bytes came back'


def echoed(sock, size, finish):
    """Sends and receives at once, so that no buffer on the way has to hold everything. finish(sock) ends the sending
    side."""
    sent, got, failed = lines_of(size), bytearray(), []

    def say():
        try:
            sock.sendall(sent)
            finish(sock)
        except OSError as error:
            failed.append(error)
    writer = threading.Thread(target=say)
    writer.start()
    while len(got) < size:
        data = sock.recv(1 << 16)
        if not data:
            break
        got += data
    writer.join()
    assert not failed and got.rstrip() == sent.rstrip(), f'{len(got)} of {size} bytes came back: {failed}'


def files(lab, name, svid):
    """Returns CERT, KEY and CA for command lines."""
    (lab.folder / 'ca.crt').write_bytes(lab.root.cert_pem)
    pem = peers.write_pem(lab.folder, name, svid)
    return f'{pem}.crt', f'{pem}.key', str(lab.folder / 'ca.crt')


class OpenSSL:
    """Python's ssl."""
    name = 'openssl'

    def missing(self):
        return None

    def server(self, lab, svid):
        context = peers.context(True, svid, lab.root)
        listener = socket.create_server(('127.0.0.1', 0))
        lab.closing.callback(listener.close)

        def serve(sock):
            try:
                with context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as tls:
                    while data := tls.recv(1 << 16):
                        tls.sendall(data)
                    tls.unwrap()
            except OSError:
                pass

        def accept():
            while True:
                try:
                    sock = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=serve, args=[sock], daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def client(self, lab, port, svid, size):
        context, session, resumed = peers.context(False, svid, lab.root), None, []
        for _ in range(2):
            with context.wrap_socket(labs.connect(port), session=session) as tls:
                echoed_by_one_thread(tls, size)
                session = tls.session
                resumed.append(tls.session_reused)
                tls.unwrap()
        return resumed


class Built:
    """A program of tests/lib/stacks, built on demand."""

    def __init__(self, name, tool, command, product):
        self.name, self.tool, self.command, self.product = name, tool, command, product

    @functools.cache
    def build(self):
        """Returns its path, or why it cannot be built."""
        if not shutil.which(self.tool):
            return None, f'{self.tool} is not installed'
        source = SOURCES / self.name
        digest = hashlib.sha256()
        for path in sorted(p for p in source.rglob('*') if p.is_file()):
            digest.update(path.read_bytes())
        program = CACHE / f'{self.name}-{digest.hexdigest()[:16]}'
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / f'{self.name}.lock', 'w', encoding='utf-8') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not program.exists():
                with tempfile.TemporaryDirectory() as folder:
                    shutil.copytree(source, folder, dirs_exist_ok=True)
                    done = subprocess.run(['nice', *self.command], cwd=folder, capture_output=True, text=True)
                    if done.returncode:
                        return None, f'{" ".join(self.command)}: {done.stderr.strip().splitlines()[-1:]}'
                    shutil.copy(pathlib.Path(folder, self.product), f'{program}.part')
                    os.rename(f'{program}.part', program)
        return program, None

    def missing(self):
        return self.build()[1]

    def server(self, lab, svid):
        program = lab.program(self.name, [self.build()[0], 'server', *files(lab, 'stack', svid)])
        program.expected = {-15}
        return int(labs.wait_until(lambda: re.search(r'port (\d+)', program.text), 'it listens')[1])

    def client(self, lab, port, svid, size):
        done = subprocess.run([self.build()[0], 'client', *files(lab, 'stack', svid), str(port), str(size)],
                              capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return [line == 'resumed true' for line in done.stdout.splitlines()]


class GnuTLS:
    name = 'gnutls'

    def missing(self):
        return None if shutil.which('gnutls-cli') else 'gnutls-bin is not installed'

    def server(self, lab, svid):
        cert, key, ca = files(lab, 'stack', svid)
        port = lab.ports.free()
        program = lab.program('gnutls-serv', [
            'gnutls-serv', '--echo', '--require-client-cert', '--verify-client-cert', '--port', str(port), '--x509certfile', cert,
            '--x509keyfile', key, '--x509cafile', ca, '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.3'])
        program.expected = {-15, 1}
        labs.wait_until(lambda: labs.listens(port), 'it listens')
        return port

    def command(self, lab, port, svid):
        cert, key, _ = files(lab, 'stack', svid)
        return ['gnutls-cli', '--no-ca-verification', '--x509certfile', cert, '--x509keyfile', key, '--port', str(port),
                '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.3', '127.0.0.1']

    def client(self, lab, port, svid, size):
        """Connects once. A special line triggers a key update. (A second connection would begin before the ticket
        arrives.)"""
        line = b'0123456789abcdef' * 60 + b'\n'
        text = line * (size // len(line) // 2) + b'^rekey^\n' + line * (size // len(line) // 2)
        done = subprocess.run([*self.command(lab, port, svid), '--inline-commands', '--logfile', lab.folder / 'gnutls.log'],
                              input=text, capture_output=True, timeout=PATIENCE)
        assert done.stdout.count(line) == 2 * (size // len(line) // 2), done.stderr[-1000:]
        return [False]

    def client_that_waits(self, lab, port, svid):
        """Waits for its ticket and connects again with it. Returns whether the session was resumed."""
        done = subprocess.run([*self.command(lab, port, svid), '--resume', '--waitresumption'], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE)
        return b'This is a resumed session' in done.stdout


STACKS = [OpenSSL(), GnuTLS(), Built('go', 'go', ['go', 'build', '-o', 'stack', '.'], 'stack'),
          Built('rust', 'cargo', ['cargo', 'build', '--release', '-q'], 'target/release/stack')]
