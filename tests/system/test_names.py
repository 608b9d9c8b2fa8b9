# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests names in [upstream] to, and what DNS may decide: when `peer` is required, which connections wait, and where
plaintext may go."""
import contextlib
import json
import re
import socket
import subprocess
import threading
import time

import pytest

import lab as labs
from lab import wait_until
from pods import fate

MARKER = b'a marker of the app that nobody may see'
A, AAAA = 1, 28
SERVFAIL = 2


def let_answers_age():
    """An answer counts as fresh for one second. Nothing outside shows when that is over, so this sleeps."""
    time.sleep(1.1)


def attempt(pod, to, timeout=15):
    """Returns the marker if it came back, or 'reset'."""
    return fate(lambda: pod.connect(to, timeout), MARKER)


def refused_addresses(pod, because):
    return pod.metric('fairlead_dns_addresses_refused_total', because=because)


class Later(threading.Thread):
    """An attempt that runs in the background."""

    def __init__(self, pod, to):
        super().__init__(daemon=True)
        self.pod, self.to, self.result = pod, to, None
        self.start()

    def run(self):
        begin = time.monotonic()
        self.result = attempt(self.pod, self.to)
        self.took = time.monotonic() - begin

    def end(self):
        self.join(30)
        return self.result


def resolving(pod):
    return [each for each in json.loads(pod.get('/connections')[1])['connections'] if each['state'] == 'resolving']


# --- `peer` is required, whatever the TTL is ------------------------------------------------------------

@pytest.mark.parametrize('family, ttl', [('v4', 30), ('v6', 0)])
def test_a_new_address_of_a_name_is_the_names_at_once(node, pod, family, ttl):
    """A pod behind a headless name restarts. From the first connection on, the pod with its new address has to be the
    `peer`."""
    first, second, thief = pod('first', identity=labs.SERVER), pod('second', identity=labs.SERVER), pod('thief')
    node.names.ttl = ttl
    node.dns['db.test'] = [getattr(first, family)]
    shop = pod('shop', {'upstream db': {'to': 'db.test:8080', 'peer': labs.SERVER}})
    for each in first, second, thief:
        each.app()
        each.app(port=9000)
    assert attempt(shop, (getattr(first, family), 8080)) == MARKER
    assert attempt(shop, (getattr(thief, family), 8080)) == MARKER, 'not the name\'s: [outbound] default'
    let_answers_age()
    node.dns['db.test'] = [getattr(thief, family)]
    assert attempt(shop, (getattr(thief, family), 9000)) == MARKER, 'another port is none of the name\'s'
    # An address keeps belonging to the name until the TTL of the last answer is over. A new one is found at once.
    node.dns['db.test'] = [getattr(second, family)]
    assert attempt(shop, (getattr(second, family), 8080)) == MARKER
    assert shop.wait_line(msg='connection', destination=re.compile('8080'), upstream='db')
    node.dns['db.test'] = [getattr(thief, family), getattr(second, family)]
    let_answers_age()
    assert attempt(shop, (getattr(thief, family), 8080)) == 'reset'
    assert shop.wait_line(reason='certificate_refused')['upstream'] == 'db'


def test_a_name_that_is_gone_for_a_moment(node, pod):
    """DNS answers NXDOMAIN while the pod restarts: no other pod on that port is accepted meanwhile. The name works
    again as soon as DNS has it."""
    first, second = pod('first', identity=labs.SERVER), pod('second', identity=labs.SERVER)
    node.names.ttl = 1
    node.dns['db.test'] = [first.v4]
    shop = pod('shop', {'upstream db': {'to': 'db.test:8080', 'peer': labs.SERVER}})
    for each in first, second:
        each.app()
    assert attempt(shop, (first.v4, 8080)) == MARKER
    del node.dns['db.test']
    let_answers_age()
    begin = time.monotonic()
    assert attempt(shop, (second.v4, 8080)) == 'reset'
    assert time.monotonic() - begin < 3, 'DNS has answered: there is nothing to wait for'
    assert shop.wait_line(reason='no_address')['detail'] == 'db.test: the name does not exist'
    for _ in range(3):  # the back-off grows
        let_answers_age()
        assert attempt(shop, (second.v4, 8080)) == 'reset'
    node.dns['db.test'] = [second.v4]
    wait_until(lambda: attempt(shop, (second.v4, 8080)) == MARKER, 'back-off ends', 3)
    assert attempt(shop, (first.v4, 8080)) == MARKER, '[outbound] default: it is nobody\'s now'


def test_an_app_that_scans_makes_no_storm(node, pod):
    """Many connections to unknown addresses share one query. Each name is queried once a second."""
    node.names.ttl = 60
    node.dns.update({'one.test': ['10.77.9.1'], 'two.test': ['10.77.9.2']})
    shop = pod('shop', {'upstream one': {'to': 'one.test:1-65535', 'peer': labs.SERVER},
                        'upstream two': {'to': 'two.test:8080', 'peer': labs.SERVER},
                        'upstream more': {'to': 'one.test:8080', 'listen': '127.0.0.1:7001'},
                        'outbound': {'default': 'refuse'}})
    asked, begin, count = len(node.names.asked), time.monotonic(), 0
    while time.monotonic() - begin < 3:
        for port in range(8070, 8090):
            assert attempt(shop, (f'10.77.8.{count % 250}', port)) == 'reset'
            count += 1
    seconds = time.monotonic() - begin
    assert count > 100
    assert len(node.names.asked) - asked <= (seconds + 1) * 2 * 2, 'A and AAAA, of two names'
    assert len(shop.connections('outbound', reason='outbound_refused')) == count


def test_dns_that_is_silent_lets_nobody_unknown_pass(node, pod):
    """Known addresses still work. Connections to addresses that the name might have wait for connect_timeout and are
    refused. Other ports are not affected."""
    web, other = pod('web'), pod('other')
    node.names.ttl = 1
    node.dns['db.test'] = [web.v4]
    shop = pod('shop', {'upstream db': {'to': 'db.test:8080', 'peer': web.identity}, 'limits': {'connect_timeout': '2s'}})
    for each in web, other:
        each.app()
    other.app(port=9000)
    assert attempt(shop, (web.v4, 8080)) == MARKER
    node.names.lost = True
    let_answers_age()
    waiting = Later(shop, (other.v4, 8080))
    wait_until(lambda: resolving(shop), 'it waits')
    assert attempt(shop, (web.v4, 8080)) == MARKER and attempt(shop, (other.v4, 9000)) == MARKER
    assert waiting.end() == 'reset' and waiting.took >= 1.5
    assert re.match('db.test', shop.wait_line(reason='no_address')['detail'])
    again = Later(shop, (other.v4, 8080))
    wait_until(lambda: resolving(shop), 'it waits')
    node.names.lost = False
    assert again.end() == MARKER, 'DNS is back within connect_timeout'


# --- before the first answer ----------------------------------------------------------------------------

@pytest.mark.parametrize('kind', ['fixed', 'captured'])
def test_connections_wait_for_the_first_answer(node, pod, kind):
    web = pod('web')
    web.app()
    node.names.lost = True
    shop = pod('shop', {'upstream far': {'to': 'far.test:8080', 'peer': web.identity,
                                         **({'listen': '127.0.0.1:7001'} if kind == 'fixed' else {})}}, start=False)
    begin = time.monotonic()
    shop.start().wait_ready()
    assert time.monotonic() - begin >= 2, 'the first round of answers was waited for'
    node.dns['far.test'] = [web.v4, web.v6]
    to = ('127.0.0.1', 7001) if kind == 'fixed' else (web.v4, 8080)
    waiting = [Later(shop, to) for _ in range(20)]
    wait_until(lambda: len(resolving(shop)) == 20, 'they wait')
    node.names.lost = False
    assert {each.end() for each in waiting} == {MARKER}


@pytest.mark.parametrize('case, kind', [('silent', 'fixed'), ('silent', 'captured'), ('missing', 'fixed'),
                                        ('missing', 'captured'), ('failing', 'captured')])
def test_the_sentence_tells_why(node, pod, case, kind):
    """The causes are: no answer yet, the name does not exist, or the DNS server fails."""
    node.names.lost = case == 'silent'
    if case == 'failing':
        node.names.codes['far.test'] = SERVFAIL
    shop = pod('shop', {'upstream far': {'to': 'far.test:8080',
                                         **({'listen': '127.0.0.1:7001'} if kind == 'fixed' else {})},
                        'limits': {'connect_timeout': '1s'}})
    assert attempt(shop, ('127.0.0.1', 7001) if kind == 'fixed' else ('10.77.9.9', 8080)) == 'reset'
    line = shop.wait_line(reason='no_address')
    assert line['detail'] == {'silent': 'far.test has not been answered yet',
                              'missing': 'far.test: the name does not exist',
                              'failing': 'far.test: there is no DNS server, or none could answer (SERVFAIL)'}[case]
    assert line['upstream'] == 'far'


def unready(pod):
    try:
        return pod.get('/readyz')[1]
    except ConnectionRefusedError:
        return None


def test_ready_after_the_first_round(node, pod):
    """/readyz names what it waits for. A name that is added later does not make the sidecar unready."""
    node.names.lost = True
    shop = pod('shop', {'upstream far': {'to': 'far.test:8080'}}, start=False)
    shop.start()
    wait_until(lambda: unready(shop) == 'far.test has not been answered yet by DNS\n', 'it says so')
    node.names.lost = False
    shop.wait_ready()
    node.names.lost = True
    shop.change({'upstream new': {'to': 'new.test:8080'}})
    shop.wait_line(msg='generation in use', generation=2)
    assert shop.get('/readyz')[0] == 200


@pytest.mark.parametrize('kind', ['fixed', 'captured'])
@pytest.mark.parametrize('mute, family', [(AAAA, 'v4'), (A, 'v6')])
def test_one_family_that_is_never_answered(node, pod, mute, family, kind):
    """The answer for the other family is used at once, and refreshed by its own TTL."""
    web, next_one = pod('web'), pod('next')
    for each in web, next_one:
        each.app()
    node.names.mute.add(mute)
    node.names.ttl = 1
    node.dns['far.test'] = [getattr(web, family)]
    shop = pod('shop', {'upstream far': {'to': 'far.test:8080', 'peer': web.identity,
                                         **({'listen': '127.0.0.1:7001'} if kind == 'fixed' else {})}}, start=False)
    begin = time.monotonic()
    shop.start().wait_ready()
    assert attempt(shop, ('127.0.0.1', 7001) if kind == 'fixed' else (getattr(web, family), 8080)) == MARKER
    assert time.monotonic() - begin < 4
    if kind == 'captured':
        node.dns['far.test'] = [getattr(next_one, family)]
        let_answers_age()
        assert attempt(shop, (getattr(next_one, family), 8080)) == 'reset', 'it has not the peer\'s identity'


def test_search_domains(node, pod):
    """Search domains work as in resolv.conf. The first domain with an address of any family decides, and later domains
    add nothing."""
    web, other = pod('web'), pod('other')
    for each in web, other:
        each.app()
    node.names.mute.add(AAAA)
    node.dns.update({'db.two.test': [web.v4], 'db.three.test': [other.v4]})
    shop = pod('shop', {'upstream db': {'to': 'db:8080', 'peer': web.identity}, 'outbound': {'default': 'refuse'}},
               start=False)
    shop.start_agent().start_sidecar(['env', 'LOCALDOMAIN=none.test two.test three.test', 'RES_OPTIONS=ndots:2'])
    shop.wait_ready()
    assert attempt(shop, (web.v4, 8080)) == MARKER and attempt(shop, (other.v4, 8080)) == 'reset'
    assert 'db.three.test' not in node.names.asked
    node.names.mute.clear()
    node.dns.update({'db.two.test': [web.v4], 'db.three.test': [other.v6]})
    let_answers_age()
    assert attempt(shop, (other.v6, 8080)) == 'reset'
    assert 'db.three.test' not in node.names.asked


@pytest.mark.parametrize('domains', ['ns.svc.cluster.local svc.cluster.local', 'x' * 64 + '.test', '.test', 'a..test'],
                         ids=['too long with the host', 'long label', 'leading dot', 'empty label'])
def test_a_search_domain_that_makes_no_name_is_passed_over(node, pod, domains):
    """DNS has no such name, so nothing is asked, and the search goes on: the host itself is asked for last."""
    web = pod('web')
    web.app()
    host = '.'.join(['a' * 60] * 4)
    node.dns[host] = [web.v4]
    shop = pod('shop', {'upstream db': {'to': f'{host}:8080', 'peer': web.identity}, 'outbound': {'default': 'refuse'}},
               start=False)
    shop.start_agent().start_sidecar(['env', f'LOCALDOMAIN={domains}', 'RES_OPTIONS=ndots:5'])
    shop.wait_ready()
    assert attempt(shop, (web.v4, 8080)) == MARKER
    assert [each for each in node.names.asked if each.startswith('aaa')] == [host] * node.names.asked.count(host)
    del node.dns[host]
    let_answers_age()
    assert attempt(shop, (web.v6, 8080)) == 'reset'
    assert shop.wait_line(reason='no_address')['detail'].endswith('the name does not exist')


# --- where plaintext may go -----------------------------------------------------------------------------

def claims(kind, ledger):
    """Returns sections by which [upstream ledger] claims the address, statically or by a name in DNS."""
    section = {'to': {'network': f'{ledger.v4}/32:8080, [{ledger.v6}]/128:8080', 'ports': f'{ledger.v4}:1-65535, [{ledger.v6}]:*',
                      'name': 'ledger.test:8080', 'fixed': f'{ledger.v4}:8080, [{ledger.v6}]:8080',
                      'fixed name': 'ledger.test:8080', 'refuse': 'ledger.test:8000-9000'}[kind]}
    if kind.startswith('fixed'):
        section['listen'] = '127.0.0.1:7001'
    if kind == 'refuse':
        section['mode'] = 'refuse'
    return section


def ask_again(pod, other, family):
    """Dials an unknown address of the other family on the names' port, after the last answer is no longer fresh."""
    let_answers_age()
    assert attempt(pod, (other.v6 if family == 'v4' else other.v4, 8080)) == 'reset'


