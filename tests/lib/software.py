# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that know nothing of the sidecar, each in a pod. Tests talk to them with the servers' own clients.

Each function gets a pod and returns when its server is ready. It listens on all addresses of the pod, IPv4 and IPv6.
"""
import os
import pathlib
import shutil

import database
from lab import wait_until
from pods import APP_UID


SMTP = """
import asyncore, smtpd, sys
smtpd.DebuggingServer(('::', int(sys.argv[1])), None)
asyncore.loop()"""


def listening(pod, port):
    """Waits until a program listens on this port in the pod, without sending anything there."""
    def found():
        listeners = pod.space.root(['ss', '-Hltn', f'sport = :{port}'])
        return bool(listeners.strip())
    wait_until(found, f'nobody listens on port {port} of {pod.name}', 30)


def postgres(pod, port=5432):
    """Admits every user from everywhere: access control is the sidecar's job."""
    data, programs = pod.home / 'postgres', database.programs()
    pod.run(database.plain([programs / 'initdb', '-D', data, '-U', 'app', '-A', 'trust', '--no-sync', '--no-locale',
                            '-E', 'UTF8']), timeout=60)
    with open(data / 'pg_hba.conf', 'a', encoding='ascii') as hba:
        hba.write('host all all all trust\n')
    server = pod.spawn('postgres', database.plain([
        programs / 'postgres', '-D', data, '-k', pod.home, '-p', port, '-c', 'listen_addresses=*', '-c', 'fsync=off',
        '-c', 'shared_buffers=16MB']))
    wait_until(lambda: 'ready to accept connections' in server.text, lambda: server.text, 30)
    return server


def mariadb(pod, port=3306):
    data = pod.home / 'mariadb'
    data.mkdir()
    os.chown(data, APP_UID, APP_UID)
    # Without its user tables, which take seconds to create. All paths are the test's own: the machine may run another
    # instance.
    server = pod.spawn('mariadb', [
        shutil.which('mariadbd') or '/usr/sbin/mariadbd', '--no-defaults', f'--datadir={data}', '--skip-grant-tables',
        f'--port={port}', '--bind-address=*', '--skip-name-resolve', f'--socket={pod.home}/mariadb.sock',
        f'--pid-file={pod.home}/mariadb.pid', '--innodb-buffer-pool-size=8M', '--innodb-log-file-size=4M',
        '--innodb-flush-log-at-trx-commit=0', '--aria-log-file-size=8M'])
    wait_until(lambda: 'ready for connections' in server.text, lambda: server.text, 60)
    return server


def redis(pod, port=6379):
    server = pod.spawn('redis', ['redis-server', '--port', port, '--bind', '*', '-::*', '--protected-mode', 'no',
                                 '--save', '', '--dir', pod.home, '--repl-diskless-sync-delay', '0',
                                 '--shutdown-timeout', '0'])
    listening(pod, port)
    return server


def nginx(pod, port=8080, http2=8081, body='served by nginx'):
    """Speaks HTTP/1.1 with keep-alive on one port, HTTP/2 without TLS on another; /big is 8 MiB, /NAME is body."""
    www = pod.home / 'www'
    www.mkdir()
    (www / 'index.html').write_text(body)
    with open(www / 'big', 'wb') as big:
        big.truncate(8 << 20)
    config = pod.home / 'nginx.conf'
    config.write_text(f'''
daemon off; worker_processes 1; pid {pod.home}/nginx.pid; error_log {pod.home}/nginx.err;
events {{ worker_connections 4000; }}
http {{
  access_log {pod.home}/nginx.access; root {www}; default_type text/plain;
  client_body_temp_path {pod.home}/body; proxy_temp_path {pod.home}/proxy; fastcgi_temp_path {pod.home}/fastcgi;
  uwsgi_temp_path {pod.home}/uwsgi; scgi_temp_path {pod.home}/scgi;
  server {{ listen [::]:{port} ipv6only=off; add_header X-Client $remote_addr; }}
  server {{ listen [::]:{http2} ipv6only=off http2; }}
}}''')
    server = pod.spawn('nginx', ['nginx', '-p', pod.home, '-e', pod.home / 'nginx.err', '-c', config])
    listening(pod, port)
    return server


def smtp(pod, port=2525):
    """Runs Python's mail server, which sends its greeting first and prints what it receives."""
    server = pod.spawn('smtp', ['/usr/bin/python3', '-u', '-W', 'ignore', '-c', SMTP, port])
    server.expected.add(-15)
    listening(pod, port)
    return server


def iperf3(pod, port=5201):
    server = pod.spawn('iperf3', ['iperf3', '-s', '-p', port])
    server.expected |= {1, -15}  # iperf3's exit statuses after SIGTERM
    listening(pod, port)
    return server


def missing(*programs):
    """Returns which of these programs are missing."""
    found = [*programs]
    return [name for name in found if not (shutil.which(name) or pathlib.Path('/usr/sbin', name).exists())]
