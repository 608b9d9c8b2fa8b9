# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests CRLs: a revoked peer is refused at its next connection, on both sides and without a restart. No other peer is
affected."""
import datetime
import json
import re
import ssl
import subprocess

import pytest

import lab as labs
import peers
from false_agent import FalseAgent
from lab import connect, outcome, wait_until
from pki import CA, HOUR
from volume import mounted, secret

ID = f'spiffe://{labs.TD}/ns/test/sa/'


# --- helpers --------------------------------------------------------------------------------------

def with_crl(lab, name, svid, crl, *roots):
    """Returns sections of an INI with `crl`, and the volume."""
    sections, volume = mounted(lab, name)
    sections['identity']['crl'] = volume / 'crl.pem'
    volume.write({**secret(svid, *(roots or (lab.root,))), 'crl.pem': crl})
    return sections, volume


def generations(workload):
    return [line['generation'] for line in workload.sidecar.lines(msg='generation in use')]


def next_generation(workload, change):
    before = len(generations(workload))
    change()
    wait_until(lambda: len(generations(workload)) > before, lambda: f'{workload.name}: {generations(workload)}')


def tool(*arguments):
    """Returns exit status, stdout and stderr of fairlead-agent."""
    done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, *arguments], capture_output=True, text=True,
                          timeout=30 * labs.SLOW, check=False)
    return done.returncode, done.stdout, done.stderr


def exchange(port, context, session=None):
    """Makes one connection as our client. Returns its session and whether it was resumed."""
    with context.wrap_socket(connect(port), session=session) as tls:
        tls.sendall(b'ping')
        assert tls.recv(4) == b'ping'
        return tls.session, tls.session_reused


@pytest.fixture
def inbound(lab, app):
    sections, volume = with_crl(lab, 'back', lab.server, lab.root.crl())
    made = lab.inbound(app().port, sections)
    made.volume = volume
    return made


# --- reload ---------------------------------------------------------------------------------------

@pytest.mark.tsan
def test_a_revoked_client_is_out_at_its_next_connection(lab, inbound):
    """`keep` keeps its open connections, and other peers are not affected. A CRL that no longer lists the client admits
    it again."""
    next_generation(inbound, lambda: inbound.change({'rotation': {'on_trust_loss': 'keep'}}))
    evil, good = lab.root.issue(labs.CLIENT), lab.client
    with peers.client(inbound.port, evil, lab.root) as tls, peers.client(inbound.port, good, lab.root) as other:
        next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl([evil])))
        assert peers.verdict(inbound.port, evil, lab.root) == 44
        line = inbound.wait_line(reason='certificate_refused')
        assert line['broken_rule'] == 'certificate-revoked'
        assert f'serial number is {evil.cert.serial_number:#x}' in line['detail'].replace('0x0', '0x')
        assert peers.verdict(inbound.port, good, lab.root) == b'x'
        for sock in (tls, other):
            sock.sendall(b'ping')
            assert sock.recv(4) == b'ping'
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl(number=2)))
    assert peers.verdict(inbound.port, evil, lab.root) == b'x'


def test_a_revoked_server_is_out_at_the_next_connection(lab, app):
    svid = lab.root.issue(labs.SERVER)
    server = peers.Server(app, svid, lab.root)
    sections, volume = with_crl(lab, 'front', lab.client, lab.root.crl())
    outbound = lab.outbound(server.port, sections)
    with connect(outbound.port) as sock:
        sock.sendall(b'hello')
        assert sock.recv(5) == b'hello'
    next_generation(outbound, lambda: volume.change(crl_pem=lab.root.crl([svid])))
    assert outcome(outbound.port, b'hello') == 'reset'
    assert outbound.wait_line(reason='certificate_refused')['broken_rule'] == 'certificate-revoked'


def test_a_revoked_intermediate_takes_along_what_it_has_issued(lab, inbound):
    lower, other = lab.root.intermediate(), lab.root.intermediate()
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl([lower])))
    assert peers.verdict(inbound.port, lower.issue(labs.CLIENT), lab.root) == 44
    assert peers.verdict(inbound.port, other.issue(labs.CLIENT), lab.root) == b'x'


def test_a_ticket_does_not_get_around_a_crl(lab, inbound):
    """Any new CRL ends all resumption: a client that is not revoked needs a full handshake, and a revoked one is
    refused."""
    revoked = lab.root.issue(labs.CLIENT)
    good = peers.context(False, lab.client, lab.root)
    evil = peers.context(False, revoked, lab.root)
    sessions = {}
    for context in (good, evil):
        session, _ = exchange(inbound.port, context)
        sessions[context], reused = exchange(inbound.port, context, session)
        assert reused
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl([revoked])))
    assert not exchange(inbound.port, good, sessions[good])[1]
    with pytest.raises((ssl.SSLError, ConnectionError)) as failure:
        exchange(inbound.port, evil, sessions[evil])
    assert peers.alert_of(failure.value) in (44, None)
    assert inbound.wait_line(reason='certificate_refused')['broken_rule'] == 'certificate-revoked'


# --- which certificates a CRL covers --------------------------------------------------------------

def test_a_root_without_a_list_is_not_covered(lab, app):
    """Two roots share one name, as in a rollover. Only one of them has a CRL."""
    second = CA(labs.TD)
    first = lab.root.issue(labs.CLIENT)
    namesake = second.issue(labs.CLIENT, serial=first.cert.serial_number)
    sections, _ = with_crl(lab, 'back', lab.server, lab.root.crl([first]), lab.root, second)
    inbound = lab.inbound(app().port, sections)
    assert peers.verdict(inbound.port, first, lab.root) == 44
    assert peers.verdict(inbound.port, namesake, lab.root) == b'x'
    assert peers.verdict(inbound.port, second.issue(labs.CLIENT), lab.root) == b'x'


def test_lists_of_several_cas(lab, app):
    second = CA(labs.TD, key='ed25519')
    leaves = lab.root.issue(labs.CLIENT), second.issue(labs.CLIENT)
    lists = lab.root.crl(leaves[:1]) + second.crl(leaves[1:])
    sections, _ = with_crl(lab, 'back', lab.server, lists, lab.root, second)
    inbound = lab.inbound(app().port, sections)
    for leaf in leaves:
        assert peers.verdict(inbound.port, leaf, lab.root) == 44
    assert peers.verdict(inbound.port, second.issue(labs.CLIENT), lab.root) == b'x'


def test_a_list_of_a_peers_intermediate(lab, app):
    """No file of ours has this CA. It comes with the chains that it issued, and its CRL counts for these chains
    only."""
    lower, other, false = lab.root.intermediate(), lab.root.intermediate(), lab.root.intermediate()
    first, second = lower.issue(labs.CLIENT), lower.issue(labs.CLIENT)
    lists = lower.crl([first]) + false.crl([second], key_id=lower.key_id)
    sections, _ = with_crl(lab, 'back', lab.server, lists)
    inbound = lab.inbound(app().port, sections)
    assert peers.verdict(inbound.port, first, lab.root) == 44
    assert peers.verdict(inbound.port, second, lab.root) == b'x'
    same = other.issue(labs.CLIENT, serial=first.cert.serial_number)
    assert peers.verdict(inbound.port, same, lab.root) == b'x'


def test_lists_of_federated_domains(lab, app):
    """One file has all CRLs. Each CRL counts in its own domain only."""
    theirs = lab.other_root.trust_domain
    good, bad = (lab.other_root.issue(f'spiffe://{theirs}/ns/x/sa/y') for _ in range(2))
    ours = lab.root.issue(labs.CLIENT, serial=bad.cert.serial_number)
    sections, volume = with_crl(lab, 'back', lab.server, lab.root.crl() + lab.other_root.crl([bad]))
    bundle = lab.folder / 'theirs.crt'
    bundle.write_bytes(lab.other_root.cert_pem)
    sections[f'federate {theirs}'] = {'bundle': bundle}
    inbound = lab.inbound(app().port, sections)
    assert peers.verdict(inbound.port, bad, lab.root) == 44
    assert peers.verdict(inbound.port, good, lab.root) in (b'x', 49)
    assert inbound.wait_line(peer=f'spiffe://{theirs}/ns/x/sa/y')
    assert peers.verdict(inbound.port, ours, lab.root) == b'x'


# --- candidates that are refused --------------------------------------------------------------------

def test_a_broken_crl_changes_nothing(lab, inbound):
    """Each broken CRL is refused with its own message, while traffic continues under the previous CRL."""
    evil = lab.root.issue(labs.CLIENT)
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl([evil])))
    good, before = inbound.volume.read(), generations(inbound)
    text, second = lab.root.crl(), datetime.timedelta(seconds=1)
    cases = {
        'gone': (None, 'it does not exist'),
        'empty': (b'', 'it is empty, .*remove the key `crl`'),
        'garbage': (b'\xa5' * 300, 'no PEM block'),
        'half': (text[:200], 'block 1'),
        'the bundle': (lab.root.cert_pem, 'are `crl` and `bundle` swapped'),
        'late': (lab.root.crl(next_update=-second), 'CRL 1: its successor was due at'),
        'early': (lab.root.crl(last_update=HOUR), 'CRL 1: it is not valid before .*does one of the clocks run wrong'),
        'forged': (text + CA(labs.TD).crl(key_id=lab.root.key_id), 'CRL 2: its signature does not verify'),
        'unsaid': (CA(labs.TD).crl(key_id=None), 'its signature does not verify'),
        'own': (lab.root.crl([lab.server]), 'certificate-revoked.*certificate 1 .*peers that know of the revocation refuse it'),
    }
    for count, (name, (crl, says)) in enumerate(cases.items(), 1):
        inbound.volume.change(crl_pem=crl)
        line = wait_until(lambda n=count: inbound.agent.lines(msg='credentials refused')[n - 1:],
                          f'{name} is not refused')[0]
        assert re.search(says, line['reason']), f'{name}: {line}'
        assert line['file'] == str(inbound.volume / ('tls.crt' if name == 'own' else 'crl.pem'))
        assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
        assert peers.verdict(inbound.port, evil, lab.root) == 44
        inbound.volume.write(good)
        wait_until(lambda n=count: len(inbound.agent.lines(msg='what is mounted now is good again')) == n,
                   f'{name}: it is not over')
    assert generations(inbound) == before


# --- expired CRLs ---------------------------------------------------------------------------------

LATE = 'CRL 1: its successor was due at'


def credentials_warnings(inbound):
    return [line['reason'] for line in inbound.agent.lines(msg='credentials')]


def run_out(lab, inbound, revoked, seconds=2):
    """Puts a CRL in force, lets it expire, and returns its text."""
    crl = lab.root.crl(revoked, next_update=datetime.timedelta(seconds=seconds * labs.SLOW))
    before = len(credentials_warnings(inbound))
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=crl))
    wait_until(lambda: any(text.startswith(LATE) for text in credentials_warnings(inbound)[before:]),
               'the agent says nothing when a list runs out', timeout=30)
    return crl


def test_a_list_that_has_run_out_holds_up_no_renewal(lab, inbound):
    """The expired CRL stays in force with a warning. Our certificate can still be renewed, and the policy can still
    change."""
    evil = lab.root.issue(labs.CLIENT)
    run_out(lab, inbound, [evil])
    assert len(credentials_warnings(inbound)) == 1, 'once is enough'
    renewed = lab.root.issue(labs.SERVER)
    next_generation(inbound, lambda: inbound.volume.change(tls_crt=renewed.chain_pem, tls_key=renewed.key_pem))
    assert credentials_warnings(inbound)[-1].startswith(LATE) and 'have its CA issue a new one' in \
        credentials_warnings(inbound)[-1]
    assert [line for line in inbound.sidecar.lines(level='warn') if line['msg'].startswith(LATE)]
    with peers.client(inbound.port, lab.client, lab.root) as tls:
        assert tls.getpeercert(True) == renewed.cert_der
    next_generation(inbound, lambda: inbound.change({'limits': {'idle_timeout': '2h'}}))
    assert peers.verdict(inbound.port, evil, lab.root) == 44, 'whom it names is out still'
    assert not inbound.agent.lines(msg='credentials refused')
    told = json.loads(inbound.get('/status')[1])
    assert [text for text in told['warnings'] if text.startswith('CRL 1 of prod.example: its successor was due at')]
    assert '\nfairlead_generation_warnings 1\n' in inbound.get('/metrics')[1] and 'Warning' in inbound.get('/')[1]
    assert [c['remaining_seconds'] < 0 for c in told['certificates'] if c['kind'] == 'crl'] == [True]
    assert 'crl 1 of prod.example EXPIRED' in tool('status', '-c', inbound.ini)[1]


def test_a_list_that_goes_back_is_taken_with_a_warning(lab, inbound):
    """The older CRL is not expired, so the agent accepts it. It is probably a mistake, so the agent warns."""
    evil = lab.root.issue(labs.CLIENT)
    newer = lab.root.crl([evil], number=2, last_update=-datetime.timedelta(minutes=5))
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=newer))
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl() + newer))
    assert not credentials_warnings(inbound), 'the newer one is there still'
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl()))
    [warning] = credentials_warnings(inbound)
    assert 'CRL 1: it is of ' in warning and 'put the newer list back' in warning
    assert peers.verdict(inbound.port, evil, lab.root) == b'x'


def test_a_new_list_has_to_be_current(lab, inbound):
    """Of the expired CRLs, the agent accepts only the one in force. A current CRL replaces it."""
    evil = lab.root.issue(labs.CLIENT)
    old = run_out(lab, inbound, [evil])
    other = lab.root.crl([], number=2, next_update=-datetime.timedelta(seconds=1))
    renewed = lab.root.issue(labs.SERVER)
    for count, crl in enumerate((other, old + other), 1):
        inbound.volume.change(crl_pem=crl, tls_crt=renewed.chain_pem, tls_key=renewed.key_pem)
        line = wait_until(lambda n=count: inbound.agent.lines(msg='credentials refused')[n - 1:], 'refused')[0]
        assert f'CRL {count}: its successor was due at' in line['reason']
        assert 'only a list that is already in force may be that old: have its CA issue a new one' in line['reason']
        assert peers.verdict(inbound.port, evil, lab.root) == 44
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=old))
    assert peers.verdict(inbound.port, evil, lab.root) == 44
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl([], number=3)))
    assert peers.verdict(inbound.port, evil, lab.root) == b'x'
    before = len(credentials_warnings(inbound))
    next_generation(inbound, lambda: inbound.change({'limits': {'idle_timeout': '2h'}}))
    assert len(credentials_warnings(inbound)) == before


def test_with_nothing_in_force_a_list_has_to_be_current(lab, inbound):
    """After a restart of the sidecar or the agent, nothing confirms that an expired CRL was in force. Both say what to
    do."""
    run_out(lab, inbound, [lab.root.issue(labs.CLIENT)])
    inbound.sidecar.stop()
    inbound.start_sidecar()
    reason = wait_until(lambda: inbound.sidecar.lines(level='error'), 'the sidecar takes it')[0]['msg']
    assert LATE in reason and 'have its CA issue a new one' in reason
    status, text = inbound.get('/readyz')
    assert status == 503 and LATE in text
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl(number=2)))
    inbound.wait_ready()

    run_out(lab, inbound, [lab.root.issue(labs.CLIENT)])
    inbound.agent.stop()
    inbound.start_agent()
    assert LATE in inbound.agent.wait_line(msg='credentials refused')['reason']
    wait_until(lambda: LATE in inbound.get('/status')[1], 'the sidecar does not hear of it')
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x', 'the sidecar goes on'
    code, out, err = tool('check', '-c', inbound.ini)
    assert code == 2 and LATE in err and 'verdict      refused' in out
    next_generation(inbound, lambda: inbound.volume.change(crl_pem=lab.root.crl(number=3)))


def test_preview_knows_which_lists_are_in_force(lab, app):
    """`preview` asks the sidecar: it accepts the expired CRL that is in force there, and refuses another expired
    one."""
    sections, volume = with_crl(lab, 'back', lab.server, lab.root.crl())
    inbound = lab.inbound(app().port, labs.merge(sections, {'sidecar': {'control': lab.folder / 'control.sock'}}))
    inbound.volume = volume
    run_out(lab, inbound, [])
    assert tool('preview', '-c', inbound.ini)[0] == 0
    other = lab.folder / 'other.pem'
    other.write_bytes(lab.root.crl([], number=2, next_update=-datetime.timedelta(seconds=1)))
    code, out, err = tool('preview', '-c', inbound.ini, other)
    assert (code, out) == (2, '') and 'only a list that is already in force may be that old' in err


def test_a_sidecar_judges_lists_that_have_run_out_by_itself(lab, app):
    crl = lab.root.crl([], next_update=datetime.timedelta(seconds=2 * labs.SLOW))
    late = datetime.datetime.now().timestamp() + 2 * labs.SLOW + 1
    other = lab.root.crl([], number=2, next_update=-datetime.timedelta(seconds=1))
    inbound = lab.inbound(app().port, {'identity': {'crl': lab.folder / 'crl.pem'}}, start=False)
    with FalseAgent(inbound) as agent:
        inbound.start_sidecar()
        agent.accept()
        accepted, reason = agent.push(1, crl=other)
        assert not accepted and f'crl: {LATE}' in reason
        assert agent.push(2, crl=crl) == (True, '')
        wait_until(lambda: datetime.datetime.now().timestamp() > late, 'time stands still', timeout=30)
        assert agent.push(3, svid=lab.root.issue(labs.SERVER), crl=crl) == (True, '')
        accepted, reason = agent.push(4, crl=other)
        assert not accepted and 'only a list that is already in force may be that old' in reason


# --- required CRLs ---------------------------------------------------------------------------------

def test_a_sidecar_does_not_start_without_the_crl_that_is_asked_for(lab, app):
    """Without the required CRL, no peer is admitted."""
    sections, volume = with_crl(lab, 'back', lab.server, lab.root.crl())
    volume.change(crl_pem=None)
    inbound = lab.inbound(app().port, sections, start=False)
    inbound.start_agent()
    line = inbound.agent.wait_line(msg='credentials refused')
    assert line['file'] == str(volume / 'crl.pem') and 'it does not exist' in line['reason']


def test_a_sidecar_insists_on_the_crl_that_the_ini_names(lab, app):
    """The sidecar refuses a generation without the CRL that the INI names: it trusts rules, not senders."""
    inbound = lab.inbound(app().port, {'identity': {'crl': lab.folder / 'crl.pem'}}, start=False)
    with FalseAgent(inbound) as agent:
        inbound.start_sidecar()
        agent.accept()
        accepted, reason = agent.push(1)
        assert not accepted and reason.startswith('crl: it is empty')


def test_expiry_is_shown(inbound):
    name = 'fairlead_certificate_expiry_timestamp_seconds'
    assert f'{name}{{kind="crl",trust_domain="{labs.TD}",index="1"}} ' in inbound.get('/metrics')[1]