@pytest.mark.parametrize('kind, family', [('network', 'v4'), ('ports', 'v6'), ('name', 'v4'), ('name', 'v6'), ('fixed', 'v6'),
                                          ('fixed name', 'v4'), ('refuse', 'v4')])
def test_dns_cannot_switch_mtls_off(node, pod, kind, family):
    """DNS gives a plaintext name the address of a mesh service."""
    legacy, ledger = pod('legacy', sidecar=False), pod('ledger', sidecar=False)
    for each in legacy, ledger:
        each.app()
    node.names.ttl = 1
    node.dns['old.test'] = [getattr(legacy, family)]
    web = pod('web', {'upstream ledger': claims(kind, ledger),
                      'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext'},
                      'upstream by-hand': {'to': 'old.test:8080', 'mode': 'plaintext', 'listen': '127.0.0.1:7002'}})
    assert attempt(web, (getattr(legacy, family), 8080)) == MARKER and attempt(web, ('127.0.0.1', 7002)) == MARKER
    to = getattr(ledger, family), 8080
    with web.capture() as seen:
        assert attempt(web, to) == 'reset'
        node.dns['old.test'] = [getattr(ledger, family)]
        ask_again(web, legacy, family)
        line = web.wait_line(msg=re.compile(r'\[upstream old\]: DNS says that old\.test has the address'), timeout=20)
        assert '[upstream ledger]' in line['msg']
        assert attempt(web, to) == 'reset' and attempt(web, ('127.0.0.1', 7002)) == 'reset'
    assert not seen.saw(MARKER)
    assert refused_addresses(web, 'claimed') == 2, 'once for each of the two upstreams, however often it is looked at'
    ask_again(web, legacy, family)
    assert attempt(web, to) == 'reset' and refused_addresses(web, 'claimed') == 2


