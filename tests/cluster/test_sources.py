# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of certificates that the component has overlays for: the pods become ready, and a renewal fails no request."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from conftest import INI, KUBERNETES, Load, agent, deployed, get, kubectl, pods, state, until
from signer import Signer

def leaves(name):
    """Returns when the certificate of each pod ends: what changes with a renewal."""
    return {pod: [each['not_after'] for each in state(pod)['certificates'] if each['kind'] == 'leaf'] for pod in pods('prod', name)}


def renewed(name, renew, seconds=120, host=None, **load):
    """All pods get another certificate after renew(), and no request fails. host: the Service, or one of its pods."""
    before = leaves(name)
    with Load(pods('prod', name)[0], f'http://{host or name}:8080/', **load) as load:
        renew()
        until('all pods use another certificate', lambda: all(now != before[pod] for pod, now in leaves(name).items()), seconds)
        load.await_more(200)
    assert set(leaves(name)) == set(before) and load.result['failed'] == 0


def restart_kubelet(name):
    os.kill(int(pathlib.Path(os.environ['CLUSTER_FOLDER'], 'kubelet.pid').read_text()), signal.SIGKILL)
    until('the kubelet knows its pods again', lambda: all(agent(pod, 'wait', status=None)[0] == 0 for pod in pods('prod', name)))


def test_pod_certificates(mesh, tmp_path):
    """The kubelet has keys and certificates in memory only, so that it gets new ones when it starts again. (The API accepts no other renewal
    earlier than after 5 to 10 minutes.) Until it has probed its pods again, none of them is ready, and kube-proxy refuses connections to their
    Service; so the load goes to a pod's own address."""
    ini = INI.replace('cert   = /var/run/fairlead/tls/tls.crt\nkey    = /var/run/fairlead/tls/tls.key\n',
                      'credential_bundle = /var/run/fairlead/tls/credential-bundle.pem\n')
    with Signer(mesh.pki), deployed(tmp_path, 'kubelet', ['named/deployment', 'pod-certificate'], ini):
        server = get('-n', 'prod', 'pod', pods('prod', 'kubelet')[1])['status']['podIP']
        renewed('kubelet', lambda: restart_kubelet('kubelet'), host=server, through_kubelet=False)


# --- cert-manager ----------------------------------------------------------------------------------------

@pytest.fixture
def cert_manager():
    """Its controller, with its definitions of resources."""
    folder = pathlib.Path(os.environ['CERT_MANAGER'])
    if not (folder / 'controller').exists():
        pytest.skip(f'cert-manager could not be built: see {folder}/log')
    kubectl('apply', '--server-side', '-f', folder / 'crds')
    kubectl('wait', '--for=condition=Established', 'crd/certificates.cert-manager.io', 'crd/issuers.cert-manager.io', '--timeout=60s')
    with open(pathlib.Path(os.environ['CLUSTER_FOLDER'], 'cert-manager.log'), 'wb') as log, \
            subprocess.Popen([folder / 'controller', f'-kubeconfig={os.environ["KUBECONFIG"]}'], stdout=log, stderr=log) as process:
        yield
        process.terminate()


def test_cert_manager(mesh, cert_manager, tmp_path):
    """A certificate of an hour that is to be renewed 59 minutes before its end, so every minute."""
    kubectl('-n', 'prod', 'create', 'secret', 'tls', 'prod-example-ca', f'--cert={mesh.pki / "ca.crt"}', f'--key={mesh.pki / "ca.key"}')
    issuer = {'apiVersion': 'cert-manager.io/v1', 'kind': 'Issuer', 'metadata': {'name': 'fairlead'}, 'spec': {'ca': {'secretName': 'prod-example-ca'}}}
    changes = {'uris/0': 'spiffe://prod.example/ns/prod/sa/manager', 'duration': '1h', 'renewBefore': '59m'}
    patch = json.dumps([{'op': 'replace', 'path': f'/spec/{path}', 'value': value} for path, value in changes.items()])
    with deployed(tmp_path, 'manager', ['cert-manager', 'named/deployment'], objects=[issuer],
                  patches=[{'target': {'kind': 'Certificate'}, 'patch': patch}]):
        renewed('manager', lambda: None, 180)


def test_the_manifest_of_cert_manager(mesh, cert_manager, tmp_path):
    """cert-manager.yaml, as it is, fills the Secret that app.yaml mounts."""
    kubectl('create', 'namespace', 'managed')
    kubectl('-n', 'managed', 'create', 'secret', 'tls', 'prod-example-ca', f'--cert={mesh.pki / "ca.crt"}', f'--key={mesh.pki / "ca.key"}')
    kubectl('-n', 'managed', 'apply', '-f', KUBERNETES / 'cert-manager.yaml', '-f', KUBERNETES / 'app.yaml')
    kubectl('-n', 'managed', 'rollout', 'status', 'deployment/shop', '--timeout=120s')
    kubectl('delete', 'namespace', 'managed', '--wait=false')
