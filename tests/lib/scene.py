# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows where the kernel leads connections: a pod under the rules, with listeners of the test in place of the
sidecar."""
import ctypes
import json
import re
import socket
import struct

import lab as labs
from pods import ADMIN, INBOUND, OUTBOUND, SIDECAR_UID

FAMILIES = 'v4', 'v6'
SO_ORIGINAL_DST = 80
libc = ctypes.CDLL(None, use_errno=True)


def loopback(family):
    return {'v4': '127.0.0.1', 'v6': '::1'}[family]


def number_of(family):
    return socket.AF_INET if family == 'v4' else socket.AF_INET6


def original(sock):
    """Returns the original destination of a captured connection, or None if the kernel knows none."""
    mapped = sock.getpeername()[0].startswith('::ffff:')
    v4 = sock.family == socket.AF_INET or mapped
    try:
        raw = sock.getsockopt(socket.SOL_IP if v4 else socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    except OSError:
        return None
    address = socket.inet_ntop(*((socket.AF_INET, raw[4:8]) if v4 else (socket.AF_INET6, raw[8:24])))
    return address, struct.unpack('!H', raw[2:4])[0]


def teller(name):
    """A server that sends its name and the dialled destination, and then echoes."""
    def handle(sock):
        to = original(sock)
        sock.sendall(f'{name} {to[0]} {to[1]}\n'.encode() if to else f'{name}\n'.encode())
        labs.echo(sock)
    return handle


class Scene:
    """A pod with an app and with listeners in place of the sidecar, and a pod that calls it."""

    def __init__(self, node):
        self.pod, self.caller = node.pod('web', sidecar=False), node.pod('caller', sidecar=False)
        self.pod.app(teller('inbound'), INBOUND, uid=SIDECAR_UID)
        self.outbound = {family: self.pod.app(teller('outbound'), OUTBOUND, loopback(family), uid=SIDECAR_UID)
                         for family in FAMILIES}
        self.pod.app(teller('app'), 8080)
        self.caller.app(teller('caller'), 9000)
        self.ini = self.pod.home / 'fairlead.ini'
        self.write({})

    def write(self, sections):
        self.ini.write_text(labs.ini(labs.merge({
            'identity': {'cert': '/x/tls.crt', 'key': '/x/tls.key', 'bundle': '/x/ca.crt'},
            'sidecar': {'admin': f'*:{ADMIN}'}}, sections)))

    def try_redirect(self, action, *options):
        return self.pod.space.try_run([labs.AGENT, 'redirect', action, *options, '-c', self.ini])

    def redirect(self, action, *options, **keys):
        """Runs the command with these keys of [redirect]. Returns its output."""
        if keys:
            self.write({'redirect': keys})
        done = self.try_redirect(action, *options)
        assert (done.returncode, done.stderr) == (0, ''), done
        return done.stdout

    def rules(self):
        """Returns the ruleset without the remaining lifetimes of set elements."""
        return re.sub(r' expires \w+', '', self.pod.space.root(['nft', 'list', 'ruleset']))

    def counters(self):
        listing = json.loads(self.pod.space.root(['nft', '-j', 'list', 'counters', 'table', 'inet', 'fairlead']))
        return {each['counter']['name']: each['counter']['packets'] for each in listing['nftables']
                if 'counter' in each}

    def dial(self, pod, to, uid=None, options=(), source=None):
        """Connects from this pod, with a socket of this user and from this (address, port)."""
        def make():
            if uid is not None:
                libc.setfsuid(uid)  # for this thread, which ends with it
            return socket.socket(number_of('v6' if ':' in to[0] else 'v4'))
        sock = pod.space.inside(make)
        try:
            sock.settimeout(10 * labs.SLOW)
            for option in options:
                sock.setsockopt(*option)
            if source:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(source)
            sock.connect(to)
            return sock
        except BaseException:
            sock.close()
            raise

    def reached(self, pod, to, **options):
        """Returns the program that answers there and the destination: ('inbound', address, port), ('app',), or
        ('refused',)."""
        try:
            with self.dial(pod, to, **options) as sock:
                return line_of(sock)
        except ConnectionRefusedError:
            return ('refused',)

    def inward(self, family, port=8080, **options):
        """Dials from the caller to the pod. Returns 'captured', or the name of the program that answered."""
        to = (getattr(self.pod, family), port)
        return self.verdict(self.reached(self.caller, to, **options), 'inbound', to)

    def outward(self, family, port=9000, **options):
        """Dials from the pod's app to the caller."""
        to = (getattr(self.caller, family), port)
        return self.verdict(self.reached(self.pod, to, **options), 'outbound', to)

    @staticmethod
    def verdict(answer, direction, to):
        if answer[0] != direction:
            return answer[0]
        assert answer[1:] == (to[0], str(to[1]))
        return 'captured'


def line_of(sock):
    line = b''
    while not line.endswith(b'\n'):
        data = sock.recv(1)
        assert data, f'the connection ended after {line}'
        line += data
    return tuple(line.decode().split())


def lives(sock):
    sock.sendall(b'still there?')
    return sock.recv(100) == b'still there?'


# --- mode = tproxy ------------------------------------------------------------------------------------------

def transparent(family):
    return (socket.SOL_IP, 19) if family == 'v4' else (socket.IPPROTO_IPV6, 75)


class SidecarsSocket(socket.socket):
    """A listener whose accepted sockets belong to the sidecar's user too."""

    def accept(self):
        libc.setfsuid(SIDECAR_UID)
        try:
            return super().accept()
        finally:
            libc.setfsuid(0)


def tproxy_listener(scene, family):
    """Listens in place of the sidecar. Accepted sockets have the destination as their own address."""
    def make():
        libc.setfsuid(SIDECAR_UID)
        sock = SidecarsSocket(number_of(family))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(*transparent(family), 1)
        if family == 'v6':
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(({'v4': '0.0.0.0', 'v6': '::'}[family], 15007))
        sock.listen()
        sock.settimeout(10 * labs.SLOW)
        return sock
    return scene.pod.space.inside(make)


def tproxy_dial(scene, family, client, to):
    """Dials the app under the client's address, as the sidecar does."""
    def make():
        libc.setfsuid(SIDECAR_UID)
        sock = socket.socket(number_of(family))
        libc.setfsuid(0)
        return sock
    sock = scene.pod.space.inside(make)
    sock.settimeout(10 * labs.SLOW)
    sock.setsockopt(*transparent(family), 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
    sock.bind((client, 0))
    try:
        sock.connect(to)
        return sock
    except BaseException:
        sock.close()
        raise
