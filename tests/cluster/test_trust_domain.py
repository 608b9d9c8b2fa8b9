# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of the trust domain changes, as deploy/README.md says, while two pods call each other."""
import json
import shutil

from conftest import INI, Load, deployed, kubectl, pods, state, until

NAME, OLD, NEW = 'renamed', 'prod.example', 'new.example'
BOTH = f"""
[outbound]
peer = spiffe://{OLD}/**, spiffe://{NEW}/**
"""


def rules(*domains):
    """Returns the INI of the example for peers of these trust domains: the first is our own, the bundle of the other one is beside it."""
    peers = ', '.join(f'spiffe://{domain}/ns/prod/sa/{NAME}' for domain in domains)
    federate = ''.join(f'[federate {domain}]\nbundle = /var/run/fairlead/tls/{domain}.crt\n' for domain in domains[1:])
    return INI.replace('spiffe://prod.example/ns/prod/sa/front', peers) + BOTH + federate


def replace(kind, *words):
    made = kubectl('-n', 'prod', 'create', *kind, f'{NAME}-fairlead', *words, '--dry-run=client', '-o', 'yaml')
    kubectl('-n', 'prod', 'apply', '-f', '-', text=made)


def test_another_name_of_the_trust_domain(mesh, tmp_path):
    """ConfigMap and Secret change one after the other. What is there in between is refused, and the old one stays in force."""
    folders = {OLD: mesh.pki, NEW: tmp_path / 'new'}
    mesh.run_pki('ca', folders[NEW], NEW)

    def change(own, *others):
        mesh.run_pki('svid', folders[own], f'ns/prod/sa/{NAME}', tmp_path / 'files')
        for each in others:
            shutil.copy(folders[each] / 'bundle.crt', tmp_path / 'files' / f'{each}.crt')
        (tmp_path / 'changed.ini').write_text(rules(own, *others))
        replace(('configmap',), f'--from-file=fairlead.ini={tmp_path}/changed.ini')
        replace(('secret', 'generic'), f'--from-file={tmp_path}/files')

        def is_in_use(pod):
            told = json.dumps(state(pod)['certificates'])
            return state(pod)['id'].startswith(f'spiffe://{own}/') and all(each in told for each in others)
        until('both pods use it', lambda: all(is_in_use(pod) for pod in pods('prod', NAME)))

    mesh.renew(NAME)
    with deployed(tmp_path / 'app', NAME, ['named/deployment'], rules(OLD)):
        with Load(pods('prod', NAME)[0], f'http://{NAME}:8080/') as load:
            change(OLD, NEW)
            change(NEW, OLD)
            change(NEW)
        assert load.result['failed'] == 0
