# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that the sidecar knows whether the capture rules are in force: status, metrics, readiness, log."""
import json
import re

import pytest

import lab as labs
import pods
from lab import wait_until

GONE = 'the rules of capture are not in force'


def redirect(pod, action):
    done = pod.space.try_run([labs.AGENT, 'redirect', action, '-c', pod.ini])
    assert (done.returncode, done.stderr) == (0, ''), done


def capture(pod):
    return json.loads(pod.get('/status')[1])['capture']


def told(pod):
    """Returns the output of `fairlead-agent status`."""
    return pod.space.try_run([labs.AGENT, 'status', '-c', pod.ini]).stdout


def active(pod):
    """Returns {family: value} of the metric."""
    return {family: int(value) for family, value in
            re.findall(r'^fairlead_capture_active\{family="(\w+)"\} (\d)$', pod.get('/metrics')[1], re.M)}


def settled(pod, **wanted):
    """Waits until /status says so."""
    wait_until(lambda: {key: capture(pod)[key] for key in wanted} == wanted, lambda: f'{wanted}: {capture(pod)}', 20)


def meant(pod, name='web', sections=None, **options):
    """Returns a pod whose INI has [redirect]."""
    return pod(name, labs.merge({'redirect': {'mode': 'redirect'}}, sections), redirect=False, **options)


def start(workload):
    """Starts the pod without waiting until it is ready."""
    workload.start()
    wait_until(lambda: 'generation in use' in workload.sidecar.text, 'it has a generation')
    return workload


@pytest.mark.tsan
def test_rules_are_seen_and_missed(pod):
    web = meant(pod, start=False)
    redirect(web, 'apply')
    web.start().wait_ready()
    settled(web, expected=True, inet=True, inet6=True)
    assert active(web) == {'inet': 1, 'inet6': 1}
    since = capture(web)['since']
    assert re.search(r'^capture +IPv4 in force, IPv6 in force, since 20', told(web), re.M)
    # Another program removes the rules.
    web.space.nft('delete table inet fairlead')
    wait_until(lambda: web.get('/readyz')[0] == 503, 'it is noticed')
    status, text = web.get('/readyz')
    assert status == 503 and GONE in text and 'fairlead-agent redirect apply' in text
    settled(web, expected=True, inet=False, inet6=False)
    assert re.search(r'^capture +IPv4 NOT IN FORCE, IPv6 NOT IN FORCE, since 20', told(web), re.M)
    assert active(web) == {'inet': 0, 'inet6': 0} and capture(web)['since'] >= since
    redirect(web, 'apply')
    web.wait_ready()
    settled(web, expected=True, inet=True, inet6=True)
    for version in 'IPv4', 'IPv6':
        assert [line['level'] for line in web.sidecar.lines(msg=re.compile(f'rules of capture.*{version}'))] == \
            ['info', 'warn', 'info']
    # None of this is counted or logged as a connection.
    counts = json.loads(web.get('/status')[1])['connections']
    assert [counts[direction]['opened'] for direction in ('inbound', 'outbound')] == [0, 0]
    assert not web.sidecar.lines(msg=re.compile('^connection'))


def test_rules_that_are_waited_for(pod):
    web = start(meant(pod, start=False))
    wait_until(lambda: GONE in web.get('/readyz')[1], lambda: web.get('/readyz'))
    assert web.get('/readyz')[0] == 503
    redirect(web, 'apply')
    web.wait_ready()


def test_rules_that_nobody_expects(pod):
    """Without [redirect], rules are optional. Once the sidecar has seen them, it expects them."""
    web = pod('web', redirect=False)
    settled(web, expected=False, inet=False, inet6=False)
    assert web.get('/readyz')[0] == 200
    assert not web.sidecar.lines(msg=re.compile('rules of capture'))
    redirect(web, 'apply')
    settled(web, expected=True, inet=True, inet6=True)
    redirect(web, 'remove')
    wait_until(lambda: web.get('/readyz')[0] == 503, 'it is noticed')


def test_a_sidecar_without_listeners_for_them_asks_nobody(pod):
    web = pod('web', {'sidecar': {'inbound': '', 'outbound': ''},
                      'service web': {'listen': '*:8443', 'app': '127.0.0.1:8080'}}, redirect=False)
    assert capture(web) == {'expected': False, 'inet': None, 'inet6': None, 'since': None, 'rules': None, 'refused': None}
    assert active(web) == {}


@pytest.mark.parametrize('family, listener', [('inet', '127.0.0.1:15001'), ('inet6', '[::1]:15001')])
def test_a_family_without_a_listener_is_not_missed(pod, family, listener):
    web = meant(pod, sections={'sidecar': {'outbound': listener}}, start=False)
    assert web.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', web.ini]).returncode == 0
    web.start().wait_ready()
    other = {'inet': 'inet6', 'inet6': 'inet'}[family]
    settled(web, **{'expected': True, family: True, other: None})


def test_rules_for_another_user(pod):
    web = meant(pod, start=False)
    web.change({'agent': {'sidecar_uid': 2999}})
    redirect(web, 'apply')
    web.change({'agent': {'sidecar_uid': 2112}})
    start(web)
    wait_until(lambda: GONE in web.get('/readyz')[1], lambda: web.get('/readyz'))


