# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes manifests without a cluster.

    objects(path)          the objects of a file
    wrong_fields(object)   unknown or missing fields and wrong types, by what Kubernetes 1.36 knows
    not_restricted(pod)    where a pod's spec breaks the Pod Security Standard `restricted`
"""
import json
import pathlib
import re

import yaml

KNOWN = json.loads(pathlib.Path(__file__).with_name('kubernetes-1.36.json').read_text(encoding='ascii'))
SIMPLE = {'string': str, 'integer': int, 'boolean': bool, 'number': (int, float), 'int-or-string': (int, str),
          'any': object}


def objects(path):
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


# --- fields and types ------------------------------------------------------------------------------------

def wrong(value, kind, path):
    """Yields, as lines, what is wrong with a value that should be of this kind."""
    if kind in KNOWN['types']:
        yield from wrong_of_object(value, KNOWN['types'][kind], path)
    elif kind[0] == '[':
        if not isinstance(value, list):
            yield f'{path}: a list is due'
            return
        for number, each in enumerate(value):
            yield from wrong(each, kind[1:-1], f'{path}[{number}]')
    elif kind[0] == '{':
        if not isinstance(value, dict):
            yield f'{path}: a map is due'
            return
        for key, each in value.items():
            yield from wrong(each, kind[1:-1], f'{path}.{key}')
    elif kind in SIMPLE:
        if not isinstance(value, SIMPLE[kind]) or isinstance(value, bool) and kind not in ('boolean', 'any'):
            yield f'{path}: {value!r} is no {kind}'
    elif value not in kind.split('|'):
        yield f'{path}: {value!r} is none of {kind}'


def wrong_of_object(value, fields, path):
    if not isinstance(value, dict):
        yield f'{path}: an object is due'
        return
    kinds = {name.rstrip('!'): kind for name, kind in fields.items()}
    yield from (f'{path}.{name[:-1]}: missing' for name in fields if name[-1] == '!' and name[:-1] not in value)
    for name, each in value.items():
        if name in kinds:
            yield from wrong(each, kinds[name], f'{path}.{name}')
        else:
            yield f'{path}.{name}: unknown'


def wrong_fields(thing):
    name = f'{thing.get("apiVersion")} {thing.get("kind")}'
    if name not in KNOWN['kinds']:
        return [f'{name}: not known here']
    return list(wrong(thing, KNOWN['kinds'][name], thing['kind']))


# --- Pod Security ----------------------------------------------------------------------------------------

VOLUMES = {'configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'persistentVolumeClaim', 'projected', 'secret'}
SYSCTLS = {'kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.ip_unprivileged_port_start',
           'net.ipv4.tcp_syncookies', 'net.ipv4.ping_group_range', 'net.ipv4.ip_local_reserved_ports',
           'net.ipv4.tcp_keepalive_time', 'net.ipv4.tcp_fin_timeout', 'net.ipv4.tcp_keepalive_intvl',
           'net.ipv4.tcp_keepalive_probes', 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'}
PROFILES = {'RuntimeDefault', 'Localhost'}


def containers(pod):
    return [*pod.get('initContainers', []), *pod['containers']]


def not_restricted(pod):
    """Returns {name of a container, or 'pod': what it violates}. Empty if the pod passes."""
    found = {'pod': list(pod_breaks(pod))}
    for each in containers(pod):
        found[each['name']] = list(container_breaks(each, pod.get('securityContext', {})))
    return {name: lines for name, lines in found.items() if lines}


def pod_breaks(pod):
    context = pod.get('securityContext', {})
    for name in 'hostNetwork', 'hostPID', 'hostIPC':
        if pod.get(name):
            yield name
    for volume in pod.get('volumes', []):
        yield from (f'volume {volume["name"]}: {kind}' for kind in volume if kind != 'name' and kind not in VOLUMES)
    yield from (f'sysctl {each["name"]}' for each in context.get('sysctls', []) if each['name'] not in SYSCTLS)
    if pod.get('ephemeralContainers'):
        yield 'ephemeralContainers'


def container_breaks(container, of_pod):
    own = container.get('securityContext', {})

    def setting(name, default=None):
        return own.get(name, of_pod.get(name, default))
    capabilities = own.get('capabilities', {})
    if 'ALL' not in capabilities.get('drop', []):
        yield 'does not drop ALL'
    yield from (f'adds {name}' for name in capabilities.get('add', []) if name != 'NET_BIND_SERVICE')
    if own.get('allowPrivilegeEscalation') is not False:
        yield 'allowPrivilegeEscalation'
    if own.get('privileged'):
        yield 'privileged'
    if own.get('procMount', 'Default') != 'Default':
        yield 'procMount'
    if setting('runAsNonRoot') is not True:
        yield 'runAsNonRoot'
    if setting('runAsUser') == 0:
        yield 'runAsUser'
    if setting('seccompProfile', {}).get('type') not in PROFILES:
        yield 'seccompProfile'
    if setting('appArmorProfile', {}).get('type', 'RuntimeDefault') not in PROFILES:
        yield 'appArmorProfile'
    options = setting('seLinuxOptions', {})
    if options.get('user') or options.get('role') or setting('windowsOptions', {}).get('hostProcess'):
        yield 'seLinuxOptions or windowsOptions'
    yield from (f'hostPort {port["hostPort"]}' for port in container.get('ports', []) if port.get('hostPort'))
    handlers = [container.get(f'{name}Probe', {}) for name in ('startup', 'readiness', 'liveness')]
    handlers += container.get('lifecycle', {}).values()
    yield from ('host of a probe' for each in handlers for way in ('httpGet', 'tcpSocket') if each.get(way, {}).get('host'))


# --- quantities ------------------------------------------------------------------------------------------

UNITS = {'': 1, 'm': 0.001, 'Ki': 1 << 10, 'Mi': 1 << 20, 'Gi': 1 << 30}


def quantity(text):
    """Returns '64Mi' in bytes, '50m' in processors."""
    number, unit = re.fullmatch(r'([\d.]+)(\w*)', str(text)).groups()
    return float(number) * UNITS[unit]
