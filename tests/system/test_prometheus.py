# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what monitoring gets: identity and process metrics, rules and dashboard checked by promtool, and a real
Prometheus."""
import datetime
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml

import lab as labs
from lab import outcome, wait_until
from test_status import EXPIRY, metric, metrics

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'deploy/prometheus'
RULES, RULES_TEST = FOLDER / 'fairlead.rules.yaml', FOLDER / 'fairlead.rules.test.yaml'
NOT_BEFORE = 'fairlead_certificate_not_before_timestamp_seconds'
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')

needs_prometheus = pytest.mark.skipif(not (shutil.which('prometheus') and shutil.which('promtool')),
                                      reason='Prometheus is missing (package prometheus)')


# --- metrics --------------------------------------------------------------------------------------

def labels_of(workload, name):
    return [dict(key[1:]) for key in metrics(workload) if key[0] == name]


def test_identity_follows_the_certificate(lab):
    first = lab.root.issue(labs.SERVER, serial=0x4fa3)
    web = lab.inbound(8080, svid=first)
    known = {'id': labs.SERVER, 'trust_domain': labs.TD}
    [told] = labels_of(web, 'fairlead_identity_info')
    assert told == {**known, 'serial': '0x4fa3', 'issuer': told['issuer']} and told['issuer'].startswith('CN=')
    assert metric(web, 'fairlead_identity_info') == 1
    web.mount(lab.root.issue(labs.SERVER, serial=0x12345678))
    wait_until(lambda: metric(web, 'fairlead_generation') == 2, 'no second generation')
    assert labels_of(web, 'fairlead_identity_info') == [{**told, 'serial': '0x12345678'}]


def test_each_certificate_has_a_begin_and_an_end(lab):
    svid = lab.root.issue(labs.SERVER)
    web = lab.inbound(8080, {'identity': {'crl': lab.folder / 'list.crl'}}, svid=svid, start=False)
    (lab.folder / 'list.crl').write_bytes(lab.root.crl())
    web.start().wait_ready()
    seen = metrics(web)
    begins, ends = ({key[1:]: value for key, value in seen.items() if key[0] == name} for name in (NOT_BEFORE, EXPIRY))
    assert set(begins) == set(ends) and {dict(key)['kind'] for key in begins} == {'leaf', 'root', 'crl'}
    assert all(begins[key] < time.time() < ends[key] for key in begins)
    [leaf] = [value for key, value in begins.items() if dict(key)['kind'] == 'leaf']
    assert leaf == svid.cert.not_valid_before.replace(tzinfo=datetime.timezone.utc).timestamp()


def test_the_process_by_convention(lab, app):
    """The metrics equal the kernel's numbers, and grow with use."""
    pair = lab.pair(app().port)
    web = pair.inbound
    before = metrics(web)
    assert before['process_start_time_seconds',] == before['fairlead_start_time_seconds',]
    assert abs(before['process_start_time_seconds',] - time.time()) < 60 * labs.SLOW
    limits = pathlib.Path(f'/proc/{web.sidecar.pid}/limits').read_text(encoding='ascii')
    assert before['process_max_fds',] == int(re.search(r'Max open files +(\d+)', limits)[1])
    resident = re.search(r'VmRSS:\s+(\d+) kB', pathlib.Path(f'/proc/{web.sidecar.pid}/status').read_text(encoding='ascii'))
    assert before['process_resident_memory_bytes',] == pytest.approx(int(resident[1]) * 1024, rel=0.2)
    socks = []
    for _ in range(10):
        socks.append(pair.connect())
        socks[-1].sendall(b'x')
        assert socks[-1].recv(1) == b'x'
    after = metrics(web)
    assert after['process_open_fds',] >= before['process_open_fds',] + 15  # two for each connection; others come and go
    assert after['process_cpu_seconds_total',] > before['process_cpu_seconds_total',]
    for sock in socks:
        sock.close()


# --- rules and dashboard --------------------------------------------------------------------------

def rules():
    with open(RULES, encoding='utf-8') as file:
        return [rule for group in yaml.safe_load(file)['groups'] for rule in group['rules']]