@pytest.mark.parametrize('form', ['::ffff:{}', '64:ff9b::{}'])
def test_other_spellings_of_an_address_are_no_way_around(node, pod, form):
    ledger = pod('ledger', sidecar=False)
    ledger.app()
    node.dns['old.test'] = [form.format(ledger.v4)]
    web = pod('web', {'upstream ledger': {'to': f'{ledger.v4}:8080'},
                      'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext', 'listen': '127.0.0.1:7002'}})
    with web.capture() as seen:
        assert attempt(web, ('127.0.0.1', 7002)) == 'reset'
    assert not seen.saw(MARKER)
    assert 'old.test has no address that this upstream may use' in web.wait_line(reason='no_address')['detail']
    assert refused_addresses(web, 'claimed') == 1


@pytest.mark.parametrize('form', ['::ffff:{}', '64:ff9b::{}'])
def test_other_spellings_wait_for_both_kinds_of_record(node, pod, form):
    """An AAAA record of the plaintext name embeds an IPv4 address: the A records of the mtls name decide."""
    ledger = pod('ledger', sidecar=False)
    ledger.app()
    node.names.mute.add(A)
    node.dns.update({'old.test': [form.format(ledger.v4)], 'ledger.test': [ledger.v4, 'fd77::999']})
    web = pod('web', {'upstream ledger': {'to': 'ledger.test:8080'}, 'limits': {'connect_timeout': '1s'},
                      'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext', 'listen': '127.0.0.1:7002'}})
    with web.capture() as seen:
        assert attempt(web, ('127.0.0.1', 7002)) == 'reset'
        node.names.mute.clear()
        assert attempt(web, ('127.0.0.1', 7002)) == 'reset'
    assert not seen.saw(MARKER)


