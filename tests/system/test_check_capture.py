# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent check: [redirect] compared with the listeners, and with the sections for captured traffic."""
import pytest

from test_tools import check, tool, web  # noqa: F401


UNREACHED = {
    'inbound on loopback': ({'inbound': '127.0.0.1:15006'}, ['`[sidecar] inbound` at 127.0.0.1:15006: write *:15006']),
    'two ports': ({'inbound': '0.0.0.0:15006, 10.0.0.1:15007'}, ['`[sidecar] inbound` has the ports 15006 and 15007']),
    'outbound elsewhere': ({'outbound': '127.0.0.2:15001'}, ['`[sidecar] outbound` at 127.0.0.2:15001: write 127.0.0.1:15001']),
    'both': ({'inbound': '127.0.0.1:15006', 'outbound': '127.0.0.2:15001'}, ['write *:15006', 'write 127.0.0.1:15001']),
    'none at all': ({'inbound': '', 'outbound': ''}, ['`[sidecar] inbound` and `outbound` are both empty']),
}


@pytest.mark.parametrize('case', UNREACHED)
def test_check_refuses_what_redirect_would_refuse(web, case):
    """Otherwise the pod would not start, because `redirect apply` fails."""
    listeners, words = UNREACHED[case]
    web.change({'sidecar': {'inbound': '*:15006', 'outbound': '127.0.0.1:15001', **listeners}, 'agent': {'sidecar_uid': 2112, 'uid': 0}})
    check(web, 0)  # perhaps somebody else captures
    web.change({'redirect': {'mode': 'redirect'}})
    assert tool('redirect', 'print', '-c', web.ini)[0] == 2
    _, err, report = check(web, 2)
    assert [word in problem['text'] for word, problem in zip(words, report['problems'])] == [True] * len(words)
    assert len(report['problems']) == len(words) and f'{web.ini}:{web.line("[redirect]")}: ' in err


def test_check_refuses_a_promise_that_capture_breaks(web):
    """A port in strict mode that the rules leave alone would be open to plaintext."""
    web.change({'sidecar': {'inbound': '*:15006', 'outbound': '127.0.0.1:15001'}, 'service adm': {'port': 9090},
                'upstream pay': {'to': '10.0.0.1:9000, dns.test:53'}, 'redirect': {'exclude_inbound': '15020, 9090'},
                'agent': {'sidecar_uid': 2112, 'uid': 0}})
    _, err, report = check(web, 2)
    assert [problem['line'] for problem in report['problems']] == [web.line('port = 9090'), web.line('to = 10.0.0.1')]
    assert 'plaintext reaches the app' in err and 'leaves dns.test:53 alone' in err
    assert [tool(*words, '-c', web.ini)[0] for words in (['redirect', 'print'], ['run'])] == [2, 2]
    web.change({'upstream pay': {'to': '10.0.0.1:9000'}, 'redirect': {'exclude_inbound': '15020'}})
    check(web, 0)
