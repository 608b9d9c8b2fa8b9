# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs two captured pods with busy apps in a storm of forged segments: no byte of the apps is on the wire in the clear,
and no byte of the storm reaches them. Takes 20 s; FAIRLEAD_LONG=1: 5 minutes for each mode and family."""
import contextlib
import os
import random
import select
import socket
import struct
import threading
import time

import pytest

import lab as labs
import pods
import segments
from scene import FAMILIES
from test_gate import MODES, RESETTING, mesh

LONG = os.environ.get('FAIRLEAD_LONG') == '1'
SECRET, FORGED = b'S3cret~\n', b'f0rged!\n'
SECONDS = 300 if LONG else 4.5  # for each of the four variants
OPTIONS = [b'', segments.MD5, bytes([1, 1, 8, 10]) + bytes(8), bytes([1, 1, 5, 10]) + bytes(8),
           bytes([30, 12, 1, 0x81]) + bytes(8), bytes([34, 10]) + bytes(8) + bytes(2), bytes([2, 4, 5, 180]),
           bytes([253, 8]) + bytes(6)]


class Witness(threading.Thread):
    """Inspects every packet on a pod's eth0, and remembers addresses, ports and sequence numbers of the last ones."""

    def __init__(self, pod, done):
        super().__init__()
        self.done, self.seen, self.clear, self.recent = done, 0, [], []
        self.sock = pod.space.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.sock.bind(('eth0', 3))

    def run(self):
        while not self.done.is_set():
            if not select.select([self.sock], [], [], 0.1)[0]:
                continue
            packet = self.sock.recv(1 << 17)
            self.seen += 1
            if SECRET in packet:
                self.clear.append(packet)
            if self.seen % 7 == 0:
                self.remember(packet[12:14], packet[14:])
        _, self.lost = struct.unpack('II', self.sock.getsockopt(pods.SOL_PACKET, pods.PACKET_STATISTICS, 8))
        self.sock.close()

    def remember(self, kind, packet):
        if kind == b'\x08\x00' and packet[9] == 6:
            ends, tcp = [socket.inet_ntop(socket.AF_INET, packet[i:i + 4]) for i in (12, 16)], packet[20:]
        elif kind == b'\x86\xdd' and packet[6] == 6:
            ends, tcp = [socket.inet_ntop(socket.AF_INET6, packet[i:i + 16]) for i in (8, 24)], packet[40:]
        else:
            return
        ports = struct.unpack('!HHII', tcp[:12])
        self.recent = [*self.recent[-40:], ((ends[0], ports[0]), (ends[1], ports[1]), ports[2], ports[3])]


