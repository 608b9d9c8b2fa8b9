# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the pod of a Deployment in podman, as the kubelet would: volumes, users, capabilities, limits, the order of the
containers, probes. A field of the manifest that this module does not know is an error, so that nothing is silently left
out.

    pod = Pod(podman, folder, 'shop', objects(path), secret={'tls.crt': ...}, commands={'app': ['nginx', ...]})
    pod.start()
    pod.get(8081, '/healthz')       as the kubelet probes it, from the node: (status or None, body)
    pod.get(15020, '/', '127.0.0.1') from inside it, as through `kubectl port-forward`
    pod.secret.write({...})         as the kubelet writes a changed Secret
    pod.configure({...})            the same for a ConfigMap
    pod.end()                       {container: exit status}, in the kubelet's order
"""
import contextlib
import http.client
import os
import re

import lab as labs
from lab import wait_until
from manifest import containers, quantity
from pods import Network
from volume import Volume

# These fields are for the cluster, not for the runtime. Some, like `lifecycle`, only tell when the pod ends.
NOT_OURS = {'name', 'image', 'args', 'ports', 'lifecycle', 'restartPolicy', 'readinessProbe', 'livenessProbe', 'startupProbe',
            'resources', 'volumeMounts', 'securityContext', 'terminationMessagePolicy'}
OF_POD = {'serviceAccountName', 'automountServiceAccountToken', 'terminationGracePeriodSeconds', 'securityContext',
          'initContainers', 'containers', 'volumes'}


def known(thing, names):
    assert set(thing) <= set(names), f'not known here: {set(thing) - set(names)}'
    return thing


class Pod:
    def __init__(self, podman, folder, name, objects, *, secret, commands):
        self.podman, self.folder, self.name, self.commands = podman, folder, name, commands
        one = {each['kind']: each for each in objects}
        self.spec = known(one['Deployment']['spec']['template']['spec'], OF_POD)
        self.context = known(self.spec['securityContext'], {'runAsNonRoot', 'seccompProfile'})
        self.running = []
        self.volumes = {each['name']: self.volume(each, one['ConfigMap']['data'], secret) for each in self.spec['volumes']}

    # Volumes.
    def volume(self, volume, config, secret):
        """Returns the folder that stands for the volume."""
        folder = self.folder / f'{self.name}-{volume["name"]}'
        if 'configMap' in volume:
            self.config = Volume(folder)
            self.configure(config)
        elif 'secret' in volume or 'projected' in volume:
            self.secret = Volume(folder, gid=0)
            self.secret.write(secret, mode=(volume.get('secret') or volume['projected'])['defaultMode'])
        else:
            assert volume['emptyDir']['medium'] == 'Memory'
            folder.mkdir()
            folder.chmod(0o1777)  # the mode of a tmpfs
        return folder

    def configure(self, config):
        """Writes the current content of the ConfigMap."""
        self.config.write({name: text.encode() for name, text in config.items()}, mode=0o644)

    # Containers.
    def options(self, container):
        own = known(container['securityContext'], {'runAsUser', 'runAsGroup', 'runAsNonRoot', 'allowPrivilegeEscalation',
                                                   'readOnlyRootFilesystem', 'capabilities'})
        yield from ('--user', f'{own["runAsUser"]}:{own["runAsGroup"]}')
        if own['readOnlyRootFilesystem']:
            yield from ('--read-only', '--read-only-tmpfs=false')
        if not own['allowPrivilegeEscalation']:
            yield from ('--security-opt', 'no-new-privileges')
        for what in 'drop', 'add':
            for capability in own['capabilities'].get(what, []):
                yield from (f'--cap-{what}', capability.lower())
        limits = known(container.get('resources', {}).get('limits', {}), {'cpu', 'memory'})
        if 'memory' in limits:
            yield from ('--memory', str(int(quantity(limits['memory']))))
        if 'cpu' in limits:
            yield from ('--cpus', str(quantity(limits['cpu'])))
        for mount in container.get('volumeMounts', []):
            suffix = ':ro' if mount.get('readOnly') else ''
            yield from ('-v', f'{self.volumes[mount["name"]]}:{mount["mountPath"]}{suffix}')

    def run(self, container):
        known(container, NOT_OURS)
        name = container['name']
        stays = container.get('restartPolicy') == 'Always' or container in self.spec['containers']
        self.podman('run', '--pod', self.name, '--name', f'{self.name}-{name}', *(['-d'] if stays else []),
                    *self.options(container), container['image'], *self.commands.get(name, container.get('args', [])))
        if stays:
            self.running.append(name)

    def start(self, *hosts):
        """Starts the pod and waits until all of it is ready. hosts: more DNS names of the pod."""
        aliases = [word for host in hosts for word in ('--network-alias', host)]
        self.podman('pod', 'create', '--name', self.name, '--network', 'lab', *aliases)
        self.begun = False
        for container in containers(self.spec):
            self.run(container)
            if not self.begun:
                self.begin()
            if 'startupProbe' in container:
                self.wait_for(container, 'startupProbe')
        for container in containers(self.spec):
            if 'readinessProbe' in container:
                self.wait_for(container, 'readinessProbe')

    def begin(self):
        """Sets what is known once the first container runs."""
        infra = self.podman('pod', 'inspect', '--format', '{{.InfraContainerID}}', self.name)
        text = self.podman('inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}} '
                           '{{.NetworkSettings.SandboxKey}}', infra)
        self.address, sandbox = text.split()
        self.network = f'/proc/{self.podman.init}/root{sandbox}'
        self.begun = True

    def inside(self):
        """Returns the pod's network."""
        return contextlib.closing(Network(self.network))

    def logs(self, name):
        done = self.podman.try_run('logs', f'{self.name}-{name}')
        return (done.stdout + done.stderr).decode()

    # The kubelet's questions.
    def get(self, port, path, host=None):
        def ask():
            client = http.client.HTTPConnection(host or self.address, port, timeout=2 * labs.SLOW)
            with contextlib.closing(client):
                client.request('GET', path)
                answer = client.getresponse()
                return answer.status, answer.read().decode()
        try:
            with contextlib.closing(Network(self.network if host else f'/proc/{self.podman.init}/ns/net')) as node:
                return node.inside(ask)
        except (OSError, http.client.HTTPException):
            return None, ''

    def probe(self, container, kind):
        """Returns (whether the probe succeeds, its output)."""
        if 'exec' in container[kind]:
            done = self.podman.try_run('exec', f'{self.name}-{container["name"]}', *container[kind]['exec']['command'])
            return done.returncode == 0, (done.stdout + done.stderr).decode()
        what = container[kind]['httpGet']
        port = next(port['containerPort'] for port in container['ports'] if port['name'] == what['port'])
        status, body = self.get(port, what['path'])
        return status == 200, body

    def wait_for(self, container, kind):
        wait_until(lambda: self.probe(container, kind)[0], lambda: f'{kind} of {container["name"]} in {self.name}: '
                   f'{self.probe(container, kind)} {self.logs(container["name"])}', 20)

    # Termination.
    def terminate(self, name):
        self.podman('kill', '--signal', 'TERM', f'{self.name}-{name}')

    def wait(self, name):
        """Returns the container's exit status."""
        self.running.remove(name)
        return int(re.match(r'\d+', self.podman('wait', f'{self.name}-{name}'))[0])

    def end(self):
        """Ends the app first, and then the other containers in reverse order of their start."""
        statuses = {}
        for name in reversed(self.running[:]):
            self.terminate(name)
            statuses[name] = self.wait(name)
        return statuses