def dashboard_expressions():
    """Returns the expressions of panels, annotations and variables."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            found.extend(node[key] for key in ('expr', 'query') if isinstance(node.get(key), str))
            node = list(node.values())
        if isinstance(node, list):
            for each in node:
                walk(each)
    walk(json.loads((FOLDER / 'dashboard.json').read_text(encoding='utf-8')))
    return [text for text in found if text != 'prometheus']


def names_in(expression):
    return set(re.findall(r'\b(?:fairlead|process)_[a-z_]+', expression))


def alternatives(expression):
    """Returns the label values that an expression matches."""
    return {word for label, _, value in MATCHER.findall(expression) if label != 'job' and '$' not in value
            for word in value.split('|')}


def expressions():
    return [rule['expr'] for rule in rules()] + dashboard_expressions()


def test_rules_and_dashboard_ask_for_what_there_is():
    """Every metric is one of the sidecar's, and every label value is one that it uses: otherwise an alert would never
    fire."""
    binary = pathlib.Path(labs.SIDECAR).read_bytes()
    words = set(re.findall(rb'[!-~]+(?=\0)', binary))
    listed = (FOLDER.parents[1] / 'sidecar' / 'REFERENCE.md').read_text(encoding='utf-8')
    asked = expressions()
    assert len(asked) > 60
    for expression in asked:
        for name in names_in(expression):
            name = re.sub(r'(handshake_duration_seconds)_(?:bucket|sum|count)$', r'\1', name)
            assert any(word.endswith(name.encode()) for word in words), f'{name} is no metric: {expression}'
            assert f'`{name}`' in listed, f'{name} is not in REFERENCE.md'
        for value in alternatives(expression):
            assert any(word.endswith(value.encode()) for word in words), f'{value} is no word of ours: {expression}'


def test_recorded_series_are_those_that_alerts_read():
    recorded = {rule['record'] for rule in rules() if 'record' in rule}
    read = {name for rule in rules() for name in re.findall(r'\bfairlead:[a-z0-9_:]+', rule['expr'])}
    assert recorded == read


def test_each_alert_says_what_to_do_and_is_tested():
    alerts = [rule for rule in rules() if 'alert' in rule]
    tested = RULES_TEST.read_text(encoding='utf-8')
    assert len(alerts) > 25 and len({rule['alert'] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule['labels']['severity'] in ('critical', 'warning', 'info'), rule
        assert set(rule['annotations']) == {'summary', 'description'}, rule
        assert f'{{alertname="{rule["alert"]}"}}' in tested, f'{rule["alert"]} is not tested'


def test_the_pod_monitor_reads_the_port_of_the_manifests():
    monitor = yaml.safe_load((FOLDER / 'podmonitor.yaml').read_text(encoding='utf-8'))
    [endpoint] = monitor['spec']['podMetricsEndpoints']
    app = (FOLDER.parent / 'kubernetes/app.yaml').read_text(encoding='utf-8')
    assert f'- name: {endpoint["port"]}\n' in app and endpoint['path'] == '/metrics'


def promtool(*arguments):
    done = subprocess.run(['promtool', *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@needs_prometheus
def test_promtool_accepts_the_rules_and_their_tests():
    status, said = promtool('check', 'rules', '--lint-fatal', RULES)
    assert status == 0, said
    status, said = promtool('test', 'rules', RULES_TEST)
    assert status == 0, said


@needs_prometheus
@pytest.mark.parametrize('old, new', [('< 0.25', '< 0.3'), ('fairlead_agent_hung == 1', 'fairlead_agent_hung == 2')])
def test_tests_of_the_rules_notice_a_change(tmp_path, old, new):
    text = RULES.read_text(encoding='utf-8')
    assert old in text
    (tmp_path / RULES.name).write_text(text.replace(old, new), encoding='utf-8')
    shutil.copy(RULES_TEST, tmp_path)
    assert promtool('test', 'rules', tmp_path / RULES_TEST.name)[0] != 0


# --- Prometheus itself ----------------------------------------------------------------------------

class Prometheus:
    """A Prometheus that scrapes these workloads over loopback every second."""

    def __init__(self, lab, *workloads):
        self.port = lab.ports.free()
        config = lab.folder / 'prometheus.yml'
        config.write_text(json.dumps({
            'global': {'scrape_interval': '1s', 'evaluation_interval': '1s'},
            'rule_files': [str(RULES)],
            'scrape_configs': [{'job_name': 'fairlead', 'static_configs': [
                {'targets': [f'127.0.0.1:{each.admin}' for each in workloads]}]}]}), encoding='utf-8')
        self.program = lab.program('prometheus', [
            'prometheus', f'--config.file={config}', f'--storage.tsdb.path={lab.folder / "tsdb"}',
            f'--web.listen-address=127.0.0.1:{self.port}', '--log.level=warn'])
        wait_until(self.is_ready, lambda: self.program.text, 30)

    def get(self, path, **query):
        url = f'http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}'
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read()

    def is_ready(self):
        try:
            return self.get('/-/ready')
        except OSError:
            return False

    def query(self, expression):
        """Returns [(labels, value)]."""
        answer = json.loads(self.get('/api/v1/query', query=expression))
        return [(each['metric'], float(each['value'][1])) for each in answer['data']['result']]

    def rules(self):
        groups = json.loads(self.get('/api/v1/rules'))['data']['groups']
        return {rule['name']: rule for group in groups for rule in group['rules']}


@needs_prometheus
def test_a_real_prometheus(lab, app):
    """It scrapes the sidecars, evaluates every rule and every panel without an error, and reports failures."""
    pair = lab.pair(app().port)
    watch = Prometheus(lab, *pair.workloads)
    targets = {f'127.0.0.1:{each.admin}' for each in pair.workloads}
    wait_until(lambda: {labels['instance'] for labels, up in watch.query('up') if up} == targets,
               lambda: f'not read: {watch.get("/api/v1/targets")}', 30)
    with pair.connect() as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        wait_until(lambda: watch.query('sum(fairlead_connections_open) == 2'), 'it does not see the connection', 30)
    assert {labels['id'] for labels, _ in watch.query('fairlead_identity_info')} == {labs.CLIENT, labs.SERVER}
    for _ in range(8):
        outcome(pair.inbound.port, b'GET / HTTP/1.1\r\n\r\n')

    def alarmed():
        return watch.rules()['FairleadHandshakesFail']['state'] == 'firing'
    wait_until(alarmed, lambda: f'no alarm: {watch.rules()["FairleadHandshakesFail"]}', 30)
    [alert] = watch.rules()['FairleadHandshakesFail']['alerts']
    assert alert['labels']['instance'] == f'127.0.0.1:{pair.inbound.admin}' and alert['labels']['result'] == 'not_tls'
    assert 'not_tls' in alert['annotations']['summary']
    found = watch.rules()
    assert {name: rule.get('lastError') for name, rule in found.items() if rule['health'] != 'ok'} == {}
    assert {name for name, rule in found.items() if rule.get('state') == 'firing'} == {'FairleadHandshakesFail'}
    for expression in dashboard_expressions():
        if not expression.startswith('label_values('):
            watch.query(expression.replace('$job', '.+').replace('$instance', '.+').replace('$__rate_interval', '1m'))
