# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium, driven over its debugging pipe: one JSON message each way, ended by a NUL.

    with Browser(folder) as browser:
        tab = browser.open('http://127.0.0.1:15020/', width=320, dark=True)
        tab.run('document.title')
"""
import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

from lab import SLOW, wait_until

CHROMIUM = shutil.which('chromium')
OPTIONS = ['--headless=new', '--remote-debugging-pipe', '--no-first-run', '--no-default-browser-check', '--disable-gpu',
           '--disable-dev-shm-usage', '--disable-extensions', '--disable-background-networking', '--disable-sync',
           '--disable-component-update', '--hide-scrollbars', '--force-color-profile=srgb']


class Browser:
    def __init__(self, folder, env=None):
        self.folder, self.env = folder, {**os.environ, 'HOME': str(folder), **(env or {})}
        folder.mkdir(exist_ok=True)
        self.numbers, self.answers, self.tabs, self.buffer = itertools.count(1), {}, {}, b''

    def __enter__(self):
        theirs_in, self.to = os.pipe()
        self.back, theirs_out = os.pipe()
        sandbox = ['--no-sandbox'] if os.getuid() == 0 else []  # Chromium's own refuses root
        self.process = subprocess.Popen(
            ['bash', '-c', f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', 'bash', CHROMIUM, *OPTIONS, *sandbox,
             f'--user-data-dir={self.folder / "profile"}', 'about:blank'],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(self.folder / 'chromium.log').open('wb'), env=self.env)
        os.close(theirs_in)
        os.close(theirs_out)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, AssertionError):
            self.ask('Browser.close')
        try:
            self.process.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.back)

    def ask(self, method, session=None, **parameters):
        """Returns the result of a command."""
        number = next(self.numbers)
        message = {'id': number, 'method': method, 'params': parameters, **({'sessionId': session} if session else {})}
        os.write(self.to, json.dumps(message).encode() + b'\0')
        deadline = time.monotonic() + 30 * SLOW
        while number not in self.answers:
            assert time.monotonic() < deadline, f'Chromium does not answer {method}'
            self.take(deadline - time.monotonic())
        answer = self.answers.pop(number)
        assert 'error' not in answer, f'{method}: {answer}'
        return answer['result']

    def take(self, seconds):
        """Reads what has arrived, within that time."""
        if not select.select([self.back], [], [], max(seconds, 0))[0]:
            return
        chunk = os.read(self.back, 1 << 20)
        assert chunk, f'Chromium has ended: {(self.folder / "chromium.log").read_text(errors="replace")[-2000:]}'
        *messages, self.buffer = (self.buffer + chunk).split(b'\0')
        for text in messages:
            message = json.loads(text)
            if 'id' in message:
                self.answers[message['id']] = message
            elif message.get('sessionId') in self.tabs:
                self.tabs[message['sessionId']].told(message['method'], message['params'])

    def open(self, url, **options):
        return Tab(self, url, **options)


class Tab:
    def __init__(self, browser, url, *, width=1280, height=900, dark=False, script=True):
        self.browser, self.complaints, self.requests = browser, [], []
        target = browser.ask('Target.createTarget', url='about:blank')['targetId']
        self.session = browser.ask('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        browser.tabs[self.session] = self
        for each in ('Page.enable', 'Runtime.enable', 'Log.enable', 'Network.enable'):
            self.ask(each)
        if not script:
            self.ask('Emulation.setScriptExecutionDisabled', value=True)
        self.look(width, height, dark)
        self.ask('Page.navigate', url=url)
        self.wait('document.readyState === "complete" && document.querySelector("footer") !== null')

    def ask(self, method, **parameters):
        return self.browser.ask(method, self.session, **parameters)

    def told(self, method, parameters):
        """Keeps what the browser complains about (the console, violations of the policy), and what it loads."""
        if method == 'Log.entryAdded':
            self.complaints.append(parameters['entry']['text'])
        elif method == 'Runtime.consoleAPICalled':
            self.complaints.append(str(parameters['args']))
        elif method == 'Runtime.exceptionThrown':
            self.complaints.append(str(parameters['exceptionDetails']))
        elif method == 'Network.requestWillBeSent':
            self.requests.append(parameters['request']['url'])

    def look(self, width, height=900, dark=False):
        self.ask('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask('Emulation.setEmulatedMedia',
                 features=[{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])

    def run(self, expression):
        """Returns the value of an expression, or what its promise becomes."""
        answer = self.ask('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')

    def wait(self, expression, timeout=20):
        def value():
            with contextlib.suppress(AssertionError):  # while another document is being loaded
                return self.run(expression)
        return wait_until(value, lambda: f'{expression}; the page says:\n{self.run("document.body.innerText")}', timeout)

    def press(self, key):
        for kind in ('keyDown', 'keyUp'):
            self.ask('Input.dispatchKeyEvent', type=kind, key=key, code=key,
                     windowsVirtualKeyCode={'Tab': 9, 'Enter': 13, 'Escape': 27, 'ArrowLeft': 37, 'ArrowRight': 39}[key],
                     **({'text': '\r'} if key == 'Enter' and kind == 'keyDown' else {}))

    def picture(self, path, whole=False):
        """Writes a PNG of the window, or of the whole page."""
        clip = {}
        if whole:
            size = self.ask('Page.getLayoutMetrics')['cssContentSize']
            clip = {'captureBeyondViewport': True,
                    'clip': {'x': 0, 'y': 0, 'width': size['width'], 'height': size['height'], 'scale': 1}}
        data = self.ask('Page.captureScreenshot', format='png', **clip)['data']
        path.write_bytes(base64.b64decode(data))
