# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent connections: it prints the open connections as a table and applies filters."""
import json

from lab import connect
from test_tools import tool


def test_the_table_and_its_filters(lab, app):
    inbound = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'control.sock'}})
    outbound = lab.outbound(inbound.port)
    assert tool('connections', '-c', inbound.ini) == (0, 'no connection\n', '')
    with connect(outbound.port) as sock:
        sock.sendall(b'12345')
        assert sock.recv(5) == b'12345'
        status, out, err = tool('connections', '-c', inbound.ini)
        assert (status, err) == (0, '')
        title, row = out.splitlines()
        assert title.split()[:6] == ['DIRECTION', 'NAME', 'SOURCE', 'DESTINATION', 'PEER', 'SECURITY']
        cells = row.split()
        peer = cells[4]
        assert cells[:2] == ['inbound', 'app'] and peer.startswith('spiffe://') and cells[5] == 'mtls'
        assert row.index(peer) == title.index('PEER'), 'it is a table'
        assert row.count('5 B') == 2
        # It works over the control socket too.
        assert tool('connections', '--control', lab.folder / 'control.sock', '-c', inbound.ini)[1].count('inbound') == 1
        for filters, count in ((('--peer', peer), 1), (('--peer', peer.rsplit('/', 1)[0] + '/*'), 1),
                               (('--peer', f'{peer}x'), 0), (('--peer', 'none'), 0), (('--direction', 'inbound'), 1),
                               (('--direction', 'outbound'), 0), (('--name', 'app'), 1), (('--name', 'other'), 0),
                               (('--name', 'app', '--direction', 'outbound'), 0)):
            status, out, err = tool('connections', '-c', inbound.ini, '--json', *filters)
            assert (status, err) == (0, '')
            assert len(json.loads(out)['connections']) == count and json.loads(out)['open'] == 1, filters
            assert tool('connections', '-c', inbound.ini, *filters)[1].count('inbound') == count, filters
        assert json.loads(tool('connections', '-c', outbound.ini, '--json')[1])['connections'][0]['direction'] == 'outbound'


def test_a_wrong_filter():
    for arguments, text in ((('--direction', 'inbuond'), 'did you mean `inbound`?'), (('--peer', 'x'), '--peer: ')):
        status, out, err = tool('connections', *arguments)
        assert (status, out) == (2, '') and text in err and err.count('\n') == 1


def test_unreachable(lab, app):
    inbound = lab.inbound(app().port, start=False)
    status, out, err = tool('connections', '-c', inbound.ini)
    assert (status, out) == (1, '') and 'cannot reach the sidecar' in err


def test_what_answers_may_be_anything(lab, app):
    """Nothing that it sends reaches the terminal as a control sequence."""
    body = '{"connections": [1, {"direction": "inbound", "name": "\x1b[2J\x7f\x9b\u202e", "peer": 5, "age_seconds": 1e300}], "left_out": -1}'

    def answer(sock):
        sock.recv(4096)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n' + body.encode())
    admin = f'127.0.0.1:{app(answer).port}'
    for options in [], ['--json']:
        code, out, err = tool('connections', '-c', lab.folder / 'missing.ini', '--admin', admin, *options)
        assert (code, err) == (0, '') and 'inbound' in out
        assert not set(out) & {'\x1b', '\x7f', '\x9b', '\u202e'}