def test_inbound_alone(pod):
    web = meant(pod, sections={'sidecar': {'outbound': ''}}, start=False)
    redirect(web, 'apply')
    web.start().wait_ready()
    settled(web, expected=True, inet=True, inet6=True)


@pytest.mark.parametrize('handler, reason', [
    (lambda sock: None, GONE), (labs.echo, 'it is not known whether')], ids=['hangs up', 'stays'])
def test_an_app_that_listens_there_does_not_stand_for_them(pod, handler, reason):
    web = meant(pod, start=False)
    app = web.app(handler, 15099)
    start(web)
    wait_until(lambda: app.accepted > 2, 'it was asked', 20)
    status, text = web.get('/readyz')
    assert status == 503 and reason in text


@pytest.mark.parametrize('family', ['v4', 'v6'])
def test_what_the_rules_refuse_is_told(pod, family):
    """Without privileges, the sidecar reports for a minute that the rules refused something."""
    web, old = meant(pod, start=False), pod('old', sidecar=False)
    web.app()
    old.app()
    redirect(web, 'apply')
    web.start().wait_ready()
    settled(web, refused={'inbound': False, 'outbound': False})
    # Another program has disabled connection tracking, so nothing is redirected.
    web.space.nft('''table inet other {
        chain out { type filter hook output priority -400; oifname eth0 meta l4proto tcp notrack; }
        chain in { type filter hook prerouting priority -400; iifname eth0 meta l4proto tcp notrack; }
    }''')
    assert pods.fate(lambda: web.connect((getattr(old, family), 8080)), b'x') == 'refused'
    settled(web, refused={'inbound': False, 'outbound': True})
    assert re.search(r'^ +outbound TCP past the sidecar refused in the last minute$', told(web), re.M)
    assert pods.fate(lambda: old.connect((getattr(web, family), 8080)), b'x') == 'refused'
    settled(web, refused={'inbound': True, 'outbound': True})
    metrics = web.get('/metrics')[1]
    for way in 'inbound', 'outbound':
        assert f'fairlead_capture_refused{{direction="{way}"}} 1\n' in metrics
    assert len(web.sidecar.lines(msg=re.compile('rules of capture have refused'), level='warn')) == 2
    # Capture itself is intact, so the sidecar stays ready.
    assert web.get('/readyz')[0] == 200


