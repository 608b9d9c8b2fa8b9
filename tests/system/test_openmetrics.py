# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the metrics as OpenMetrics 1.0, which a client gets if it asks for them: the strict parser of Prometheus'
Python client accepts them, and they say the same as the text format."""
import re
import urllib.request

import lab as labs
import pytest
from lab import outcome

parser = pytest.importorskip('prometheus_client.openmetrics.parser',
                             reason='the client library is missing (package python3-prometheus-client)')

OPEN = 'application/openmetrics-text;version=1.0.0'
CHANGES = {'process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_open_fds'}


def get(workload, accept):
    """Returns (type, text) of the metrics."""
    request = urllib.request.Request(f'http://127.0.0.1:{workload.admin}/metrics', headers={'Accept': accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers['Content-Type'], answer.read().decode()


@pytest.fixture
def busy(lab, app):
    """A sidecar with an identity, a CRL, a denial, failed and resumed handshakes, and an open connection."""
    crl = lab.folder / 'list.crl'
    crl.write_bytes(lab.root.crl())
    pair = lab.pair(app().port, inbound={'identity': {'crl': crl}, 'deny late': {'from': f'spiffe://{labs.TD}/none'}})
    outcome(pair.inbound.port, b'GET / HTTP/1.1\r\n\r\n')
    with pair.connect() as first:
        first.sendall(b'x')
        assert first.recv(1) == b'x'
    with pair.connect() as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        yield pair.inbound


def test_both_formats_say_the_same(busy):
    kind, text = get(busy, OPEN)
    assert kind == 'application/openmetrics-text; version=1.0.0; charset=utf-8'
    assert text.endswith('\n# EOF\n')
    families = {each.name: each for each in parser.text_string_to_metric_families(text)}
    assert families['fairlead_connections_opened'].type == 'counter'
    assert families['fairlead_build'].type == families['fairlead_identity'].type == 'info'
    assert families['fairlead_handshake_duration_seconds'].type == 'histogram'
    units = {name: each.unit for name, each in families.items()}
    assert (units['fairlead_bytes'], units['process_cpu_seconds'], units['fairlead_peers']) == ('bytes', 'seconds', '')
    kind, plain = get(busy, '*/*')
    assert kind == 'text/plain; version=0.0.4; charset=utf-8'
    as_text = {}
    for line in plain.splitlines():
        if not line.startswith('#'):
            name, value = line.rsplit(' ', 1)
            as_text[name] = float(value)
    as_open = {}
    for line in text.splitlines():
        if not line.startswith('#'):
            name, value = line.rsplit(' ', 1)
            as_open[re.sub(r'le="(\d+)\.0"', r'le="\1"', name)] = float(value)
    assert as_open.keys() == as_text.keys() and len(as_open) > 100
    assert {name for name in as_open if as_open[name] != as_text[name]} <= CHANGES


def test_each_help_stands_alone(busy):
    """A reader sees one HELP at a time, in a tool that sorts them by name."""
    for family in parser.text_string_to_metric_families(get(busy, OPEN)[1]):
        words = family.documentation
        assert len(words) > 20 and words[0].isupper() | words[0].isdigit() and words.endswith('.'), family.name
        assert not re.search(r'\b[Oo]f those|those connections|[Tt]he same', words), f'{family.name}: {words}'


@pytest.mark.parametrize('accept', ['', 'text/plain', 'text/html,*/*;q=0.8', f'{OPEN};q=0.2,text/plain;q=0.9',
                                    'application/openmetrics-text;version=9'])
def test_others_get_the_text_format(busy, accept):
    kind, text = get(busy, accept)
    assert kind.startswith('text/plain; version=0.0.4') and '# EOF' not in text and '# UNIT' not in text
