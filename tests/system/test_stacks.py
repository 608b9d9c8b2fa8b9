# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests every available TLS stack on either side of a sidecar, with every kind of key: 5 MB each way, once in a full
handshake and once resumed, with half-closes, and with key updates where the stack can trigger them."""
import pytest

import lab as labs
import stacks
from lab import connect, wait_until

SIZE = 5 * 1000 * 1000
KEYS = ['p256', 'p384', 'ed25519', 'rsa2048']


@pytest.fixture(params=stacks.STACKS, ids=lambda stack: stack.name)
def stack(request):
    if reason := request.param.missing():
        pytest.skip(reason)
    return request.param


def ended(workload, number):
    wait_until(lambda: len(workload.sidecar.lines(msg='connection')) >= number, 'the connections are over', 30)
    return workload.sidecar.lines(msg='connection')


@pytest.mark.parametrize('key', KEYS)
def test_as_client(lab, app, stack, key):
    inbound = lab.inbound(app().port, svid=lab.root.issue(labs.SERVER, key=key))
    resumed = stack.client(lab, inbound.port, lab.root.issue(labs.CLIENT, key=key), SIZE)
    assert resumed == [False, True][:len(resumed)]
    lines = ended(inbound, len(resumed))
    assert [(line['reason'], line['resumed']) for line in lines] == [('done', value) for value in resumed]
    assert all(line['bytes_to_app'] == line['bytes_to_mesh'] > SIZE * 0.99 for line in lines)


@pytest.mark.parametrize('key', KEYS)
def test_as_server(lab, stack, key):
    port = stack.server(lab, lab.root.issue(labs.SERVER, key=key))
    outbound = lab.outbound(port, svid=lab.root.issue(labs.CLIENT, key=key))
    for number in (1, 2):
        with connect(outbound.port, timeout=30) as sock:
            stacks.echoed(sock, SIZE, lambda sock: sock.shutdown(1))
            assert sock.recv(1) == b''
        line = ended(outbound, number)[-1]
        assert (line['reason'], line['resumed']) == ('done', number == 2)
        assert line['bytes_to_mesh'] == SIZE and 0 <= SIZE - line['bytes_to_app'] <= 2


def test_gnutls_client_that_comes_back(lab, app):
    """The client waits for the ticket, which comes with the server's first bytes."""
    gnutls = next(stack for stack in stacks.STACKS if stack.name == 'gnutls')
    if gnutls.missing():
        pytest.skip(gnutls.missing())
    inbound = lab.inbound(app(lambda sock: sock.sendall(b'hello')).port)
    assert gnutls.client_that_waits(lab, inbound.port, lab.client)
    assert [line['resumed'] for line in ended(inbound, 2)] == [False, True]
