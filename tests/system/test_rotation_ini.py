# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the INI, roots and processes that change while traffic continues."""
import contextlib
import datetime
import json
import os
import pathlib
import random
import re
import threading
import time

import pytest

import lab as labs
from false_sidecar import FalseSidecar
from lab import connect, wait_until
from pki import ALWAYS, CA
from reports import tool
from rotating import generations, holds, ID, pair, ping, plain, talks, Traffic, wait_generation, web
from volume import Volume, mounted, secret

# --- the INI ----------------------------------------------------------------------------------------------------

def test_a_rule_that_is_removed_takes_effect(lab, app):
    """New connections are denied with an alert. Another service of the same sidecar and its clients are not
    affected."""
    ports = {name: lab.ports.free() for name in ('other', 'to-other')}
    behind = lab.inbound(app().port, {
        'service other': {'listen': f'127.0.0.1:{ports["other"]}', 'app': f'127.0.0.1:{app().port}'},
        'allow mesh': None, 'allow app': {'from': labs.CLIENT, 'to': 'app'},
        'allow other': {'from': labs.CLIENT, 'to': 'other'}})
    front = lab.outbound(behind.port, {'upstream other': {
        'listen': f'127.0.0.1:{ports["to-other"]}', 'to': f'127.0.0.1:{ports["other"]}', 'peer': labs.SERVER}})
    assert ping(front.port)
    with Traffic(ports['to-other']):
        behind.change({'allow app': {'from': ID + 'somebody-else'}})
        wait_generation(behind, 2)
        behind.agent.wait_line(msg='INI reloaded')
        assert not ping(front.port)
        behind.wait_line(reason='policy_denied')
        front.wait_line(reason='peer_alert', alert=49)  # the alert access_denied
        behind.change({'allow app': {'from': labs.CLIENT}})
        wait_generation(behind, 3)
        assert ping(front.port)


def test_an_ini_that_is_missing(lab, app):
    """The message is about the INI, not about a Secret."""
    behind = lab.inbound(app().port)
    text = behind.ini.read_text()
    behind.ini.unlink()
    behind.agent.signal(1)
    reason = behind.agent.wait_line(msg='INI refused')['reason']
    assert 'it does not exist: does the ConfigMap have this key' in reason and 'Secret' not in reason
    behind.ini.write_text(text)