def test_a_pod_without_ipv6(pod):
    web = meant(pod, start=False)
    web.space.inside(lambda: open('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'w', encoding='ascii').write('1'))
    web.change({'sidecar': {'inbound': '0.0.0.0:15006', 'outbound': '127.0.0.1:15001', 'admin': '0.0.0.0:15020'}})
    assert web.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', web.ini]).returncode == 0
    web.start().wait_ready()
    settled(web, expected=True, inet=True, inet6=None)


OLDER = 'the rules of capture in force are not those of the INI'
FIXED = {'service fixed': {'listen': '*:8443', 'app': '127.0.0.1:8080'}}
CHANGES = {
    'a removed exclusion': ({'redirect': {'exclude_outbound': ''}}, '[redirect] exclude_outbound'),
    'an added exclusion': ({'redirect': {'exclude_inbound': '15020, 8080'}}, '[redirect] exclude_inbound'),
    'a fixed listener': (FIXED, '[service fixed] listen'),
    'the port of a listener': ({'sidecar': {'outbound': '127.0.0.1:15011'}}, '[sidecar] outbound'),
    'mode': ({'redirect': {'mode': 'tproxy'}}, '[redirect] mode'),
}


def current(pod):
    """Returns the value of the metric, or None."""
    found = re.search(r'^fairlead_capture_current (\d)$', pod.get('/metrics')[1], re.M)
    return int(found[1]) if found else None


@pytest.mark.parametrize('change', CHANGES)
def test_rules_of_an_older_ini(pod, change):
    """If a change of the INI requires new rules, agent, readiness, status and metrics say what is missing."""
    sections, key = CHANGES[change]
    web = pod('web', {'redirect': {'exclude_outbound': '10.9.0.0/16'}})
    settled(web, rules='current')
    assert current(web) == 1
    before = {name: dict(web.sections.get(name) or {}) or None for name in sections}
    web.change(sections)
    line = web.agent.wait_line(msg=re.compile('wait for `fairlead-agent redirect apply`'))
    assert line['keys'] == key and line['level'] == 'warn'
    wait_until(lambda: web.get('/readyz')[0] == 503, 'it is noticed')
    text = web.get('/readyz')[1]
    assert OLDER in text and 'fairlead-agent redirect apply' in text
    assert capture(web)['rules'] == 'outdated' and capture(web)['inet'] is True and current(web) == 0
    assert re.search(r'^ +NOT THE RULES OF THE INI: fairlead-agent redirect apply$', told(web), re.M)
    # Once the change is reverted, everything is good again.
    web.sections.update(before)
    web.change({})
    web.wait_ready()
    settled(web, rules='current')
    assert [line['level'] for line in web.sidecar.lines(msg=re.compile('of the INI'))] == ['warn', 'info']


@pytest.mark.tsan
def test_rules_made_anew(pod):
    web = pod('web', {'redirect': {'exclude_outbound': '10.9.0.0/16'}})
    other = pod('other', sidecar=False)
    other.app()
    web.change({'redirect': {'exclude_outbound': f'{other.v4}'}})
    wait_until(lambda: OLDER in web.get('/readyz')[1], 'it is noticed')
    web.connect((other.v4, 8080)).close()  # still captured
    web.wait_connection('outbound', destination=f'{other.v4}:8080')
    redirect(web, 'apply')
    web.wait_ready()
    settled(web, rules='current', inet=True, inet6=True)
    with web.connect((other.v4, 8080)) as sock:
        sock.sendall(b'plain')
        assert sock.recv(5) == b'plain'
    # The rules belong to another INI, although ours has not changed.
    candidate = web.folder / 'other.ini'
    candidate.write_text(web.ini.read_text().replace(f'{other.v4}', '10.8.0.0/16'))
    assert web.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', candidate]).returncode == 0
    wait_until(lambda: OLDER in web.get('/readyz')[1], 'it is noticed', 20)
    redirect(web, 'apply')
    web.wait_ready()


def test_an_ini_that_means_the_same_waits_for_nothing(pod):
    web = pod('web', {'redirect': {'exclude_outbound': '10.9.0.0/16, *:53'}})
    settled(web, rules='current')
    web.change({'redirect': {'exclude_outbound': '*:53,10.9.0.0/16', 'other_protocols': 'count'},
                'limits': {'idle_timeout': '5m'}, 'outbound': {'default': 'plaintext'},
                'service late': {'port': '8081', 'mode': 'plaintext'}})
    wait_until(lambda: web.metric('fairlead_generation') == 2, 'it is in use')
    settled(web, rules='current')
    assert web.get('/readyz')[0] == 200
    assert not web.agent.lines(msg=re.compile('redirect apply')) and not web.sidecar.lines(msg=re.compile('of the INI'))


def test_rules_of_a_version_that_does_not_tell(pod):
    """Rules without a fingerprint, as older versions made them, or with one of another kind are not reported as
    wrong."""
    web = meant(pod, start=False)
    rules = web.space.root([labs.AGENT, 'redirect', 'print', '-c', web.ini])
    printed = [line for line in rules.splitlines() if '127.0.0.4' in line]
    assert len(printed) == 1
    web.space.nft(rules.replace(printed[0], ''))
    web.start().wait_ready()
    settled(web, expected=True, inet=True, inet6=True, rules=None)
    assert current(web) is None and 'NOT THE RULES' not in told(web)
    web.space.nft(re.sub(r'127\.0\.0\.4, [\d.]+', '127.0.0.5, 127.128.0.1', rules))
    web.change({'redirect': {'exclude_outbound': ''}})
    wait_until(lambda: web.metric('fairlead_generation') == 2, 'it is in use')
    settled(web, expected=True, inet=True, inet6=True, rules=None)
    assert web.get('/readyz')[0] == 200
    redirect(web, 'apply')
    settled(web, rules='current')


def test_a_loop_names_its_remedy(pod):
    """The loop goes through the listener of a fixed service that was added after the rules."""
    web, peer = pod('web', {'redirect': {'mode': 'redirect'}}, start=False), pod('peer', sidecar=False)
    web.change(FIXED)
    start(web)
    wait_until(lambda: OLDER in web.get('/readyz')[1], 'it is noticed')
    with pytest.raises(OSError):
        peer.connect((web.v4, 8443)).recv(1)
        raise ConnectionResetError
    line = web.wait_connection('inbound', reason='loop')
    assert 'fairlead-agent redirect apply' in line['remedy']
    redirect(web, 'apply')
    web.wait_ready()


@pytest.mark.heavy
def test_asking_costs_nothing_that_stays(pod):
    """Probing the rules leaves no memory, descriptors, log lines or lingering kernel sockets behind."""
    web = meant(pod, start=False)
    redirect(web, 'apply')
    web.start().wait_ready()

    def dialled():
        names, values = [line.split() for line in web.space.root(['cat', '/proc/net/snmp']).splitlines()
                         if line.startswith('Tcp:')]
        return int(values[names.index('ActiveOpens')])
    settled(web, expected=True, inet=True, inet6=True)
    fds, heap, lines, before = web.sidecar.fds(), web.sidecar.heap(), len(web.sidecar.text), dialled()
    wait_until(lambda: dialled() >= before + 6, 'it has asked three times', 30)
    assert active(web) == {'inet': 1, 'inet6': 1}
    assert web.space.root(['ss', '-Htan', 'state', 'time-wait', '( sport = :15001 or dport = :15099 )']) == ''
    assert len(web.sidecar.text) == lines
    assert web.sidecar.fds() <= fds + 2
    if not (labs.ASAN or labs.TSAN):  # sanitizers keep freed memory for a while
        assert web.sidecar.heap() <= heap + 64 * 1024
