# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests a pod without a sidecar among pods that have one: as client and as server, refused and allowed by rules."""
import pytest

import pods
import software
from lab import wait_until
from pods import fate

FAMILIES = 'v4', 'v6'
HELLO = b'plaintext from a pod without a sidecar'


def talk(pod, to):
    """Returns HELLO if it came back, or how the connection ended."""
    return fate(lambda: pod.connect(to), HELLO)


def bracketed(address):
    return f'[{address}]' if ':' in address else address


def inbound(mode, source=None):
    rule = {'allow old': {'from': 'plaintext', **({'sources': source} if source else {})}}
    return {'inbound': {'mode': mode}, **rule}


# --- as a client ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_strict_refuses_it(pod, family):
    """The connection never reaches the app."""
    old, web = pod('old', sidecar=False), pod('web')
    app = web.app()
    assert talk(old, (getattr(web, family), 8080)) != HELLO
    line = web.wait_connection('inbound', reason='not_tls')
    assert line['source'].startswith(bracketed(getattr(old, family)) + ':')
    assert line['destination'] == f'{bracketed(getattr(web, family))}:8080'
    assert app.accepted == 0


@pytest.mark.parametrize('family', FAMILIES)
def test_permissive_serves_it_by_rule(pod, family):
    old, stranger = pod('old', sidecar=False), pod('stranger', sidecar=False)
    web = pod('web', inbound('permissive', f'{old.v4}, {old.v6}'))
    mesh = pod('mesh')
    app = web.app()
    to = getattr(web, family), 8080
    assert talk(old, to) == HELLO
    line = web.wait_connection('inbound', security='plaintext', reason='done')
    assert line['source'].startswith(bracketed(getattr(old, family)) + ':') and line['rule'] == 'old'
    assert talk(stranger, to) != HELLO
    line = web.wait_connection('inbound', security='plaintext', reason='policy_denied')
    assert line['source'].startswith(bracketed(getattr(stranger, family)) + ':')
    with pods.in_the_dark(HELLO, web, mesh):
        assert talk(mesh, to) == HELLO
    assert web.wait_connection('inbound', peer=mesh.identity)['rule'] == 'mesh'
    assert app.accepted == 2


@pytest.mark.parametrize('family', FAMILIES)
def test_permissive_without_a_rule_refuses_it(pod, family):
    old, web = pod('old', sidecar=False), pod('web', {'inbound': {'mode': 'permissive'}})
    app = web.app()
    assert talk(old, (getattr(web, family), 8080)) != HELLO
    web.wait_connection('inbound', reason='policy_denied')
    assert app.accepted == 0


def test_permissive_lets_a_server_speak_first(pod):
    """A pod without a sidecar waits for the greeting of a mail server."""
    old, mail = pod('old', sidecar=False), pod('mail', inbound('permissive'))
    server = software.smtp(mail)
    for address in mail.v4, mail.v6:
        old.run(['curl', '-sS', f'smtp://{bracketed(address)}:2525', '--mail-from', 'a@a.test', '--mail-rcpt',
                 'b@b.test', '-T', '-'], text=f'Subject: {address}\r\n\r\nhello\r\n')
    wait_until(lambda: server.text.count('hello') == 2, lambda: server.text)


@pytest.mark.parametrize('family', FAMILIES)
def test_one_port_in_plaintext_among_strict_ones(pod, family):
    old = pod('old', sidecar=False)
    web = pod('web', {'service metrics': {'port': 8081, 'mode': 'plaintext'}, 'allow scraper': {
        'from': 'plaintext', 'to': 'metrics'}})
    web.app()
    web.app(port=8081)
    assert talk(old, (getattr(web, family), 8081)) == HELLO
    assert talk(old, (getattr(web, family), 8080)) != HELLO
    assert web.wait_connection('inbound', reason='done')['service'] == 'metrics'
    web.wait_connection('inbound', reason='not_tls')


# --- as a server ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_nothing_goes_to_it_in_the_clear(pod, family):
    """By default, a destination has to speak mutual TLS: the app's connection is closed."""
    old, shop = pod('old', sidecar=False), pod('shop')
    old.app()
    with pods.in_the_dark(HELLO, shop, old):
        assert talk(shop, (getattr(old, family), 8080)) != HELLO
    assert shop.wait_connection('outbound')['reason'] in ('not_tls', 'peer_truncated', 'tls_protocol')


@pytest.mark.parametrize('family', FAMILIES)
def test_plaintext_to_it_by_configuration(pod, family):
    """The rule applies to this pod only."""
    old, other = pod('old', sidecar=False), pod('other', sidecar=False)
    shop = pod('shop', {'upstream old': {'to': f'{old.v4}:8080, [{old.v6}]:8080', 'mode': 'plaintext'}})
    for each in old, other:
        each.app()
    assert talk(shop, (getattr(old, family), 8080)) == HELLO
    line = shop.wait_connection('outbound', upstream='old')
    assert (line['security'], line['reason']) == ('plaintext', 'done')
    with pods.in_the_dark(HELLO, shop, other):
        assert talk(shop, (getattr(other, family), 8080)) != HELLO


@pytest.mark.parametrize('family', FAMILIES)
def test_refused_by_configuration(pod, family):
    """The destination does not even receive a SYN."""
    old = pod('old', sidecar=False)
    shop = pod('shop', {'outbound': {'default': 'refuse'}})
    old.app()
    with old.capture() as seen:
        assert talk(shop, (getattr(old, family), 8080)) == 'reset'
    assert not seen.to_port(8080)
    assert shop.wait_connection('outbound')['reason'] == 'outbound_refused'