def test_mode_and_destination_change_together(lab, app):
    """An upstream gets another address and mutual TLS instead of plaintext, while the app keeps connecting. The many
    other upstreams make a reload take its time."""
    got = {'old': [], 'new': []}

    def server(key):
        def serve(sock):
            with contextlib.suppress(OSError):
                got[key].append(sock.recv(100))
        return app(serve).port

    port = lab.ports.free()
    mine = {'upstream u': {'listen': f'127.0.0.1:{port}', 'to': f'127.0.0.1:{server("old")}', 'mode': 'plaintext'}}
    workload = lab.workload(lab.client, mine)
    before = workload.ini.read_text()
    after = before.replace(mine['upstream u']['to'], f'127.0.0.1:{server("new")}').replace('= plaintext', '= mtls')
    after += ''.join(f'[upstream x{i}]\nlisten = 127.5.{i // 250}.{i % 250}:99\nto = 10.0.0.1:9\n' for i in range(2000))
    over = threading.Event()

    def app_goes_on():
        while not over.is_set():
            with contextlib.suppress(OSError), connect(port) as sock:
                sock.sendall(b'SECRET')
                sock.recv(1)

    threads = [threading.Thread(target=app_goes_on) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        for generation in range(2, 26):
            workload.ini.write_text(after if generation % 2 == 0 else before)
            wait_generation(workload, generation)
            seen = len(got['new' if generation % 2 == 0 else 'old'])
            wait_until(lambda: len(got['new' if generation % 2 == 0 else 'old']) > seen, 'no connection')
    finally:
        over.set()
        for each in threads:
            each.join()
    assert {said[:1] for said in got['new']} <= {b'', b'\x16'}, 'plaintext for the new address'
    assert {said[:1] for said in got['old']} <= {b'', b'S'}, 'mutual TLS for the old one'
    assert b'SECRET' in got['old']


def test_an_invalid_ini_is_kept_out(lab, plain):
    with Traffic(plain.port):
        good = plain.inbound.ini.read_text()
        plain.inbound.ini.write_text(good + '[polici]\n[limits]\nconnections = many\n')
        lines = wait_until(lambda: (found := plain.inbound.agent.lines(msg='INI refused'))[1:] and found, 'not refused')
        assert 'did you mean `policy`' in ' '.join(line['reason'] for line in lines)
        assert 'many' in ' '.join(line['reason'] for line in lines)
        assert all(line['file'] == str(plain.inbound.ini) and line['line'] > 0 for line in lines)
        note = plain.inbound.wait_line(msg=re.compile('the agent refused a candidate'))
        assert f'{plain.inbound.ini}:' in note['msg'] and '1 more' in note['msg']
        # New credentials wait too: INI and credentials form one candidate.
        plain.inbound.mount(lab.root.issue(labs.SERVER), lab.root.cert_pem)
        holds(lambda: generations(plain.inbound) == [1], 'half of a candidate is in use')
        plain.inbound.ini.write_text(good)
        wait_generation(plain.inbound, 2)


@pytest.mark.parametrize('line', ['x\n', '[service {}]\n'], ids=['no INI', 'services'])
def test_a_file_that_is_no_ini_costs_little(lab, plain, line):
    """Up to the size of an INI, every line of it is a problem. The agent says so in some lines, and needs less memory
    than the manifests give it."""
    agent, count = plain.inbound.agent, 1048576 // len(line.format(50000))
    if labs.ASAN or labs.TSAN:
        count //= 16  # each list that grows is copied at every step
    plain.inbound.ini.write_text(''.join(line.format(i) for i in range(count)))
    note = plain.inbound.wait_line(msg=re.compile('the agent refused a candidate'))
    assert re.search(r'and (999|1000) more', note['msg']), note
    lines = agent.lines(msg='INI refused')
    assert len(lines) == 101 and 'line' not in lines[-1], lines[-1]
    assert re.fullmatch(r'at least 90[01] more errors are not listed', lines[-1]['reason'])
    if not (labs.ASAN or labs.TSAN):
        peak = int(re.search(r'VmHWM:\s+(\d+) kB', (pathlib.Path('/proc') / str(agent.pid) / 'status').read_text())[1])
        assert peak < 32 * 1024, 'deploy/kubernetes'
    assert ping(plain.port), 'the INI in force stays'


def test_keys_that_need_a_restart_are_named(lab, plain):
    port = lab.ports.free()
    plain.inbound.change({'service app': {'listen': f'127.0.0.1:{port}'}, 'service more': {
        'listen': f'127.0.0.1:{lab.ports.free()}', 'app': '127.0.0.1:1'}, 'sidecar': {'workers': 2},
        'agent': {'sidecar_uid': 12345}, 'limits': {'idle_timeout': '7m'}})
    line = plain.inbound.wait_line(msg='some settings wait for a restart of the sidecar, the rest applies')
    keys = '[sidecar] workers, [service app] listen, [service more] listen'
    assert line['keys'] == keys
    line = plain.inbound.agent.wait_line(msg='some settings wait for a restart of the agent, the rest applies')
    assert line['keys'] == '[agent] sidecar_uid'
    wait_generation(plain.inbound, 2)
    assert ping(plain.port), 'the old listener serves on'
    plain.inbound.change({'limits': {'idle_timeout': '8m'}})
    wait_generation(plain.inbound, 3)
    assert len(plain.inbound.agent.lines(msg=re.compile('restart of the agent'))) == 1, 'said once'
    wait_until(lambda: len(plain.inbound.sidecar.lines(keys=keys)) == 2, 'once for each generation')


def test_what_waits_for_a_restart_is_not_forgotten_when_the_agent_restarts(lab, plain):
    """The sidecar says it, in log, /status, `status` and the page, because only it knows the INI that it began with."""
    side, other = plain.inbound, f'127.0.0.1:{lab.ports.free()}'

    def told():
        return json.loads(side.get('/status')[1])['restart_keys'], tool('status', '-c', side.ini)[1]
    wait_generation(side, 1)
    before, out = told()
    assert before is None and 'RESTART' not in out
    side.agent.stop()
    side.change({'sidecar': {'workers': 2}, 'limits': {'buffer': '128KiB'}, 'service gone': {'listen': other, 'app': '127.0.0.1:1'}})
    side.start_agent()
    wait_generation(side, 2)
    keys = '[sidecar] workers, [service gone] listen, [limits] buffer'
    side.wait_line(level='warn', keys=keys)
    after, out = told()
    assert after == keys and re.search(rf'^RESTART +the sidecar for {re.escape(keys)}$', out, re.M), out
    assert re.search('^ +gone: strict, its listener WAITS FOR A RESTART, 0 open of 0$', out, re.M), out
    assert 'Waits for a restart' in side.get('/')[1] and 'its listener waits for a restart' in side.get('/')[1]
    assert not side.agent.lines(msg=re.compile('restart'))
    assert ping(plain.port)
    side.change({'sidecar': {'workers': 1}, 'limits': None, 'service gone': None})
    wait_generation(side, 3)
    assert told()[0] is None, 'as at the start'


def test_limits_and_log_apply_at_once(lab, plain):
    behind = plain.inbound
    with connect(plain.port) as sock:
        assert talks(sock)
        behind.change({'limits': {'connections': 1}})
        wait_generation(behind, 2)
        assert not ping(plain.port)
        behind.wait_line(reason='connection_limit')
        behind.change({'limits': {'connections': 100}})
        wait_generation(behind, 3)
        assert ping(plain.port) and talks(sock)
    behind.change({'log': {'format': 'text'}, 'sidecar': {'drain': '5m'}})
    wait_until(lambda: re.search(r' info generation in use .*generation=4\b', behind.sidecar.text), 'JSON for ever')
    wait_until(lambda: re.search(r' info generation accepted .*generation=4\b', behind.agent.text), 'JSON for ever')
    with connect(plain.port) as sock:
        assert talks(sock)
        behind.sidecar.terminate()
        wait_until(lambda: 'at most 300000 ms' in behind.sidecar.text, 'the old drain')
        assert talks(sock)
    assert behind.sidecar.wait() == 0


def test_an_ini_in_a_volume_and_new_paths(lab, web):
    """A ConfigMap names another Secret that is not mounted yet. The INI is refused until the Secret is there."""
    config, other = Volume(lab.folder / 'config'), Volume(lab.folder / 'other')
    config.write({'fairlead.ini': web.ini.read_bytes()})
    web.ini = config / 'fairlead.ini'
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        text = config.read()['fairlead.ini'].replace(bytes(web.volume.folder), bytes(other.folder))
        config.write({'fairlead.ini': text})
        assert 'it does not exist' in sidecar.receive_note()[2]
        svid = lab.root.issue(labs.SERVER)
        other.write(secret(svid, lab.root))
        got = sidecar.next()
        assert svid.chain_pem in got.credential and got.ini == text.decode()
        assert sidecar.receive_note()[0] is False
        # The agent no longer watches the old Secret.
        web.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        other.write(secret(lab.server, lab.root))
        assert lab.server.chain_pem in sidecar.receive().credential


# --- root rollover ------------------------------------------------------------------------------------------------

def roll(pair, side, number, *content):
    """Writes a Secret for one side, and returns when it is in use."""
    {pair.inbound: pair.back, pair.outbound: pair.front}[side].write(secret(*content))
    wait_generation(side, number)


def told(side):
    """Returns the warnings in /status. The metric has the same number."""
    told = json.loads(side.get('/status')[1])['warnings']
    assert f'\nfairlead_generation_warnings {len(told)}\n' in side.get('/metrics')[1]
    return told


def warnings(pair):
    return [line['reason'] for side in pair.workloads for line in side.agent.lines(msg='credentials', level='warn')]


def test_root_rollover_in_the_safe_order(lab, pair):
    """The new root goes everywhere, then certificates of it, then the old root goes. Nothing fails, and nothing is
    warned of. An older connection has certificates of the old root and would end with it. A connection made under the
    new certificates does not, even if it resumes an older session."""
    new = CA(labs.TD, common_name='new')
    with Traffic(pair.port):
        for side, svid in ((pair.inbound, lab.server), (pair.outbound, lab.client)):
            roll(pair, side, 2, svid, lab.root, new)
        fresh = {pair.inbound: new.issue(labs.SERVER), pair.outbound: new.issue(labs.CLIENT)}
        for side, svid in fresh.items():
            roll(pair, side, 3, svid, lab.root, new)
    with Traffic(pair.port):
        for side, svid in fresh.items():
            roll(pair, side, 4, svid, new)
    assert warnings(pair) == []
    assert pair.inbound.sidecar.lines(reason='trust_lost') == []


def test_root_rollover_in_the_unsafe_order(lab, pair):
    """One side issues first or removes first: it warns of the consequence before it happens."""
    new = CA(labs.TD, common_name='new')
    roll(pair, pair.inbound, 2, new.issue(labs.SERVER), lab.root, new)
    assert any('issue from a new root only after every workload has it' in text for text in warnings(pair))
    log = pair.inbound.agent.text
    assert log.index('issue from a new root') < log.index('"generation":2'), 'the warning comes first'
    assert [text for text in told(pair.inbound) if 'issue from a new root only after' in text]
    pair.inbound.change({'limits': {'idle_timeout': '2h'}})
    wait_generation(pair.inbound, 3)
    assert len(told(pair.inbound)) == 1, 'other settings make it no better'
    assert not ping(pair.port), 'the client does not know the new root'
    roll(pair, pair.outbound, 2, lab.client, lab.root, new)
    assert ping(pair.port)
    roll(pair, pair.inbound, 4, new.issue(labs.SERVER), new)
    assert told(pair.inbound) == []
    assert not ping(pair.port), "the client's certificate is from the old root"
    roll(pair, pair.outbound, 3, lab.client, lab.root)
    roll(pair, pair.outbound, 4, new.issue(labs.CLIENT), new)
    assert any('remove a root only after every' in text for text in warnings(pair))
    assert len(told(pair.outbound)) == 2
    assert ping(pair.port)


# --- kill -9 ------------------------------------------------------------------------------------------------------

KILLS = int(os.environ.get('FAIRLEAD_KILLS', '100'))


def in_use(workload, svid):
    """Returns whether this certificate is that of the sidecar's last generation. Their notAfter tells them apart."""
    lines = workload.sidecar.lines(msg='generation in use')
    return lines and lines[-1]['not_after'] == not_after(svid)


def not_after(svid):
    """Returns notAfter as the log writes it."""
    when = getattr(svid.cert, 'not_valid_after_utc', None) or svid.cert.not_valid_after
    return when.strftime('%Y-%m-%dT%H:%M:%SZ')


@pytest.mark.heavy
def test_killed_agents_and_sidecars_come_back_with_the_right_generation(lab, pair):
    """Kills come at random moments around swaps. Killing an agent disturbs no connection. Within seconds, a restarted
    process has the current generation. A restarted agent has the mounted key alone, and handshakes that began under the one
    before need that: here the sidecar has the key."""
    side, moment = pair.inbound, threading.Event()
    side.change({'tls': {'key': 'sidecar'}})
    side.wait_line(msg='generation in use', generation=2)
    for count in range(KILLS):
        chance = random.Random(f'kill {count}')
        svid = lab.root.issue(labs.SERVER, not_after=ALWAYS + (count + 1) * datetime.timedelta(hours=1))
        kills_agent = chance.random() < 0.5
        with Traffic(pair.port) if kills_agent else contextlib.nullcontext():
            pair.back.write(secret(svid, lab.root))
            moment.wait(chance.uniform(0, 0.03))
            (side.agent if kills_agent else side.sidecar).kill()
            since = time.monotonic()
            if kills_agent:
                side.start_agent()
            else:
                side.start_sidecar()
            wait_until(lambda s=svid: in_use(side, s), f'kill {count}: not the right generation')
            assert time.monotonic() - since < 5 * labs.SLOW, f'kill {count} of {"agent" if kills_agent else "sidecar"}'
        side.wait_ready()
        assert ping(pair.port)
    numbers = [line['generation'] for line in pair.outbound.sidecar.lines(msg='generation in use')]
    assert numbers == [1], 'the other side is not concerned'
