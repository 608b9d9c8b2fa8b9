# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of ALPN fairlead/2, written again from sidecar/wire/frame.h, and peers that speak them by hand."""
import ipaddress
import struct

import lab as labs
import peers

FRAMED, RAW = 'fairlead/2', 'fairlead/1'
OPEN, DATA, END, STATUS, RETIRE = 1, 2, 3, 4, 5
OPENED, DENIED, APP_REFUSED, APP_TIMEOUT, APP_FAILED, NOT_OPENED = range(6)


def frame(kind, payload=b''):
    return bytes([kind]) + len(payload).to_bytes(3, 'big') + payload


def address(to=None):
    """to: (host, port), or None."""
    if to is None:
        return b'\0'
    ip = ipaddress.ip_address(to[0])
    return bytes([ip.version]) + struct.pack('>H', to[1]) + ip.packed


def opening(number, destination=None, source=None, generation=1, flags=0):
    return frame(OPEN, struct.pack('>IQB', number, generation, flags) + address(destination) + address(source))


def data(payload):
    return frame(DATA, payload)


END_FRAME, RETIRE_FRAME = frame(END), frame(RETIRE)


def status(number, code=OPENED, local=None):
    return frame(STATUS, struct.pack('>IB', number, code) + address(local))


class Frames:
    """The frames that come on a connection."""

    def __init__(self, sock):
        self.sock, self.rest = sock, b''

    def next(self):
        """Returns (type, payload), or None at the end. An alert or a reset raises an exception."""
        while len(self.rest) < 4 or len(self.rest) < 4 + int.from_bytes(self.rest[1:4], 'big'):
            more = self.sock.recv(1 << 16)
            if not more:
                assert not self.rest, 'the end is in a frame'
                return None
            self.rest += more
        end = 4 + int.from_bytes(self.rest[1:4], 'big')
        kind, payload, self.rest = self.rest[0], self.rest[4:end], self.rest[end:]
        return kind, payload

    def status(self):
        """Returns the code of the STATUS that comes next."""
        kind, payload = self.next()
        assert kind == STATUS, kind
        return payload[4]

    def body(self):
        """Returns all DATA up to END."""
        got = b''
        while (each := self.next()) != (END, b''):
            assert each and each[0] == DATA, each
            got += each[1]
        return got


class Client:
    """A client of a sidecar's inbound listener, by hand."""

    def __init__(self, to, svid, root, source=None):
        ctx = peers.context(False, svid, root)
        ctx.set_alpn_protocols([FRAMED, RAW])
        sock = labs.connect(to, source=source)
        try:
            self.tls = peers.wrap(ctx, sock)
        except BaseException:
            sock.close()
            raise
        self.frames = Frames(self.tls)

    def send(self, *frames):
        self.tls.sendall(b''.join(frames))

    def ask(self, number, text, **claims):
        """Carries one app connection, whose app echoes. Returns what came back, or the code that refused it."""
        self.send(opening(number, **claims), data(text), END_FRAME)
        code = self.frames.status()
        return self.frames.body() if code == OPENED else code

    def close(self):
        self.tls.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
