# SPDX-License-Identifier: GPL-3.0-or-later
"""Inbound ports of any mode and clients of them, for the system tests."""
import errno
import re
import socket
import ssl

import lab as labs
import peers
from lab import connect, read_all

ALPN = 'fairlead/1'
SOON = f'{200 * labs.SLOW}ms'  # detect_timeout where a test waits for it
NEVER = '60s'                  # detect_timeout that must not expire


def plaintext(mode, *, service=None, rule=None, **sections):
    """Returns sections of a port with that mode, and a rule that admits plaintext."""
    keys = {'mode': mode, **({'detect_timeout': NEVER} if mode == 'permissive' else {}), **(service or {})}
    return {'service app': keys, 'allow plain': {'from': 'plaintext', **(rule or {})}, **sections}


def ask(to, data=b'ping'):
    """Runs a whole conversation that both ends finish. Returns what comes back, or how it ended."""
    try:
        with connect(to) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno == errno.ENOTCONN:
            return 'reset'
        raise


def tls_ask(to, svid=None, alpn=(), root=labs.Lab.root, data=b'ping', size=100):
    """Does the same as a TLS client. An alert is returned as its number."""
    context = peers.context(False, svid, root)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    try:
        with connect(to) as sock, context.wrap_socket(sock) as tls:
            tls.sendall(data)
            return tls.recv(size) or 'closed'
    except ssl.SSLEOFError:
        return 'closed'
    except ssl.SSLError as error:
        return peers.alert_of(error) or str(error)
    except ConnectionError:
        return 'closed'


def greeter(sock):
    """Sends a greeting first, as SMTP, FTP and MariaDB do."""
    sock.sendall(b'220 ready\r\n')
    labs.echo(sock)


def detect_timeouts(workload):
    """Returns {port: count}."""
    found = re.findall(r'^fairlead_detect_timeouts_total\{port="(\w+)"\} (\d+)$', workload.get('/metrics')[1], re.M)
    return {port: int(count) for port, count in found}
