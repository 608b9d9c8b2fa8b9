# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the command `fairlead-agent redirect`: beside existing rules, repeatedly, and when something fails."""
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess

import pytest

import lab as labs
from lab import wait_until
from pods import SIDECAR_UID
from scene import FAMILIES, line_of, lives, teller, tproxy_dial, tproxy_listener


# --- beside existing rules --------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_live_connections_stay_as_they_are(scene, family):
    """Applying or removing rules does not reset older connections. Captured connections live as long as any of our
    rules are in force."""
    def pair():
        return (scene.dial(scene.caller, (getattr(scene.pod, family), 8080)),
                scene.dial(scene.pod, (getattr(scene.caller, family), 9000)))
    before = pair()
    assert [line_of(sock)[0] for sock in before] == ['app', 'caller']
    scene.redirect('apply')
    captured = pair()
    assert [line_of(sock)[0] for sock in captured] == ['inbound', 'outbound']
    for _ in range(3):
        scene.redirect('apply')
        assert all(lives(sock) for sock in (*before, *captured))
    rules = scene.rules()
    text = refused(scene.try_redirect('remove'), 1)
    assert re.search(r'nothing has changed: [2-9] captured connections are open', text) and '--force' in text
    assert scene.rules() == rules and all(lives(sock) for sock in (*before, *captured))
    for _ in range(2):
        scene.redirect('remove', '--force')
        assert all(lives(sock) for sock in before)
        scene.redirect('apply')
        assert all(lives(sock) for sock in before)
    for sock in (*before, *captured):
        sock.close()


def test_remove_is_refused_while_the_app_may_still_send(scene):
    """A connection that the app has closed does not prevent the removal, nor do the sidecar's own connections."""
    scene.redirect('apply')
    with scene.dial(scene.pod, (scene.caller.v4, 9000)) as sock:
        assert line_of(sock)[0] == 'outbound'
        assert '1 captured connection is open' in refused(scene.try_redirect('remove'), 1)
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: scene.try_redirect('remove').returncode == 0, 'it has closed')
    assert scene.rules() == ''


def test_remove_with_tproxy(scene):
    """The sidecar's sockets have addresses of other hosts, so without rules an app's answers to them would leave the
    pod."""
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy'}})
    scene.redirect('apply')
    to = scene.pod.v4, 8080
    with tproxy_listener(scene, 'v4') as listener, scene.dial(scene.caller, to):
        sock, peer = listener.accept()
        with sock, tproxy_dial(scene, 'v4', peer[0], to) as inner:
            assert line_of(inner)[0] == 'app'
            assert '1 captured connection is open' in refused(scene.try_redirect('remove'), 1)
            scene.redirect('remove', '--force')
    assert scene.rules() == ''


def test_output_that_cannot_be_written_has_its_own_exit_code(scene):
    """The rules are in force all the same: nobody has to guess what a second attempt would do."""
    for action in 'apply', 'print':
        done = scene.pod.space.try_run(['sh', '-c', 'exec "$0" "$@" >/dev/full', labs.AGENT, 'redirect', action, '-c', scene.ini])
        assert done.returncode == 3 and 'cannot write' in done.stderr, done.stderr
        assert scene.rules() != ''


def test_force_goes_with_remove_alone(scene):
    for action in 'apply', 'print':
        assert '--force is only for remove' in refused(scene.try_redirect(action, '--force'))


def test_again_and_again_is_fine(scene):
    for _ in range(2):
        scene.redirect('remove')
        assert scene.rules() == ''
    scene.redirect('apply')
    once = scene.rules()
    scene.redirect('apply')
    assert scene.rules() == once
    for _ in range(2):
        scene.redirect('remove')
        assert scene.rules() == ''


def test_remove_needs_no_ini(scene):
    scene.redirect('apply')
    scene.ini.write_text('[nonsense')
    assert scene.try_redirect('remove').returncode == 0
    assert scene.rules() == ''


def test_rules_of_others_are_not_touched(scene):
    """Tables of nft and of iptables have rules at the same hooks. They are not changed, and they lead no connection
    past the sidecar."""
    space = scene.pod.space
    space.nft('''
        table inet other {
            counter seen { }
            chain in { type nat hook prerouting priority dstnat; tcp dport 8080 counter name seen redirect to :8081; }
            chain out { type nat hook output priority -100; tcp dport 9000 counter name seen redirect to :8081; }
        }
        table ip fairlead {
            chain c { }
        }''')
    iptables = [name for name in ('iptables-nft', 'iptables-legacy', 'ip6tables-nft') if shutil.which(name)]
    for name in iptables:
        space.try_run([name, '-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '--dport', '9000', '-j', 'REDIRECT',
                       '--to-ports', '8081'])
    scene.pod.app(teller('elsewhere'), 8081)
    before = scene.rules()
    saved = [space.try_run([f'{name}-save']).stdout for name in iptables]
    assert (scene.inward('v4'), scene.outward('v4')) == ('elsewhere', 'elsewhere')
    for _ in range(2):
        scene.redirect('apply')
    assert (scene.inward('v4'), scene.outward('v4')) == ('captured', 'captured')
    assert (scene.inward('v6'), scene.outward('v6')) == ('captured', 'captured')
    # The other rules may translate what the sidecar dials.
    assert scene.outward('v4', uid=SIDECAR_UID) == 'elsewhere'
    scene.redirect('remove')
    without = re.compile(r'packets \d+ bytes \d+|# (?:Generated|Completed).*|\[\d+:\d+\]')
    assert without.sub('', scene.rules()) == without.sub('', before)
    assert [without.sub('', space.try_run([f'{name}-save']).stdout) for name in iptables] == \
        [without.sub('', text) for text in saved]


