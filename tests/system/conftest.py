# SPDX-License-Identifier: GPL-3.0-or-later
"""The system tests drive the real programs over real sockets. FAIRLEAD_BUILD=build-asan pytest tests/system

Marks: tsan, also runs under ThreadSanitizer; heavy, takes seconds (-m 'not heavy' skips it); slow, takes a minute;
alone, measures, so that no other test may run meanwhile (tests/run sees to that).
tests/run uses several processes (pytest-xdist), so tests share no names: ports come from the kernel, files lie in the
lab's folder, and fixed addresses exist only in namespaces.
"""
import contextlib
import fcntl
import os
import pathlib
import shutil
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'lib'))

import lab as labs  # noqa: E402
import pods  # noqa: E402
import scene as scenes  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line('markers', 'tsan: threads meet here; runs under ThreadSanitizer, too')
    config.addinivalue_line('markers', 'aarch64: depends on the processor; runs under emulation, too')
    config.addinivalue_line('markers', 'heavy: takes seconds')
    config.addinivalue_line('markers', 'slow: takes up to a minute')
    config.addinivalue_line('markers', 'alone: measures; nothing else runs meanwhile')


def pytest_collection_modifyitems(items):
    """Runs the longest tests first, so that none of them is still running when the other processes are done."""
    items.sort(key=lambda item: sum(item.get_closest_marker(mark) is None for mark in ('heavy', 'slow')))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Attaches the logs of every process to the report of a failed test."""
    report = (yield).get_result()
    lab = getattr(item, 'funcargs', {}).get('lab')
    if report.failed and lab is not None and hasattr(report.longrepr, 'addsection'):
        for name, text in lab.logs():
            report.longrepr.addsection(f'log of {name}', text)


FOLDER = 'fairlead-lab-'


@contextlib.contextmanager
def locked(folder):
    """Locks the folder for as long as this process lives."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def pytest_sessionstart():
    """Removes what killed runs have left behind."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f'{FOLDER}*'):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > 60:  # its owner may be about to lock it
                with locked(folder):
                    shutil.rmtree(folder)


@pytest.fixture
def lab():
    # Not tmp_path: other users need access to this folder, and paths of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder, locked(folder), labs.Lab(folder) as lab:
        yield lab


@pytest.fixture
def app():
    """app(handler): a server on loopback for this test."""
    apps = []

    def make(handler=labs.echo, **options):
        apps.append(labs.App(handler, **options))
        return apps[-1]
    yield make
    for each in apps:
        each.close()


@pytest.fixture(scope='session')
def no_pods():
    """Returns why pods cannot run here, or None."""
    return pods.missing()


@pytest.fixture
def node(lab, no_pods):
    """A node, on which node.pod(name) makes pods and node.service(port, pods) a VIP."""
    if no_pods:
        pytest.skip(no_pods)
    with pods.Node(lab) as node:
        yield node


@pytest.fixture
def pod(node):
    """pod("web", identity=...): a pod on the node, with sidecar and agent."""
    return node.pod


@pytest.fixture
def scene(node):
    """A pod with listeners in the sidecar's place and an app, and a pod that calls it."""
    return scenes.Scene(node)