@pytest.mark.parametrize('how', ['captured', 'fixed'])
@pytest.mark.parametrize('policy', ['close', 'keep'])
def test_an_mtls_name_takes_an_address_away(node, pod, how, policy):
    """The plaintext name is answered first and the mtls name later. Open connections are judged again."""
    ledger = pod('ledger', sidecar=False)
    ledger.app()
    node.names.ttl = 1
    node.dns.update({'old.test': [ledger.v4], 'ledger.test': ['10.77.9.9']})
    web = pod('web', {'upstream ledger': {'to': 'ledger.test:8080'}, 'rotation': {'on_policy_loss': policy},
                      'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext',
                                       **({'listen': '127.0.0.1:7002'} if how == 'fixed' else {})}})
    to = ('127.0.0.1', 7002) if how == 'fixed' else (ledger.v4, 8080)
    with web.connect(to, 20) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        node.dns['ledger.test'] = [ledger.v4]
        ask_again(web, ledger, 'v4')
        web.wait_line(msg=re.compile('old.test has the address'), timeout=20)
        if policy == 'close':
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b'', 'a reset'
            assert 'plaintext' in web.wait_line(reason='policy_lost')['detail']
        else:
            sock.sendall(b'y')
            assert sock.recv(1) == b'y'
        assert attempt(web, to) == 'reset', 'a new one, in any case'


