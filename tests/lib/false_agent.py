# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's end of its socket, in Python. It sends what the real agent never would (sidecar/ctl/message.h)."""
import hashlib
import os
import socket
import struct

import lab as labs

HELLO, GENERATION, RESULT, SIGN, SIGNED, NOTE = 1, 2, 3, 4, 5, 0x100


def field(tag, value):
    return struct.pack('>HI', tag, len(value)) + value


def frame(kind, payload):
    return b'FLC1' + struct.pack('>HHI', kind, 0, len(payload)) + payload


def generation(number, credential, bundle, ini, ini_path='test.ini', crl=b''):
    """Returns a whole GENERATION. credential: the chain (PEM); behind the key with [tls] key = sidecar."""
    digest = hashlib.sha256(credential + bundle + crl + ini.encode()).digest()
    return frame(GENERATION, field(1, struct.pack('>Q', number)) + field(2, digest) + field(3, credential) +
                 field(4, bundle) + field(6, ini_path.encode()) + field(7, ini.encode()) +
                 (field(8, crl) if crl else b''))


class FalseAgent:
    """Listens where a workload's sidecar expects its agent. It does nothing unless told to. It does not sign: the sidecar gets
    the key, unless key says otherwise."""

    def __init__(self, workload, key='sidecar'):
        self.workload = workload
        workload.change({'tls': {'key': key}})
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(workload.folder / 'agent.sock'))
        self.listener.listen()
        self.listener.settimeout(10 * labs.SLOW)
        self.sock = None

    def accept(self):
        """Accepts the sidecar's connection. Returns the fields of its HELLO, by tag."""
        if self.sock:
            self.sock.close()
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(10 * labs.SLOW)
        return self.receive(HELLO)

    def exactly(self, size):
        data = b''
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            assert chunk, 'the sidecar closed the channel'
            data += chunk
        return data

    def receive(self, kind):
        magic, got, zero, size = struct.unpack('>4sHHI', self.exactly(12))
        assert (magic, got, zero) == (b'FLC1', kind, 0)
        fields, data = {}, self.exactly(size)
        while data:
            tag, length = struct.unpack('>HI', data[:6])
            fields[tag], data = data[6:6 + length], data[6 + length:]
        return fields

    def send(self, data):
        self.sock.sendall(data)

    def push(self, number=1, svid=None, bundle=None, ini=None, crl=b''):
        """Sends a generation, by default that of the workload's INI. Returns (accepted, reason)."""
        workload = self.workload
        ini = ini if ini is not None else workload.ini.read_text()
        key, chain = (svid.key_pem, svid.chain_pem) if svid else (
            (workload.folder / 'tls.key').read_bytes(), (workload.folder / 'tls.crt').read_bytes())
        self.send(generation(number, (key if 'key = sidecar' in ini else b'') + chain, bundle if bundle is not None else
                             (workload.folder / 'ca.crt').read_bytes(), ini, str(workload.ini), crl))
        result = self.receive(RESULT)
        assert struct.unpack('>Q', result[1])[0] == number
        return result[2] == b'\1', result[3].decode()

    def close(self):
        if self.sock:
            self.sock.close()
        self.listener.close()
        os.unlink(self.workload.folder / 'agent.sock')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
