# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS for Services: A records of SERVICE.NAMESPACE.svc.cluster.local. An answer that is older than a second is given once more, and the
API is asked again meanwhile: on a busy machine that takes seconds."""
import json
import socket
import struct
import subprocess
import threading
import time

SUFFIX = '.svc.cluster.local'
ADDRESS, TTL = 1, 5
known = {}  # name -> (when it was asked, its addresses)


def addresses(name):
    """Returns the addresses of a Service, those of its ready pods if it is headless; None if there is no such name."""
    service, _, namespace = name.removesuffix(SUFFIX).partition('.')
    if not name.endswith(SUFFIX) or not service or not namespace or '.' in namespace:
        return None
    if name not in known:
        refresh(name, service, namespace)
    elif known[name][0] < time.monotonic() - 1:
        known[name] = time.monotonic(), known[name][1]  # so that it is asked once
        threading.Thread(target=refresh, args=(name, service, namespace), daemon=True).start()
    return known[name][1]


def refresh(name, service, namespace):
    """Keeps what was known if the API does not answer."""
    try:
        known[name] = time.monotonic(), ask(service, namespace)
    except (OSError, ValueError):
        known.setdefault(name, (time.monotonic(), None))


def ask(service, namespace):
    def get(kind):
        done = subprocess.run(['kubectl', '-n', namespace, 'get', kind, service, '-o', 'json'], capture_output=True, text=True, check=False)
        if done.returncode and 'NotFound' not in done.stderr:
            raise ValueError(done.stderr)
        return json.loads(done.stdout) if done.returncode == 0 else None
    found = get('service')
    if not found:
        return None
    if found['spec'].get('clusterIP') != 'None':
        return [found['spec']['clusterIP']]
    return [each['ip'] for subset in (get('endpoints') or {}).get('subsets', []) for each in subset.get('addresses', [])]


def question(packet):
    """Returns (name, type, end of the question)."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode('ascii', 'replace'))
        at += 1 + packet[at]
    return '.'.join(labels).lower(), struct.unpack_from('!H', packet, at + 1)[0], at + 5


def answer(packet):
    name, kind, end = question(packet)
    found = addresses(name)
    records = [socket.inet_aton(each) for each in found or []] if kind == ADDRESS else []
    flags = 0x8580 | (3 if found is None else 0)  # an answer with authority, and NXDOMAIN where there is no such name
    head = packet[:2] + struct.pack('!5H', flags, 1, len(records), 0, 0) + packet[12:end]
    return head + b''.join(b'\xc0\x0c' + struct.pack('!2HIH', ADDRESS, 1, TTL, 4) + each for each in records)


def serve(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, 53))
        while True:
            packet, client = server.recvfrom(4096)
            try:
                server.sendto(answer(packet), client)
            except (IndexError, struct.error):
                pass  # not a question