# --- print ------------------------------------------------------------------------------------------------

def test_print_is_what_apply_puts_in_force(scene):
    scene.write({'redirect': {'exclude_outbound': '10.0.0.0/8:443, interface:eth1', 'other_protocols': 'drop'}})
    scene.redirect('apply')
    applied = scene.rules()
    printed = scene.redirect('print')
    rules = [line for line in printed.splitlines() if line.startswith('\t\t') and not line.startswith('\t\ttype ')]
    assert len(rules) > 20 and all(re.search(r'comment "[^"]+"$', line) for line in rules)
    scene.redirect('remove')
    scene.pod.space.nft(printed)
    assert scene.rules() == applied


def test_print_tells_what_the_rules_have_seen(scene):
    assert scene.redirect('print').startswith('# now:      NOT IN FORCE')
    scene.redirect('apply')
    assert [scene.inward(family) for family in FAMILIES] == ['captured'] * 2
    assert scene.inward('v4', 8081) == 'refused'
    head = scene.redirect('print').partition('add table')[0]
    assert re.search(r'^# now:      2 inbound connections captured$', head, re.M)
    assert re.search(r'^# +1 inbound connections refused', head, re.M)
    assert all(line.startswith('#') for line in head.splitlines())


def test_print_needs_no_permission(scene):
    agent = labs.within_reach(labs.AGENT, scene.pod.lab.folder)
    scene.redirect('apply')
    done = scene.pod.try_run([agent, 'redirect', 'print', '-c', scene.ini])
    assert done.returncode == 0 and done.stdout.startswith('# now:      not known: ') and 'NET_ADMIN' in done.stdout
    assert 'redirect to :15006' in done.stdout


def test_status_tells_what_the_rules_have_seen(node, scene):
    pod = node.pod('mesh', {'sidecar': {'inbound': '', 'outbound': ''}, 'redirect': {'mode': 'redirect'},
                            'service web': {'listen': '*:8443', 'app': '127.0.0.1:8080'}}, redirect=False)

    def status(run=pod.space.try_run):
        done = run([labs.within_reach(labs.AGENT, pod.lab.folder), 'status', '-c', pod.ini])
        assert done.returncode == 0, done
        return done.stdout
    assert re.search(r'^rules +NOT IN FORCE here: fairlead-agent redirect apply$', status(), re.M)
    assert not re.search(r'^rules', status(pod.try_run), re.M), 'a line that every pod would have, and that tells nothing'
    assert pod.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', scene.ini]).returncode == 0
    assert re.search(r'^rules +in force, and nothing has been counted yet$', status(), re.M)
    assert scene.reached(scene.caller, (pod.v4, 8080)) == ('refused',)
    assert re.search(r'^rules +1 inbound connections refused', status(), re.M)
    pod.change({'redirect': None})
    assert not re.search(r'^rules', status(), re.M)


# --- failures ---------------------------------------------------------------------------------------------

def refused(done, code=2):
    """Returns its only sentence."""
    assert (done.returncode, done.stdout) == (code, ''), done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize('action', ['apply', 'remove'])
def test_without_net_admin(scene, action):
    agent = labs.within_reach(labs.AGENT, scene.pod.lab.folder)
    text = refused(scene.pod.try_run([agent, 'redirect', action, '-c', scene.ini]))
    assert 'NET_ADMIN' in text
    # The command needs nothing beyond that.
    prefix = scene.pod.prefix_of(0)
    prefix[prefix.index('--bounding-set=-all')] = '--bounding-set=-all,+net_admin'
    assert subprocess.run([*prefix, agent, 'redirect', action, '-c', scene.ini], check=False).returncode == 0


def with_nft(scene, script, action):
    """Returns the command line with this script in place of nft. None: nft does not exist."""
    stand_in = '/dev/null'
    if script is not None:
        stand_in = scene.pod.lab.folder / 'nft'
        stand_in.write_text('#!/bin/sh\n' + script)
        stand_in.chmod(0o755)
    path = os.path.realpath(shutil.which('nft', path='/usr/sbin:/sbin:/usr/bin'))
    hide = f'mount --bind {stand_in} {path} && exec "$@"'
    return [*scene.pod.space.prefix, 'unshare', '-m', 'sh', '-c', hide, 'sh', labs.AGENT, 'redirect', action,
            *([] if action == 'remove' else ['-c', scene.ini])]


