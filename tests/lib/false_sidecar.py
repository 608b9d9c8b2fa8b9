# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidecar's end of the agent's socket, in Python, for tests of the agent (sidecar/ctl/message.h)."""
import contextlib
import os
import socket
import struct

import lab as labs
from false_agent import GENERATION, HELLO, NOTE, RESULT, field, frame


def hello(generation=0, digest=bytes(32), version=1, key=bytes(32)):
    """key: the name of the key that it uses. None: of an older release, which asks for no signatures."""
    return frame(HELLO, field(1, struct.pack('>I', version)) + field(2, struct.pack('>Q', generation)) +
                 field(3, digest) + (field(5, key) if key is not None else b''))


def result(number, ok=True, reason=''):
    return frame(RESULT, field(1, struct.pack('>Q', number)) + field(2, bytes([ok])) + field(3, reason.encode()))


def note(kind, payload):
    """Returns (refused, time, text) of a NOTE."""
    assert kind == NOTE
    fields = dict(split(payload))
    return fields[1] == b'\1', struct.unpack('>Q', fields[2])[0], fields[3].decode()


class Generation:
    """A GENERATION as received."""

    def __init__(self, payload):
        self.payload = payload
        self.foreign, self.refused = [], []  # (trust domain, bundle) of each, and why it is refused
        fields = {}
        for tag, value in split(payload):
            if tag == 5:
                parts = dict(split(value))
                self.foreign.append((parts[1], parts[2]))
                self.refused.append(parts.get(3, b'').decode())
            else:
                fields[tag] = value
        self.number = struct.unpack('>Q', fields[1])[0]
        self.digest, self.credential, self.bundle = fields[2], fields[3], fields[4]
        self.ini_path, self.ini = fields[6].decode(), fields[7].decode()


def split(data):
    while data:
        tag, length = struct.unpack('>HI', data[:6])
        yield tag, data[6:6 + length]
        data = data[6 + length:]


class FalseSidecar:
    """A connection to a workload's agent. Use as a context manager."""

    def __init__(self, workload):
        self.notes = []
        path = getattr(workload, 'socket', workload.folder / 'agent.sock')
        self.sock = labs.wait_until(lambda: self.try_connect(path), f'nobody listens on {path}')

    @staticmethod
    def try_connect(path):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return labs.connect(path)

    def send(self, data):
        self.sock.sendall(data)

    def exactly(self, size):
        data = b''
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            assert chunk, 'the agent closed the channel'
            data += chunk
        return data

    def message(self):
        """Returns (type, payload) of the next message."""
        magic, kind, zero, size = struct.unpack('>4sHHI', self.exactly(12))
        assert (magic, zero) == (b'FLC1', 0)
        return kind, self.exactly(size)

    def receive(self):
        """Returns the next generation. Notes before it are kept in .notes."""
        while True:
            kind, payload = self.message()
            if kind == GENERATION:
                return Generation(payload)
            self.notes.append(note(kind, payload))

    def receive_note(self):
        return note(*self.message())

    def next(self, ok=True, reason=''):
        """Receives the next generation and accepts it."""
        got = self.receive()
        self.send(result(got.number, ok, reason))
        return got

    def take(self, generation=0, digest=bytes(32), ok=True, reason=''):
        """Sends HELLO, receives the agent's answer and sends RESULT."""
        self.send(hello(generation, digest))
        return self.next(ok, reason)

    def is_closed(self):
        """Waits until the agent has closed. Any message before that is an error."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            data = self.sock.recv(1)
            assert data == b'', 'the agent sent something'
        return True

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect_as(uid, path, first=None):
    """Connects as a process of another user. Returns 'closed' or the error's name. Root only."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b'?'
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            try:
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(10 * labs.SLOW)
                sock.connect(str(path))
                with contextlib.suppress(OSError):
                    sock.sendall(first or hello())
                answer = b'served' if sock.recv(1) else b'closed'
            except ConnectionError:
                answer = b'closed'
            except OSError as error:
                answer = type(error).__name__.encode()
        os.write(write, answer)
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    answer = os.read(read, 100).decode()
    os.close(read)
    return answer