@pytest.mark.parametrize('how', ['captured', 'fixed'])
def test_an_mtls_name_that_is_not_answered_is_waited_for(node, pod, how):
    """Until the mtls name is resolved, plaintext goes nowhere. A name that does not exist claims no address."""
    ledger = pod('ledger', sidecar=False)
    ledger.app()
    node.names.ttl = 1
    node.names.lost_names.add('ledger.test')
    node.dns['old.test'] = [ledger.v4]
    web = pod('web', {'upstream ledger': {'to': 'ledger.test:8080'}, 'limits': {'connect_timeout': '1s'},
                      'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext',
                                       **({'listen': '127.0.0.1:7002'} if how == 'fixed' else {})}})
    to = ('127.0.0.1', 7002) if how == 'fixed' else (ledger.v4, 8080)
    with web.capture() as seen:
        assert attempt(web, to) == 'reset'
    assert not seen.saw(MARKER)
    del node.dns['ledger.test']
    node.names.lost_names.clear()
    wait_until(lambda: attempt(web, to) == MARKER, 'nobody claims it', 20)
    node.dns['ledger.test'] = [ledger.v4]
    wait_until(lambda: attempt(web, to) == 'reset', 'now somebody does', 20)


def test_an_address_that_has_become_a_mesh_services(node, pod):
    """Within the TTL of both names, the address moves from the plaintext name to a pod of the mesh: no byte leaves in
    the clear. When DNS is lost, its last answer stays in force, without long waits."""
    moved, legacy = pod('moved', sidecar=False), pod('legacy', sidecar=False)
    for each in moved, legacy:
        each.app()
    node.names.ttl = 300
    node.dns.update({'old.test': [moved.v4, legacy.v6], 'ledger.test': ['10.77.9.9']})
    web = pod('web', {'upstream ledger': {'to': 'ledger.test:8080'},
                      'upstream old': {'to': 'old.test:8000-9000', 'mode': 'plaintext'}})
    assert attempt(web, (moved.v4, 8080)) == MARKER
    node.dns.update({'old.test': [legacy.v4, legacy.v6], 'ledger.test': [moved.v4]})
    let_answers_age()
    with web.capture() as seen:
        assert attempt(web, (moved.v4, 8080)) == 'reset'
    assert not seen.saw(MARKER)
    assert attempt(web, (legacy.v4, 8080)) == MARKER
    node.names.lost = True
    let_answers_age()
    begin = time.monotonic()
    assert attempt(web, (legacy.v4, 8080)) == MARKER
    assert time.monotonic() - begin < 4
    web.wait_line(msg=re.compile(r'(old|ledger)\.test does not resolve.*keeping the last addresses'), timeout=20)


