# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent status on a terminal of 80x24: rates and failures fit on the screen, and alarms have a
colour."""
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest

import lab as labs
import peers
from lab import connect

COLOUR = '\033[3'


@contextlib.contextmanager
def terminal(*arguments, **env):
    """Returns the end of an 80x24 terminal where the test reads the tool's output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    tool = subprocess.Popen([*labs.sanitizer_prefix(), labs.AGENT, *map(str, arguments)], stdout=theirs,
                            stderr=subprocess.DEVNULL, env={**os.environ, 'TERM': 'xterm', 'NO_COLOR': '', **env})
    os.close(theirs)
    try:
        yield ours
    finally:
        tool.terminate()
        tool.wait(timeout=20)
        os.close(ours)


def read_until(ours, condition, timeout=20):
    """Reads until the last whole screen meets the condition. Returns all output, and that screen as lines."""
    text, deadline = '', time.monotonic() + timeout * labs.SLOW
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                text += os.read(ours, 65536).decode()
            except OSError:  # the tool has ended
                text += '\033[J'
        screens = [one for one in text.split('\033[H') if one.endswith('\033[J')]
        if screens:
            lines = re.sub(r'\033\[[0-9]*[mKJ]', '', screens[-1]).replace('\r', '').splitlines()
            if condition(lines):
                return text, lines
    raise AssertionError(f'in vain: {text[-3000:]}')


def test_rates_and_failures_are_within_the_screen(lab, app):
    inbound = lab.inbound(app().port, allow=f'spiffe://{labs.TD}/ns/test/**')
    outbound = lab.outbound(inbound.port)
    stranger = lab.root.issue(f'spiffe://{labs.TD}/stranger')
    assert peers.verdict(inbound.port, stranger, lab.root) == 49
    with terminal('status', '--watch', '-c', inbound.ini) as ours, connect(outbound.port) as sock:
        sock.sendall(b'x')
        read_until(ours, lambda lines: any(line.startswith('rates ') for line in lines))
        assert peers.verdict(inbound.port, stranger, lab.root) == 49
        _, lines = read_until(ours, lambda lines: any('2 policy_denied' in line for line in lines[:8]))
    assert len(lines) <= 24 and all(len(line) <= 80 for line in lines)
    assert re.match(r'rates +inbound \d+\.\d/s, .*/s to the app, .*/s to the mesh$', lines[2]), lines
    assert re.match(r'failed +inbound 2 .*: 2 policy_denied', lines[4]), lines


@pytest.mark.parametrize('no', ['', '1'])
def test_colours_on_a_terminal(lab, app, no):
    inbound = lab.inbound(app().port)
    with terminal('status', '--watch', '-c', inbound.ini, NO_COLOR=no) as ours:
        text, _ = read_until(ours, lambda lines: any(line.endswith(' ready') for line in lines))
    assert (COLOUR in text) == (no == '')
    inbound.ini.write_text(inbound.ini.read_text() + '\n[nonsense]\n')
    with terminal('status', '--watch', '-c', inbound.ini, NO_COLOR=no) as ours:
        text, _ = read_until(ours, lambda lines: any(line.startswith('INI REFUSED') for line in lines))
    assert ('\033[31mINI REFUSED' in text) == (no == '')


def test_no_colours_elsewhere(lab, app):
    inbound = lab.inbound(app().port)
    done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, 'status', '-c', inbound.ini], capture_output=True,
                          text=True, timeout=60 * labs.SLOW, check=True)
    assert '\033' not in done.stdout and 'ready' in done.stdout
