# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the page in a real browser, with real traffic: what it shows, how it keeps itself up to date, and that it can be
read with a keyboard, in a narrow window, in the dark, and without a script."""
import time

import lab as labs
import pytest
from browser import CHROMIUM, Browser
from lab import outcome, wait_until
from peers import verdict

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason='there is no browser (package chromium)'),
              pytest.mark.xdist_group('browser')]

LONG = f'spiffe://{labs.TD}/ns/name-space-of-a-team/sa/a-service-with-a-long-name'
QUARANTINED = f'spiffe://{labs.TD}/ns/quarantine/sa/reports'
ASK = 'document.dispatchEvent(new Event("visibilitychange"))'  # the page asks at once when it becomes visible

# The texts whose contrast with what is behind them is below 4.5 (WCAG 2.1, success criterion 1.4.3).
FAINT = '''(() => {
    const parse = (c) => { const [r, g, b, a = 1] = c.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
    const light = ({ r, g, b }) => [r, g, b].map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a) return c; }
        throw Error('no ground'); };
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const e = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || !e.checkVisibility() || e.closest('script,svg')) continue;
        const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
        if ((a + .05) / (b + .05) < 4.5) found.push(walk.currentNode.data.trim());
    }
    return found;
})()'''

# Pieces of SPIFFE IDs that stand on more than one line.
BROKEN = '''(() => {
    const found = [];
    for (const id of document.querySelectorAll('.id')) {
        const walk = document.createTreeWalker(id, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            const range = document.createRange();
            range.selectNodeContents(walk.currentNode);
            if (new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size > 1) found.push(walk.currentNode.data);
        }
    }
    return found;
})()'''


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp('browser')) as running:
        yield running


@pytest.fixture
def pair(lab, app):
    """Two sidecars with traffic, and callers that were refused: by the default, by a rule, for want of TLS, and for a
    certificate of another CA."""
    pair = lab.pair(app().port, inbound={
        'deny quarantine': {'from': f'spiffe://{labs.TD}/ns/quarantine/**'}, 'allow mesh': {'from': labs.CLIENT}})
    for caller in (LONG, QUARANTINED):
        refused = lab.outbound(pair.inbound.port, svid=lab.root.issue(caller))
        assert [outcome(refused.port, b'x') for _ in range(2)] == ['reset', 'reset']
    outcome(pair.inbound.port, b'GET / HTTP/1.1\r\n\r\n')
    verdict(pair.inbound.port, lab.other_root.issue(labs.CLIENT))
    ask(pair)
    return pair


def ask(pair):
    """Sends and receives 100 KB."""
    with pair.connect() as sock:
        sock.sendall(bytes(100_000))
        sock.shutdown(labs.socket.SHUT_WR)
        assert len(labs.read_all(sock)) == 100_000
    wait_until(lambda: pair.inbound.metric('fairlead_connections_open') == 0, 'it has ended')


def url(workload):
    return f'http://127.0.0.1:{workload.admin}/'


def test_what_it_shows(browser, pair):
    tab = browser.open(url(pair.inbound))
    text = tab.run('document.body.innerText')
    for part in (labs.SERVER, 'Ready', 'Throughput', 'Who talks to whom', LONG, 'rule default', 'not_tls', 'certificate_refused', '97.7 KiB',
                 'rule quarantine (fairlead.ini:'):
        assert part in text.replace('\n/', '/'), part
    # Refused by the default: the rule that would admit it, ready for the INI.
    remedy = tab.run('document.querySelector(".denials pre").textContent')
    assert remedy.startswith('[allow ') and f'from = {LONG}\n' in remedy
    pair.inbound.change({remedy.split(']')[0][1:]: dict(line.split(' = ') for line in remedy.splitlines()[1:])})
    wait_until(lambda: pair.inbound.metric('fairlead_generation') == 2, 'a second generation')
    # The charts: what was carried just now is in the last columns.
    bytes_now, opened, refused = (
        tab.run(f'document.getElementById("plot-{name}").dataset.steps').split('|') for name in ('bytes', 'opened', 'refused'))
    assert len(bytes_now) == len(opened) == len(refused) == 240
    for steps in (bytes_now, opened, refused):
        assert set(steps[:200]) == {','} != set(steps)
    assert tab.run('document.querySelectorAll("path.one, path.two").length') == 6
    tab.run(ASK)
    assert tab.wait('[...document.querySelectorAll(".tiles div")].some((e) => e.innerText.startsWith("Generation\\n2"))')
    pair.inbound.change({'allow nobody': {'from': 'nonsense'}})
    tab.wait('document.body.innerText.includes("refused by the agent: ")')
    rotations = tab.run('document.querySelector("[aria-label=\'Last rotations\']").innerText')
    assert [line.split('\t')[1].split(';')[0].split(':')[0] for line in rotations.splitlines()[1:]] == [
        'refused by the agent', 'generation 2 in use', 'generation 1 in use']
    assert not tab.complaints, tab.complaints
    assert set(tab.requests) == {url(pair.inbound)}, 'nothing is loaded from elsewhere'


def test_an_upstream_that_fails(browser, pair):
    """It comes first, with reason and address, and works again afterwards."""
    section = '[...document.querySelectorAll("section[aria-labelledby=sections] tbody tr")].map((e) => e.innerText)[0]'
    tab = browser.open(url(pair.outbound))
    assert 'works' in tab.run(section) and labs.SERVER in tab.run(section).replace('\n/', '/')
    pair.inbound.sidecar.kill()
    outcome(pair.port, b'x')
    tab.run(ASK)
    tab.wait(f'{section}.includes("fails")')
    assert f'peer_refused at 127.0.0.1:{pair.inbound.port}' in tab.run(section)
    pair.inbound.start_sidecar().wait_ready()
    ask(pair)
    tab.run(ASK)
    tab.wait(f'{section}.includes("works") && {section}.includes("last failure: peer_refused")')


def test_it_keeps_itself_up_to_date(browser, pair):
    """Neither the document nor the focus, the selection or the scrolling changes; only what differs does."""
    tab = browser.open(url(pair.inbound), height=700)
    tab.run('''(() => { window.mark = 'the same'; window.shifts = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.shifts += e.value; }))
            .observe({ type: 'layout-shift', buffered: false });
        document.querySelector('footer a').focus({ preventScroll: true });
        getSelection().selectAllChildren(document.querySelector('h1'));
        scrollTo(0, 300); window.node = document.querySelector('#plot-bytes path'); })()''')
    opened = 'document.querySelector("#plot-opened").closest("figure").querySelector(".key small").textContent'
    before = int(tab.run(opened))
    begun = time.monotonic()
    ask(pair)
    tab.wait(f'{opened} === "{before + 1}"')
    assert time.monotonic() - begun < 8 * labs.SLOW
    ask(pair)
    tab.run(ASK)
    tab.wait(f'{opened} === "{before + 2}"')
    assert tab.run('window.mark') == 'the same'
    assert tab.run('document.activeElement.textContent') == '/status'
    assert tab.run('getSelection().toString()').replace('\n', '') == labs.SERVER
    assert tab.run('scrollY') == 300
    assert tab.run('window.node === document.querySelector("#plot-bytes path")'), 'what stays is not replaced'
    assert tab.run('window.shifts') < 0.01
    assert not tab.complaints, tab.complaints


def test_a_restart_of_the_sidecar(browser, pair):
    web = pair.inbound
    tab = browser.open(url(web))
    tab.run('window.mark = "the same"')
    web.sidecar.kill()
    tab.run(ASK)
    tab.wait('!document.getElementById("lost").hidden')
    assert tab.run('document.getElementById("lost").innerText').startswith('Unreachable since ')
    assert labs.SERVER in tab.run('document.querySelector("h1").innerText').replace('\n', ''), 'what was shown stays'
    web.start_sidecar().wait_ready()
    tab.wait('document.getElementById("lost").hidden')  # by itself
    assert tab.run('document.querySelector(".tiles dd").innerText') == '0'
    assert tab.run('window.mark') == 'the same'


@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
def test_it_can_be_read(browser, pair, dark):
    tab = browser.open(url(pair.inbound), dark=dark)
    ground = tab.run('getComputedStyle(document.body).backgroundColor')
    assert ground == ('rgb(15, 18, 21)' if dark else 'rgb(247, 247, 245)')
    assert tab.run(FAINT) == []
    for width in (320, 360, 768, 1280, 1920):
        tab.look(width, dark=dark)
        assert tab.run('document.scrollingElement.scrollWidth') <= width, 'it does not scroll sideways'
        assert tab.run(BROKEN) == [], 'a SPIFFE ID breaks at a slash only'


def test_its_structure(browser, pair):
    """Landmarks, one first heading, named sections and figures, tables with headers: what a screen reader needs."""
    tab = browser.open(url(pair.inbound))
    for landmark in ('header', 'main', 'footer', 'h1'):
        assert tab.run(f'document.querySelectorAll("{landmark}").length') == 1, landmark
    assert tab.run('document.documentElement.lang') == 'en' and 'Fairlead' in tab.run('document.title')
    assert tab.run('[...document.querySelectorAll("section")].every((e) => document.getElementById('
                   'e.getAttribute("aria-labelledby")).textContent)')
    assert tab.run('[...document.querySelectorAll("[id]")].length === new Set([...document.querySelectorAll("[id]")]'
                   '.map((e) => e.id)).size')
    assert tab.run('[...document.querySelectorAll("table")].every((e) => e.querySelector("th[scope]") && '
                   'e.parentElement.getAttribute("aria-label"))')
    assert tab.run('[...document.querySelectorAll("svg")].every((e) => e.ariaHidden === "true")')
    assert 'to the app' in tab.run('document.querySelector("[role=img]").ariaLabel')


def test_the_keyboard(browser, pair):
    tab = browser.open(url(pair.inbound))
    reached = []
    for _ in range(12):
        tab.press('Tab')
        reached.append(tab.run('document.activeElement.id || document.activeElement.textContent.slice(0, 20)'))
        assert tab.run('getComputedStyle(document.activeElement).outlineStyle') == 'solid', 'the focus is seen'
        if reached[-1] == 'plot-bytes':
            break
    assert reached[0].startswith('Skip') and reached[1] == 'pause' and reached[-1] == 'plot-bytes'
    said = 'document.activeElement.parentElement.querySelector(".said").textContent'
    tab.press('ArrowLeft')
    assert tab.run(said).startswith('now: ')
    tab.press('ArrowLeft')
    assert tab.run(said).startswith('0m 15s ago: ')
    tab.run(ASK)  # which keeps it
    tab.wait(f'{said}.startsWith("0m 15s ago: ")')
    tab.press('Escape')
    assert tab.run(said) == ''
    tab.run('document.getElementById("pause").focus()')
    tab.press('Enter')
    assert tab.run('document.activeElement.textContent') == 'Resume'
    count = len(tab.requests)
    tab.run(ASK)
    tab.run('new Promise((done) => setTimeout(done, 300))')
    assert len(tab.requests) == count, 'it does not ask while it is paused'
    tab.press('Enter')
    assert tab.run('document.activeElement.textContent') == 'Pause'
    wait_until(lambda: tab.run('1') and len(tab.requests) > count, 'it asks again')


def test_without_a_script(browser, pair):
    """All of it is there, and the browser reloads it."""
    tab = browser.open(url(pair.inbound), script=False)
    assert 'Throughput' in tab.run('document.body.innerText') and tab.run('document.getElementById("pause").hidden')
    wait_until(lambda: tab.run('1') and tab.requests.count(url(pair.inbound)) > 1, 'it is not loaded again', 15)


def test_nothing_else_runs(browser, pair):
    """What would get into the page in spite of all escaping is not run, and loads nothing."""
    tab = browser.open(url(pair.inbound))
    tab.run('''(() => {
        const script = document.createElement('script'), style = document.createElement('style'), image = new Image();
        script.textContent = 'window.evil = true';
        style.textContent = 'body { display: none }';
        image.src = '/status';
        document.body.append(script, style, image);
        document.body.insertAdjacentHTML('beforeend', '<i style="display: none" onclick="1">x</i>');
    })()''')
    assert tab.run('window.evil') is None and tab.run('getComputedStyle(document.body).display') == 'block'
    assert tab.run('getComputedStyle(document.body.lastElementChild).display') == 'inline'
    wait_until(lambda: tab.run('1') and len(tab.complaints) >= 4, lambda: f'{tab.complaints}')
    assert all('Content Security Policy' in each for each in tab.complaints)
