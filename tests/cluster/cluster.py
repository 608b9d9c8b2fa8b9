# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes cluster of one node, in the namespaces that tests/cluster/run has made.

    cluster.py [PYTEST ARGUMENT...] | -- COMMAND...

Everything is in one network namespace: etcd, the API server, and the node, at 10.250.0.1; pods are at 10.244.0.0/24, Services at
10.96.0.0/16. The images are Fairlead's, a pause image, and one with Python, which the guide's apps use. As the init process
of its PID namespace, this one takes all others with it when it ends."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import images
import names

NODE = '10.250.0.1'
SERVICES, PODS = '10.96.0.0/16', '10.244.0.0/24'
API = f'https://{NODE}:6443'
# Beta, and off by default: the kubelet obtains certificates for pods, and mounts the roots.
FEATURES = {'PodCertificateRequest': True, 'ClusterTrustBundle': True, 'ClusterTrustBundleProjection': True}
GATES = f'--feature-gates={",".join(f"{name}=true" for name in FEATURES)}'


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f'{" ".join(map(str, command))}: {done.stdout[-3000:]}')
    return done.stdout


def await_true(what, condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f'not within {seconds} s: {what}')
        time.sleep(0.2)


def works(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.ending = False

    def start(self, name, *command, again=False):
        """again: whenever it ends, as an init system would. NAME.pid then tells which process it is."""
        with open(self.folder / f'{name}.log', 'ab') as log:
            process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append((name, process))
        if again:
            self.write(f'{name}.pid', str(process.pid))
            threading.Thread(target=self.start_again, args=(process, name, *command), daemon=True).start()

    def start_again(self, process, name, *command):
        process.wait()
        if not self.ending:
            self.processes.remove((name, process))
            self.start(name, *command, again=True)

    def write(self, name, content):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    # --- credentials -------------------------------------------------------------------------------

    def make_ca(self):
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=ca',
            '-keyout', self.folder / 'ca.key', '-out', self.folder / 'ca.crt', '-addext', 'keyUsage=critical,keyCertSign')
        run('openssl', 'genrsa', '-out', self.folder / 'accounts.key', '2048')

    def certificate(self, name, subject, alternatives='DNS:none'):
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', subject,
            '-keyout', self.folder / f'{name}.key', '-out', self.folder / f'{name}.crt', '-CA', self.folder / 'ca.crt',
            '-CAkey', self.folder / 'ca.key', '-addext', f'subjectAltName={alternatives}', '-addext', 'basicConstraints=critical,CA:FALSE')
        return self.folder / f'{name}.crt', self.folder / f'{name}.key'

    def kubeconfig(self, name, subject):
        certificate, key = self.certificate(name, subject)
        return self.write(f'{name}.kubeconfig', {
            'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'it', 'contexts': [{'name': 'it', 'context': {'cluster': 'it', 'user': 'it'}}],
            'clusters': [{'name': 'it', 'cluster': {'server': API, 'certificate-authority': str(self.folder / 'ca.crt')}}],
            'users': [{'name': 'it', 'user': {'client-certificate': str(certificate), 'client-key': str(key)}}]})

    # --- the node ----------------------------------------------------------------------------------

    def make_network(self):
        run('ip', 'link', 'set', 'lo', 'up')
        run('ip', 'link', 'add', 'node0', 'type', 'bridge')
        run('ip', 'address', 'add', f'{NODE}/24', 'dev', 'node0')
        run('ip', 'link', 'set', 'node0', 'up')
        run('ip', 'route', 'add', 'default', 'via', '10.250.0.254', 'dev', 'node0', 'onlink')
        pathlib.Path('/proc/sys/net/ipv4/ip_forward').write_text('1')
        (self.folder / 'cni').mkdir()
        self.write('cni/10.conflist', {'cniVersion': '0.4.0', 'name': 'pods', 'plugins': [
            {'type': 'ptp', 'mtu': 1500, 'ipam': {'type': 'host-local', 'dataDir': str(self.folder / 'addresses'),
                                                  'ranges': [[{'subnet': PODS}]], 'routes': [{'dst': '0.0.0.0/0'}]}}]})

    def start_containerd(self):
        run('mount', '--make-rshared', '/')
        if pathlib.Path('/sys/fs/cgroup/unified').is_mount():
            run('umount', '/sys/fs/cgroup/unified')  # the kubelet would take the hybrid hierarchy for version 2
        config = self.write('containerd.toml', f'''
version = 2
root = "{self.folder}/containerd"
state = "{self.folder}/containerd-state"
[grpc]
  address = "{self.folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "localhost/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{self.folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
''')
        self.start('containerd', 'containerd', '--config', config)
        await_true('containerd answers', lambda: works('ctr', '-a', self.folder / 'containerd.sock', 'version'))
        for archive in (images.pause(self.folder), *images.apps(self.folder), os.environ['FAIRLEAD_IMAGE']):
            run('ctr', '-a', self.folder / 'containerd.sock', '-n', 'k8s.io', 'images', 'import', archive)

    def start_kubelet(self):
        config = self.write('kubelet.yaml', {
            'apiVersion': 'kubelet.config.k8s.io/v1beta1', 'kind': 'KubeletConfiguration', 'cgroupDriver': 'cgroupfs', 'failCgroupV1': False,
            'failSwapOn': False, 'oomScoreAdj': 0, 'enforceNodeAllocatable': [], 'maxOpenFiles': 20000, 'syncFrequency': '10s',
            'clusterDNS': [NODE], 'clusterDomain': 'cluster.local', 'evictionHard': {'nodefs.available': '1%'}, 'imageGCHighThresholdPercent': 100,
            'podLogsDir': str(self.folder / 'logs'), 'containerRuntimeEndpoint': f'unix://{self.folder}/containerd.sock',
            'authorization': {'mode': 'AlwaysAllow'}, 'featureGates': FEATURES,
            'authentication': {'anonymous': {'enabled': False}, 'webhook': {'enabled': False}, 'x509': {'clientCAFile': str(self.folder / 'ca.crt')}}})
        self.start('kubelet', 'kubelet', f'--config={config}', f'--root-dir={self.folder}/kubelet', f'--cert-dir={self.folder}/kubelet-pki',
                   '--hostname-override=node', f'--node-ip={NODE}', f'--kubeconfig={self.kubeconfig("kubelet", "/O=system:nodes/CN=system:node:node")}', again=True)

    # --- the control plane -------------------------------------------------------------------------

    def start_control_plane(self):
        admin = self.kubeconfig('admin', '/O=system:masters/CN=admin')
        os.environ['KUBECONFIG'] = str(admin)
        certificate, key = self.certificate('apiserver', '/CN=apiserver', f'IP:{NODE},IP:10.96.0.1,IP:127.0.0.1,DNS:kubernetes.default.svc')
        self.start('etcd', 'etcd', f'--data-dir={self.folder}/etcd', '--unsafe-no-fsync', '--log-level=warn')
        self.start('apiserver', 'kube-apiserver', '--etcd-servers=http://127.0.0.1:2379', f'--advertise-address={NODE}', '--secure-port=6443',
                   f'--service-cluster-ip-range={SERVICES}', f'--tls-cert-file={certificate}', f'--tls-private-key-file={key}',
                   f'--client-ca-file={self.folder}/ca.crt', f'--service-account-key-file={self.folder}/accounts.key',
                   f'--service-account-signing-key-file={self.folder}/accounts.key', '--service-account-issuer=https://kubernetes.default.svc',
                   '--authorization-mode=Node,RBAC', '--allow-privileged=true', GATES, '--runtime-config=certificates.k8s.io/v1beta1=true', f'--kubelet-client-certificate={self.folder}/admin.crt',
                   f'--kubelet-client-key={self.folder}/admin.key', '--kubelet-preferred-address-types=InternalIP')
        await_true('the API server is ready', lambda: works('kubectl', 'get', '--raw', '/readyz'), 120)
        self.start('controllers', 'kube-controller-manager', f'--kubeconfig={admin}', '--leader-elect=false', f'--root-ca-file={self.folder}/ca.crt', GATES,
                   f'--service-account-private-key-file={self.folder}/accounts.key')
        self.start('scheduler', 'kube-scheduler', f'--kubeconfig={admin}', '--leader-elect=false')
        proxy = self.write('proxy.yaml', {
            'apiVersion': 'kubeproxy.config.k8s.io/v1alpha1', 'kind': 'KubeProxyConfiguration', 'mode': 'nftables', 'clusterCIDR': PODS,
            'hostnameOverride': 'node', 'conntrack': {'maxPerCore': 0, 'min': 0}, 'clientConnection': {'kubeconfig': str(admin)}})
        self.start('proxy', 'kube-proxy', f'--config={proxy}')

    def up(self):
        self.make_network()
        self.make_ca()
        self.start_containerd()
        self.start_control_plane()
        self.start_kubelet()
        threading.Thread(target=names.serve, args=(NODE,), daemon=True).start()
        await_true('the node is ready', lambda: 'True' in subprocess.run(
            ['kubectl', 'get', 'node', 'node', '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'],
            capture_output=True, text=True, check=False).stdout, 120)
        await_true('there is a service account', lambda: works('kubectl', 'get', 'serviceaccount', 'default'))

    def down(self):
        """Ends pods' processes before what they live in; the rest ends with this namespace."""
        self.ending = True
        for name, process in reversed(self.processes):
            if name in ('kubelet', 'controllers', 'scheduler', 'proxy', 'apiserver', 'etcd'):
                process.kill()
                process.wait()
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if int(pid) > 1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass
        mounts = [line.split()[1] for line in pathlib.Path('/proc/mounts').read_text().splitlines()]
        for place in sorted((each for each in mounts if each.startswith(str(self.folder))), reverse=True):
            subprocess.run(['umount', '-l', place], check=False)
        for place in sorted(pathlib.Path('/sys/fs/cgroup').glob('*/kubepods/**/'), reverse=True):
            with contextlib.suppress(OSError):
                place.rmdir()


def main(arguments):
    folder = pathlib.Path(tempfile.mkdtemp(prefix='fairlead-cluster.'))
    cluster = Cluster(folder)
    began = time.monotonic()
    os.environ['CLUSTER_FOLDER'] = str(folder)
    try:
        cluster.up()
        print(f'==> the cluster is up after {time.monotonic() - began:.0f} s; its logs are in {folder}', flush=True)
        command = arguments[1:] if arguments[:1] == ['--'] else [
            sys.executable, '-m', 'pytest', '-q', '-x', '-o', f'cache_dir={folder}/cache', *arguments, pathlib.Path(__file__).parent]
        return subprocess.run(command, check=False).returncode
    except RuntimeError as e:
        print(f'tests/cluster: {e}', file=sys.stderr)
        for name, process in cluster.processes:
            if process.poll() is not None:
                print(f'--- {name} has ended:\n{(folder / f"{name}.log").read_text()[-2000:]}', file=sys.stderr)
        return 1
    finally:
        cluster.down()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