def test_within_bounds_a_plaintext_name(node, pod):
    """With [outbound] default = mtls, a plaintext name may have an address that no section names, if it is inside
    `within`."""
    legacy, elsewhere = pod('legacy', sidecar=False), pod('elsewhere', sidecar=False)
    for each in legacy, elsewhere:
        each.app()
    node.names.ttl = 1
    node.dns['old.test'] = [legacy.v4, elsewhere.v4, elsewhere.v6]
    web = pod('web', {'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext', 'within': f'{legacy.v4}/32'}})
    with web.capture() as seen:
        for host in elsewhere.v4, elsewhere.v6:
            assert attempt(web, (host, 8080)) == 'reset'
    assert not seen.saw(MARKER)
    assert attempt(web, (legacy.v4, 8080)) == MARKER
    assert refused_addresses(web, 'outside') == 2
    assert 'not in `within`' in web.wait_line(msg=re.compile('old.test has the address'))['msg']


def test_an_answer_that_repeats_an_address(node, pod):
    """As many records as before, one address among them twice: the one that has gone is no longer the name's."""
    stays, gone = pod('stays', sidecar=False), pod('gone', sidecar=False)
    for each in stays, gone:
        each.app()
    node.names.ttl = 1
    node.dns['old.test'] = [stays.v4, gone.v4]
    web = pod('web', {'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext', 'within': '10.77.0.0/16'}})
    assert attempt(web, (stays.v4, 8080)) == attempt(web, (gone.v4, 8080)) == MARKER
    node.dns['old.test'] = [stays.v4, stays.v4]
    wait_until(lambda: attempt(web, (gone.v4, 8080)) == 'reset', 'it is not an address of the name any more', 20)
    assert attempt(web, (stays.v4, 8080)) == MARKER