def in_place_of_nft(scene, script, action):
    return subprocess.run(with_nft(scene, script, action), capture_output=True, text=True, check=False)


@pytest.mark.parametrize('action', ['apply', 'remove'])
def test_without_nft(scene, action):
    assert 'install the package nftables' in refused(in_place_of_nft(scene, None, action))
    assert scene.rules() == ''


@pytest.mark.parametrize('script, text', [
    ('echo "nft: cannot open shared object file" >&2; exit 127', 'exit 127, nft: cannot open shared object file'),
    ('exit 1', 'exit 1, without a message: reinstall the package nftables'),
    ('kill -9 $$', 'ended by signal 9'),
    ('exec cat /dev/zero', 'lists more than 4 MB'),
], ids=['unfit', 'mute', 'killed', 'endless'])
@pytest.mark.parametrize('action', ['apply', 'remove'])
def test_nft_that_fails(scene, script, text, action):
    """Rules that cannot be read do not count as missing."""
    scene.redirect('apply')
    before = scene.rules()
    assert text in refused(in_place_of_nft(scene, script, action))
    assert scene.rules() == before
    done = in_place_of_nft(scene, script, 'print')
    assert done.returncode == 0 and done.stdout.startswith('# now:      not known: nft ') and text in done.stdout


def test_nft_that_knows_no_json(scene):
    scene.redirect('apply')
    assert 'does not answer in JSON' in refused(in_place_of_nft(scene, 'echo table inet fairlead', 'remove'))
    assert scene.rules() != ''


def test_nft_gets_nothing_but_the_rules(scene):
    """nft gets no environment and no extra descriptors, and no shell is involved."""
    seen = scene.pod.lab.folder / 'seen'
    # The agent also asks nft which rules are in force.
    script = f'[ "$1" = -j ] && exec echo "{{}}"; (cat /proc/$$/environ; echo "$#: $*"; cat) >{seen}'
    assert in_place_of_nft(scene, script, 'apply').returncode == 0
    text = seen.read_text()
    assert text.startswith('2: -f -\nadd table inet fairlead\n')
    printed = scene.redirect('print')
    assert printed[printed.index('add table'):] in text


def test_nft_ends_with_the_agent(scene):
    """Otherwise nft would act later, unnoticed."""
    begun = scene.pod.lab.folder / 'begun'
    with subprocess.Popen(with_nft(scene, f'echo $$ >{begun}.new; mv {begun}.new {begun}; exec sleep 60', 'apply')) as agent:
        wait_until(begun.exists, 'nft has begun')
        agent.kill()
    wait_until(lambda: not os.path.exists(f'/proc/{begun.read_text().strip()}'), 'it is gone', 10)


def test_bad_settings_change_nothing(scene):
    scene.redirect('apply')
    before = scene.rules()
    for sections, text in [
            ({'redirect': {'exclude_inbound': 'nonsense:'}}, 'fairlead.ini:'),
            ({'sidecar': {'inbound': '', 'outbound': ''}, 'upstream u': {'listen': '127.0.0.1:7001', 'to': '10.0.0.1:1'}},
             'both empty'),
            ({'sidecar': {'outbound': '127.0.0.5:15001'}}, '127.0.0.5:15001'),
            ({'sidecar': {'inbound': '127.0.0.1:15006'}}, '127.0.0.1:15006')]:
        scene.write(sections)
        done = scene.try_redirect('apply')
        assert done.returncode == 2 and text in done.stderr and done.stdout == ''
    assert scene.rules() == before


@pytest.mark.parametrize('action', ['apply', 'remove'])
def test_rules_that_the_kernel_refuses_change_nothing(scene, action):
    """The table belongs to a live process, so the kernel lets no other process change it."""
    with subprocess.Popen([*scene.pod.space.prefix, 'nft', '-i'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          text=True) as owner:
        owner.stdin.write('add table inet fairlead { flags owner; }\nadd chain inet fairlead theirs\n')
        owner.stdin.flush()
        wait_until(lambda: 'theirs' in scene.rules(), 'the other one has its table')
        before = scene.rules()
        text = refused(scene.try_redirect(action))
        assert 'the kernel did not take the rules, and nothing has changed' in text
        assert 'Operation not permitted' in text
        assert scene.rules() == before


@pytest.mark.heavy
def test_killed_half_way_leaves_old_or_new_rules(scene):
    """kill -9 comes at any moment, while the rules change back and forth between two sets."""
    listings = []
    for value in '*:7777', '*:8888':
        scene.redirect('apply', exclude_outbound=value)
        listings.append(scene.rules())
    random.seed(1)
    killed = 0
    for i in range(60):
        scene.write({'redirect': {'exclude_outbound': ['*:7777', '*:8888'][i % 2]}})
        process = subprocess.Popen([*scene.pod.space.prefix, labs.AGENT, 'redirect', 'apply', '-c', scene.ini],
                                   stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.001, 0.04))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        assert scene.rules() in listings
    assert killed > 10