class Storm:
    """The threads of one run. They append violations to wrong."""

    def __init__(self, node, mode, family, seed):
        self.node, self.mode, self.family, self.done = node, mode, family, threading.Event()
        self.pods = [mesh(node.pod, name, mode) for name in ('web', 'shop')]
        self.random, self.wrong, self.good, self.sent = random.Random(seed), [], 0, 0
        for pod in self.pods:
            pod.app(self.serve, 8080)
        self.witnesses = [Witness(pod, self.done) for pod in self.pods]

    def address(self, pod):
        return getattr(pod, self.family)

    def serve(self, sock):
        """Echoes data, and records data that no app has sent."""
        at = 0
        while data := sock.recv(1 << 16):
            if data != (SECRET * (len(data) // 8 + 2))[at % 8:at % 8 + len(data)]:
                self.wrong.append(f'the app got {data[:80]} from {sock.getpeername()}')
            at += len(data)
            sock.sendall(data)

    def call(self, pod, to):
        """Makes connections of an app that end in every way. The storm resets some of them."""
        dice = random.Random(self.random.random())
        while not self.done.is_set():
            with contextlib.suppress(OSError), pod.connect(to, timeout=3) as sock:
                data = SECRET * dice.choice((1, 1, 10, 1000))
                sock.sendall(data)
                how = dice.random()
                if how < 0.3:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
                elif how < 0.9:
                    back = b''
                    while len(back) < len(data) and (chunk := sock.recv(1 << 16)):
                        back += chunk
                    self.good += back == data
                    if not data.startswith(back):
                        self.wrong.append(f'the app was told {back[:80]}')

    def forge(self, sender, dice, inside):
        """Sends one segment, of a live connection or of a new one."""
        recent = [each for witness in self.witnesses for each in witness.recent]
        a, b = dice.sample(self.pods, 2)
        ephemeral = dice.randrange(32768, 61000)
        source, destination, sequence, acknowledged = (self.address(a), ephemeral), (self.address(b), 8080), 1, 1
        if recent and dice.random() < 0.7:
            source, destination, sequence, acknowledged = dice.choice(recent)
            if dice.random() < 0.3:
                destination = (destination[0], dice.choice((8080, 15006, 15001, 15020, ephemeral)))
        if inside and source[0] != inside:
            source, destination, sequence, acknowledged = destination, source, acknowledged, sequence
        if inside and source[0] != inside:
            return
        spread = dice.choice((0, 0, 1, 8, 1400, 1 << 31))
        sender.send(source, destination, dice.choice((2, 2, 16, 16, 4, 20, 17, 18, 24, dice.randrange(64))),
                    sequence=sequence + dice.randint(-spread, spread), acknowledged=acknowledged +
                    dice.randint(-spread, spread), options=dice.choice(OPTIONS),
                    data=dice.choice((b'', SECRET if inside else FORGED)) * dice.choice((1, 9)))

    def blow(self, space, inside=None):
        """Forges segments from the network (on the pods' router, with their addresses) or from inside a pod, by a raw
        socket."""
        dice = random.Random(self.random.random())
        with segments.Sender(space, self.family) as sender:
            while not self.done.wait(0.02):
                for _ in range(10):
                    with contextlib.suppress(OSError):
                        self.forge(sender, dice, inside)
                        self.sent += 1

    def upset(self):
        """Flushes conntrack or reloads the rules, again and again."""
        dice = random.Random(self.random.random())
        while not self.done.wait(0.7):
            pod = dice.choice(self.pods)
            if dice.random() < 0.5:
                pod.conntrack('-F')
            else:
                pod.redirect()

    def run(self, seconds):
        web, shop = self.pods
        threads = [*self.witnesses, threading.Thread(target=self.upset),
                   threading.Thread(target=self.blow, args=(self.node.space,)),
                   *(threading.Thread(target=self.blow, args=(pod.space, self.address(pod))) for pod in self.pods),
                   *(threading.Thread(target=self.call, args=(a, (self.address(b), 8080)))
                     for a, b in ((web, shop), (shop, web)) for _ in range(2))]
        for thread in threads:
            thread.start()
        try:
            time.sleep(seconds)
        finally:
            self.done.set()
            for thread in threads:
                thread.join()


@pytest.mark.heavy
@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_storm(node, mode, family):
    seed = random.randrange(1 << 30) if LONG else 1
    storm = Storm(node, mode, family, seed)
    storm.run(SECONDS * labs.SLOW)
    print(f'seed {seed}: {storm.sent} forged, {storm.good} good, {[each.seen for each in storm.witnesses]} seen')
    for pod in storm.pods:
        print(pod.space.try_run([labs.AGENT, 'redirect', 'print', '-c', pod.ini]).stdout.partition('add table')[0])
    for witness in storm.witnesses:
        assert not witness.clear, f'{len(witness.clear)} in the clear, the first: {witness.clear[0][:120]}'
        assert witness.lost == 0 and witness.seen > 100
    assert not storm.wrong, storm.wrong[:3]
    assert storm.sent > 200 and storm.good > 10
    # Afterwards, connections work again.
    web, shop = storm.pods
    for a, b in (web, shop), (shop, web):
        labs.wait_until(lambda x=a, y=b: pods.fate(lambda: x.connect((storm.address(y), 8080)), SECRET) == SECRET, 'it works again')