def test_a_reload_gives_and_takes(node, pod):
    """As sections come and go, the address changes with them, and open connections are judged by the INI in force."""
    legacy = pod('legacy', sidecar=False)
    legacy.app()
    node.dns['old.test'] = [legacy.v4]
    web = pod('web', {'upstream old': {'to': 'old.test:8080', 'mode': 'plaintext', 'listen': '127.0.0.1:7002'}})
    with web.connect(('127.0.0.1', 7002)) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        web.change({'upstream ledger': {'to': '10.77.0.0/24:8080'}})
        web.wait_line(reason='policy_lost')
    assert attempt(web, ('127.0.0.1', 7002)) == 'reset'
    web.change({'upstream ledger': {'to': '10.77.0.0/24:8081'}})
    wait_until(lambda: attempt(web, ('127.0.0.1', 7002)) == MARKER, 'another port')
    with web.connect(('127.0.0.1', 7002)) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        web.change({'upstream old': {'within': '10.78.0.0/16'}})
        wait_until(lambda: len(web.sidecar.lines(reason='policy_lost')) == 2, 'it is not within')


# --- connections that are open ----------------------------------------------------------------------------

def goes_on(sock):
    sock.sendall(b'x')
    return sock.recv(1) == b'x'


@pytest.mark.parametrize('mode', ['mtls', 'plaintext'])
def test_an_address_that_has_left_its_name_stays_open(node, pod, mode):
    """A renewed certificate is no reason to end a connection that its section admits; a section that is gone is one. A new
    connection is not led by what DNS said before."""
    one, two = (pod(name, sidecar=mode == 'mtls') for name in ('one', 'two'))
    for each in one, two:
        each.app()
    node.names.ttl = 1
    node.dns['ext.test'] = [one.v4]
    keys = {'peer': one.identity} if mode == 'mtls' else {'mode': 'plaintext', 'within': '10.77.0.0/16'}
    web = pod('web', {'upstream ext': {'to': 'ext.test:8080', **keys}, 'outbound': {'default': 'refuse'}})
    with web.connect((one.v4, 8080)) as sock:
        assert goes_on(sock)
        node.dns['ext.test'] = [two.v4]
        wait_until(lambda: attempt(web, (one.v4, 8080)) == 'reset', 'it is nobody\'s address')
        for generation, change in ((2, lambda: web.mount(node.lab.root.issue(web.identity))),
                                   (3, lambda: web.change({'limits': {'connect_timeout': '4s'}}))):
            change()
            web.agent.wait_line(msg='generation accepted', generation=generation)
            wait_until(lambda: json.loads(web.get('/status')[1])['last_judgement']['generation'] == generation, 'judged')
            assert goes_on(sock)
        web.change({'upstream ext': {'to': 'ext.test:8081'}})
        assert web.wait_line(reason='policy_lost')['detail'] == 'its destination is refused now'


@pytest.mark.parametrize('default', ['mtls', 'plaintext'])
def test_a_name_that_is_not_answered_yet_ends_nothing(node, pod, default):
    """A section with a name comes in while connections of [outbound] are open on its port. They are its own only if DNS says
    so, and then it judges them."""
    other, another = (pod(name, sidecar=default == 'mtls') for name in ('other', 'another'))
    for each in other, another:
        each.app()
    node.names.ttl = 1
    node.names.lost_names.add('new.test')
    web = pod('web', {'outbound': {'default': default}})
    with web.connect((other.v4, 8080)) as sock, web.connect((another.v4, 8080)) as free:
        assert goes_on(sock) and goes_on(free)
        web.change({'upstream new': {'to': 'new.test:8080', 'peer': f'spiffe://{labs.TD}/new'}})
        wait_until(lambda: json.loads(web.get('/status')[1])['last_judgement']['generation'] == 2, 'judged')
        assert goes_on(sock) and goes_on(free)
        node.dns['new.test'] = [other.v4]
        node.names.lost_names.clear()
        assert web.wait_line(reason='policy_lost')['destination'] == f'{other.v4}:8080'
        assert goes_on(free)
    assert len(web.sidecar.lines(reason='policy_lost')) == 1


