# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the picture of the page that the README shows: an hour of a small mesh, in a minute, because the clock of the
sidecar that is shown runs sixty times as fast. It looks best with the packages fonts-inter and pngquant.

    FAIRLEAD_PICTURE=$PWD/sidecar/report/page.png pytest tests/system/test_page_picture.py
"""
import datetime
import os
import pathlib
import shutil
import subprocess
import threading

import lab as labs
import pytest
from browser import CHROMIUM, Browser
from lab import outcome

PICTURE = os.environ.get('FAIRLEAD_PICTURE')
FAST, SECONDS = 60, 62  # an hour and two minutes
NS = f'spiffe://{labs.TD}/ns/shop/sa'
WAVE = [.35, .4, .5, .55, .7, .9, 1, .95, .8, .75, .9, 1, .7, .45, .4, .5]  # how busy the callers are
INTER = '''<match><test name="family"><string>{}</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>'''
FONTS = '''<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include>{}</fontconfig>'''.format(
    ''.join(map(INTER.format, ('system-ui', 'sans', 'sans-serif'))))

pytestmark = pytest.mark.skipif(not (PICTURE and CHROMIUM),
                                reason='takes a minute, and a browser: set FAIRLEAD_PICTURE to the file to write')


class Load:
    """Connections through a sidecar, one after another, more of them when the wave is high."""

    def __init__(self, port, size, pause):
        self.port, self.size, self.pause, self.over = port, size, pause, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        count = 0
        while not self.over.wait(self.pause / WAVE[count // 12 % len(WAVE)]):
            count += 1
            with labs.connect(self.port) as sock:
                sock.sendall(bytes(self.size))
                sock.shutdown(labs.socket.SHUT_WR)
                labs.read_all(sock)

    def stop(self):
        self.over.set()
        self.thread.join()


def answer(factor):
    """An app that answers with that many times what it gets."""
    def handler(sock):
        sock.sendall(bytes(int(len(labs.read_all(sock)) * factor)))
    return handler


def test_make_the_picture(lab, app):
    def issue(name, space='shop', **options):
        return lab.root.issue(f'spiffe://{labs.TD}/ns/{space}/sa/{name}', **options)
    day = {'not_before': datetime.timedelta(hours=-7), 'not_after': datetime.timedelta(hours=17)}
    servers = {name: lab.inbound(app(answer(3)).port, svid=issue(name), allow=f'{NS}/orders', name=name)
               for name in ('payments', 'stock')}
    to = {**{name: server.port for name, server in servers.items()}, 'mail': 9}
    ports = {name: lab.ports.free() for name in ('web', *to)}
    orders = lab.workload(issue('orders', **day), {
        'service web': {'listen': f'127.0.0.1:{ports["web"]}', 'app': f'127.0.0.1:{app(answer(8)).port}'},
        'deny quarantine': {'from': f'spiffe://{labs.TD}/ns/quarantine/**'},
        'allow shop': {'from': f'{NS}/*', 'to': 'web'}, 'limits': {'idle_timeout': 0},
        **{f'upstream {name}': {'listen': f'127.0.0.1:{ports[name]}', 'peer': f'{NS}/{name}', 'to': f'127.0.0.1:{port}'}
           for name, port in to.items()}}, name='orders', start=False)
    library = next(pathlib.Path('/usr/lib').glob('*/faketime/libfaketimeMT.so.1'))
    fast = ['env', f'LD_PRELOAD={library}', f'FAKETIME=+0 x{FAST}']
    orders.agent = lab.program('orders-agent', [*fast, labs.AGENT, 'run', '-c', orders.ini])
    orders.start_sidecar(fast).wait_ready()
    callers = {name: lab.outbound(ports['web'], svid=issue(name, space), peer=f'{NS}/orders', name=name).port
               for name, space in (('front', 'shop'), ('mobile', 'shop'), ('reports', 'staging'), ('crawler', 'quarantine'))}
    loads = [Load(*each) for each in (
        (callers['front'], 30_000, .05), (callers['mobile'], 9_000, .09), (ports['payments'], 2_000, .1),
        (ports['stock'], 60_000, .07))]
    kept = [labs.connect(port) for port in [callers['front']] * 4 + [callers['mobile']] * 3 + [ports['stock']] * 2]
    tick = threading.Event()
    for second in range(SECONDS):
        if second == 40:
            orders.mount(issue('orders', **day))
        for name, port, seconds in (('reports', callers['reports'], (22, 23, 51)), ('crawler', callers['crawler'], (23, 57)),
                                    ('mail', ports['mail'], (30, 31, 32, 33, 57, 61))):
            if second in seconds:
                outcome(port, b'x')
        tick.wait(1)
    (lab.folder / 'fonts.conf').write_text(FONTS, encoding='utf-8')
    made = lab.folder / 'page.png'
    with Browser(lab.folder / 'browser', {'FONTCONFIG_FILE': str(lab.folder / 'fonts.conf')}) as browser:
        tab = browser.open(f'http://127.0.0.1:{orders.admin}/', width=1120)
        bottom = tab.run('document.getElementById("sections").parentElement.getBoundingClientRect().bottom')
        tab.look(1120, int(bottom) + 16)
        tab.picture(made)
    for load in loads:
        load.stop()
    for sock in kept:
        sock.close()
    if shutil.which('pngquant'):
        subprocess.run(['pngquant', '--force', '--strip', '--ext', '.png', made], check=True, timeout=60)
    shutil.copy(made, PICTURE)
