# SPDX-License-Identifier: GPL-3.0-or-later
"""A cable between two network namespaces that delays every packet: two TAP devices, and a thread that carries the frames."""
import collections
import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import threading
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x0002, 0x1000
FRAME_MAX = 1 << 16
PR_SET_TIMERSLACK = 29


def missing():
    """Returns why there can be no cable here, or None."""
    try:
        os.close(os.open('/dev/net/tun', os.O_RDWR))
        return None
    except OSError as error:
        return f'a delaying cable needs TAP devices: {error}'


def tap(space, name):
    """Returns the descriptor of a new TAP device in that namespace."""
    def make():
        fd = os.open('/dev/net/tun', os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))
        return fd
    return space.inside(make)


class Cable:
    """Joins device near_name of one namespace to device far_name of another. delay: seconds, each way.

    The devices offer no segmentation offload, so each frame is one packet. They are gone after close()."""

    def __init__(self, near, near_name, far, far_name, delay):
        self.delay = delay
        self.ends = [tap(near, near_name), tap(far, far_name)]
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def carry(self):
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
        on_the_way = collections.deque()  # (when it arrives, to which end, frame): the delay is the same both ways
        while True:
            timeout = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
            ready, _, _ = select.select([*self.ends, self.woken], [], [], timeout)
            if self.woken in ready:
                return
            now = time.monotonic()
            for end in (0, 1):
                if self.ends[end] in ready:
                    on_the_way.append((now + self.delay, self.ends[1 - end], os.read(self.ends[end], FRAME_MAX)))
            while on_the_way and on_the_way[0][0] <= now:
                _, to, frame = on_the_way.popleft()
                with contextlib.suppress(OSError):  # a device that is down takes nothing
                    os.write(to, frame)

    def close(self):
        self.wake.send(b'x')
        self.thread.join()
        for fd in self.ends:
            os.close(fd)
        self.wake.close()
        self.woken.close()
