# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL of the test's own, and pgbench to load it.

    database = Database(lab)                     a new cluster, reached by its Unix socket only
    load = Bench(lab, 'load', folder, '-c', 8)   pgbench through the socket in folder, until load.finish()
"""
import glob
import os
import pathlib
import pwd
import re
import signal

from lab import wait_until

SOCKET = '.s.PGSQL.5432'
SCALE = 8  # as many branches as clients, to avoid waiting for each other's locks


def programs():
    """Returns the newest complete PostgreSQL, or None. Debian keeps each major version in its own folder."""
    folders = sorted(glob.glob('/usr/lib/postgresql/*/bin'), key=lambda f: [int(n) for n in re.findall(r'\d+', f)])
    for folder in [*reversed(folders), *os.get_exec_path()]:
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in ('initdb', 'postgres', 'pgbench')):
            return pathlib.Path(folder)
    return None


def plain(command):
    """Returns the command without the caller's settings for PostgreSQL and languages."""
    unset = [f'--unset={name}' for name in os.environ if name.startswith('PG')]
    return ['env', *unset, 'LC_ALL=C', *command]


class Database:
    """A running database, filled for pgbench. PostgreSQL refuses root, so under root it runs as nobody."""

    def __init__(self, lab):
        self.folder = lab.folder / 'postgres'
        self.folder.mkdir()
        self.socket = self.folder / SOCKET
        user = None
        if os.getuid() == 0:
            user = pwd.getpwnam('nobody').pw_uid
            os.chown(self.folder, user, -1)
        data = self.folder / 'data'
        made = lab.program('initdb', plain([
            programs() / 'initdb', '-D', data, '-U', 'app', '-A', 'trust', '--no-sync', '--no-locale', '-E', 'UTF8',
        ]), user=user)
        assert made.wait(60) == 0, made.text
        server = lab.program('postgres', plain([
            programs() / 'postgres', '-D', data, '-k', self.folder, '-c', 'listen_addresses=', '-c', 'fsync=off',
            '-c', 'autovacuum=off',  # which would run in one phase of a test and not in another
        ]), user=user)
        wait_until(lambda: 'ready to accept connections' in server.text, lambda: server.text, 30)
        filled = lab.program('pgbench-fill', plain([
            programs() / 'pgbench', '-h', self.folder, '-U', 'app', '-i', '-q', '-s', SCALE, 'postgres']))
        assert filled.wait(60) == 0, filled.text


class Bench:
    """A running pgbench. Each transaction leaves a line in its log, whose third word is the latency in us."""

    def __init__(self, lab, name, folder, *options):
        prefix = lab.folder / f'{name}-transactions'
        self.program = lab.program(name, plain([
            programs() / 'pgbench', '-h', folder, '-U', 'app', '-n', '-P', 1, '-T', 3600, '-l',
            f'--log-prefix={prefix}', *options, 'postgres']))
        self.log = pathlib.Path(f'{prefix}.{self.program.pid}')
        wait_until(lambda: 'progress: ' in self.program.text, lambda: f'{name} does not start: {self.program.text}')

    def finish(self):
        """Ends pgbench as if its time were up, by the alarm that it sets itself. Returns its exit status and its
        report."""
        self.program.signal(signal.SIGALRM)
        return self.program.wait(30), self.program.text

    def latencies(self, begin, end):
        """Returns the latencies, in seconds, of the transactions that ended between two times (since the epoch)."""
        found = []
        for line in self.log.read_text().splitlines():
            words = line.split()
            if begin <= int(words[4]) + int(words[5]) / 1e6 < end:
                found.append(int(words[2]) / 1e6)
        return found