def test_an_address_by_hand_is_meant(node, pod):
    """An address that the INI itself marks as plaintext stays plaintext inside an mtls network."""
    legacy = pod('legacy', sidecar=False)
    legacy.app()
    web = pod('web', {'upstream mesh': {'to': '10.77.0.0/16:8080'},
                      'upstream old': {'to': f'{legacy.v4}:8080', 'mode': 'plaintext'},
                      'upstream by-hand': {'to': f'{legacy.v4}:8080', 'mode': 'plaintext', 'listen': '127.0.0.1:7002'}})
    assert attempt(web, (legacy.v4, 8080)) == MARKER and attempt(web, ('127.0.0.1', 7002)) == MARKER


# --- the app --------------------------------------------------------------------------------------------

def test_an_app_on_another_machine_has_to_be_allowed(pod):
    """The sidecar and `check` refuse it, with the remedy, and the INI in force stays."""
    web = pod('web', {'service db': {'listen': '*:8443', 'app': '127.0.0.1:5432'}})
    web.change({'service db': {'app': '10.77.0.9:5432'}})
    assert '10.77.0.9:5432' in web.agent.wait_line(msg='INI refused', reason=re.compile('remote = allow'))['reason']
    assert json.loads(web.get('/status')[1])['generation']['number'] == 1
    web.change({'service db': {'remote': 'allow'}})
    web.wait_line(msg='generation in use', generation=2)


# --- no memory ----------------------------------------------------------------------------------------

@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='sanitizers end the process themselves when memory is out')
def test_answers_do_not_end_the_process_when_memory_is_out(node, pod):
    """As memory shrinks, large answers arrive and connections need them. The process survives, and later resolves as
    before."""
    db, stranger = pod('db', identity=labs.SERVER), pod('stranger', sidecar=False)
    db.app()
    node.names.ttl = 0
    node.dns['db.test'] = [db.v4]
    shop = pod('shop', {'upstream db': {'to': 'db.test:8080', 'peer': labs.SERVER}, 'limits': {'connect_timeout': '1s'}})
    shop.app()
    assert attempt(shop, (db.v4, 8080)) == MARKER
    for spare in (0, 256, 1024):
        limit_data(shop.sidecar, int(status_of(shop.sidecar, 'VmData')) + spare)
        # Split hellos use up the remaining memory.
        held = []
        for _ in range(200):
            with contextlib.suppress(OSError):
                held.append(stranger.connect((shop.v4, 8080)))
                held[-1].sendall(b'\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb' + bytes(12000))
        node.dns['db.test'] = [f'10.99.{spare >> 8}.{n}' for n in range(25)] + [db.v4]
        for last in range(201, 204):
            attempt(shop, (f'{db.v4.rpartition(".")[0]}.{last}', 8080), 2)
        assert shop.sidecar.process.poll() is None, f'alive with {spare} KiB left: {shop.sidecar.text[-500:]}'
        for sock in held:
            sock.close()
    limit_data(shop.sidecar)
    assert shop.sidecar.lines(reason='no_address'), 'nobody could be asked'
    wait_until(lambda: attempt(shop, (db.v4, 8080)) == MARKER, 'as before', 15)


def status_of(process, name):
    with open(f'/proc/{process.pid}/status', encoding='ascii') as status:
        return re.search(rf'^{name}:\s+(\d+)', status.read(), re.M)[1]


def limit_data(process, kib=None):
    """Runs as the process's own user: root may lack the capability for processes of others."""
    subprocess.run(['prlimit', '--pid', str(process.pid), f'--data={kib * 1024 if kib else "unlimited"}:'],
                   user=int(status_of(process, 'Uid')), group=int(status_of(process, 'Gid')), extra_groups=[], check=True)
