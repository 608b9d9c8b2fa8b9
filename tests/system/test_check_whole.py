# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that fairlead-agent check tells everything in one run, and nothing twice: errors of the INI together with what is wrong
with the files that it names."""
import datetime

import pytest

import lab as labs
from test_tools import check, tool, web  # noqa: F401

DAY = datetime.timedelta(days=1)


def places(report):
    return [(problem['kind'], problem['line']) for problem in report['problems']]


# --- all at once ------------------------------------------------------------------------------------

def break_it(web):
    """Returns the problems of an INI with errors, whose files have errors too."""
    (web.folder / 'tls.key').unlink()
    (web.folder / 'ca.crt').write_bytes(b'nonsense')
    (web.folder / 'crl.pem').write_bytes(b'nonsense')
    (web.folder / 'other.crt').write_bytes(b'nonsense')
    web.change({'identity': {'crl': web.folder / 'crl.pem'}, 'sidecar': {'inbound': '127.0.0.1:15006', 'outbound': '127.0.0.2:15001'},
                'redirect': {}, 'limits': {'connections': 'many'}, 'federate other.example': {'bundle': web.folder / 'other.crt'},
                'agent': {'uidd': 1, 'sidecar_uid': 2112}})
    return sorted([('error', web.line(place)) for place in ('connections', 'key', 'bundle', 'crl', 'uidd')] +
                  [('error', web.line('[redirect]'))] * 2 + [('warning', web.line('[federate'))])


def test_an_error_of_the_ini_hides_no_other(web):
    expected = break_it(web)
    out, err, report = check(web, 2)
    assert places(report) == expected, err
    assert 'tls.key: it does not exist' in err and 'write *:15006' in err and 'write 127.0.0.1:15001' in err
    assert out == 'verdict      refused, with 7 errors\n' and 'identity' not in report, 'nothing would run'
    assert tool('check', '-c', '-', text=web.ini.read_text())[2] == err.replace(str(web.ini), '/dev/stdin')
    # Repaired one after the other, they are the ones that remain.
    web.change({'limits': None, 'agent': {'uidd': None}})
    web.sections['agent'].pop('uidd')
    web.change({})
    assert len(check(web, 2)[2]['problems']) == len(expected) - 2


def test_a_certificate_that_expires_is_told_beside_an_error(lab, web):
    web.mount(lab.root.issue(labs.SERVER, not_before=-9 * DAY, not_after=DAY))
    web.change({'limits': {'connections': 'many'}})
    assert places(check(web, 2)[2]) == [('error', web.line('connections')), ('warning', web.line('cert'))]


def test_each_of_two_alternatives_is_judged(lab, web):
    """The INI may name `credential_bundle`, or `cert` and `key`. Nobody knows which it will keep."""
    (web.folder / 'both.pem').write_bytes(lab.server.key_pem)
    (web.folder / 'both.pem').chmod(0o600)
    (web.folder / 'tls.crt').write_bytes(b'nonsense')
    web.change({'identity': {'credential_bundle': web.folder / 'both.pem'}})
    _, err, report = check(web, 2)
    both = web.line('credential_bundle')
    assert places(report) == sorted([('error', web.line('cert')), ('error', both), ('error', both)]), err
    assert f'{web.folder}/both.pem: ' in err and f'{web.folder}/tls.crt: ' in err and '`credential_bundle` replaces' in err


# --- nothing twice ----------------------------------------------------------------------------------

REFUSED = {
    'cert': {'identity': {'cert': 'tls.crt'}},
    'key': {'identity': {'key': 'tls.key'}},
    'bundle': {'identity': {'bundle': 'ca.crt'}},
    'socket': {'agent': {'socket': 'agent.sock'}},
    'another socket': {'agent': {'sokcet': '/run/agent.sock', 'socket': '/nowhere/agent.sock'}},
    'uid': {'agent': {'uid': 'agent', 'sidecar_uid': 2112}},
    'section of the uid': {'agent': {'uid': 2113, 'sidecar_uid': 2112}, 'agnt': {'uid': 0}},
    'inbound': {'sidecar': {'inbound': '15006'}, 'redirect': {}, 'agent': {'sidecar_uid': 2112}},
    'outbound': {'sidecar': {'inbound': '*:15006', 'outbound': '127.0.0.2:15001, x'}, 'redirect': {},
                 'agent': {'sidecar_uid': 2112}},
    'inbound of a service': {'sidecar': {'inbound': '15006'}, 'service other': {'port': 9090}},
    'outbound of an upstream': {'sidecar': {'outbound': 'x'}, 'upstream other': {'to': '10.0.0.1:443'}},
    'captured ports': {'sidecar': {'inbound': '*:15006'}, 'service other': {'port': 9090}, 'redirect': {'inbound_ports': '80, x'},
                       'agent': {'sidecar_uid': 2112}},
    'captured networks': {'sidecar': {'outbound': '127.0.0.1:15001'}, 'upstream other': {'to': '10.0.0.1:443'},
                          'redirect': {'outbound': '10.0.0.0/33'}, 'agent': {'sidecar_uid': 2112}},
    'exclusions': {'sidecar': {'outbound': '127.0.0.1:15001'}, 'upstream other': {'to': '10.0.0.1:53'},
                   'redirect': {'exclude_outbound': 'x'}, 'agent': {'sidecar_uid': 2112}},
    'groups': {'tls': {'groups': 'P-512'}},
    'ciphers': {'tls': {'ciphers': ''}},
    'path of a bundle': {'federate other.example': {'bundle': 'other.crt'}},
    'name of a bundle': {'federate Other.example': {'bundle': '/nowhere/other.crt'}},
    'shared root': {'federate other.example': {'bundle': '{folder}/ca.crt', 'shared_root': 'yes'}},
    'rule': {'allow mesh': None, 'alow mesh': {'from': labs.CLIENT}},
    'mode': {'inbound': {'mode': 'permisive'}, 'allow plain': {'from': 'plaintext'}},
    'port of a service': {'service app': {'listen': 'x'}, 'allow mesh': {'to': 8080}},
}


@pytest.mark.parametrize('case', REFUSED)
def test_what_follows_from_a_refused_value_is_not_told(web, case):
    web.change({section: keys and {key: value.format(folder=web.folder) if isinstance(value, str) else value
                                   for key, value in keys.items()} for section, keys in REFUSED[case].items()})
    _, err, report = check(web, 2)
    assert len(report['problems']) == 1 and report['problems'][0]['kind'] == 'error', err


def test_a_set_that_is_not_whole_is_no_reason_to_refuse_the_rest(web):
    """Only the INI's own errors are told, and what is wrong with the files that are there."""
    web.sections['identity'] = {'bundle': web.folder / 'ca.crt', 'crl': web.folder / 'none.pem'}
    web.change({})
    _, err, report = check(web, 2)
    assert places(report) == [('error', web.line('[identity]')), ('error', web.line('crl'))], err
