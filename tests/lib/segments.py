# SPDX-License-Identifier: GPL-3.0-or-later
"""Forged TCP segments, sent by a raw socket."""
import socket
import struct

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
# An MD5 signature option (kind 19) of full length. A kernel without a key for it drops the segment silently, after
# conntrack has seen it.
MD5 = bytes([1, 1, 19, 18]) + bytes(16)


def checksum(data):
    total = sum(struct.unpack(f'!{(len(data) + 1) // 2}H', data + b'\0' * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp(source, destination, flags, sequence=1000, acknowledged=2000, options=b'', data=b'', window=64240):
    """Returns the segment, from (address, port) to (address, port), with its checksum."""
    family = socket.AF_INET6 if ':' in source[0] else socket.AF_INET
    assert len(options) % 4 == 0
    segment = struct.pack('!HHIIBBHHH', source[1], destination[1], sequence & 0xffffffff, acknowledged & 0xffffffff,
                          (5 + len(options) // 4) << 4, flags, window, 0, 0) + options + data
    ends = socket.inet_pton(family, source[0]) + socket.inet_pton(family, destination[0])
    pseudo = ends + (struct.pack('!BBH', 0, 6, len(segment)) if family == socket.AF_INET
                     else struct.pack('!IHBB', len(segment), 0, 0, 6))
    return segment[:16] + struct.pack('!H', checksum(pseudo + segment)) + segment[18:]


def packet(source, destination, segment):
    """Returns the segment with its IP header."""
    if ':' in source:
        return struct.pack('!IHBB', 6 << 28, len(segment), 6, 64) + socket.inet_pton(socket.AF_INET6, source) + \
            socket.inet_pton(socket.AF_INET6, destination) + segment
    return struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + socket.inet_aton(source) + \
        socket.inet_aton(destination) + segment


class Sender:
    """Sends from a namespace, with any source address. Use as a context manager."""

    def __init__(self, space, family):
        self.v6 = family == 'v6'
        self.sock = space.inside(lambda: socket.socket(socket.AF_INET6 if self.v6 else socket.AF_INET,
                                                       socket.SOCK_RAW, socket.IPPROTO_RAW))

    def send(self, source, destination, flags, **fields):
        self.sock.sendto(packet(source[0], destination[0], tcp(source, destination, flags, **fields)),
                         (destination[0], 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
