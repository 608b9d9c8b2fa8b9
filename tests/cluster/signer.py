# SPDX-License-Identifier: GPL-3.0-or-later
"""A signer for PodCertificateRequests: it gives the pod's service account its SPIFFE ID. kubectl is all that it asks the API with."""
import base64
import datetime
import json
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from conftest import get, kubectl

NAME = 'prod.example/spiffe'  # as in the component
MINUTE = datetime.timedelta(minutes=1)


def is_new(request):
    return request['spec']['signerName'] == NAME and not request.get('status', {}).get('conditions')


class Signer:
    """Signs while the block lasts, with the CA that deploy/pki has made in this folder, and publishes its root."""

    def __init__(self, pki):
        self.key = serialization.load_pem_private_key((pki / 'ca.key').read_bytes(), None)
        self.root = x509.load_pem_x509_certificate((pki / 'ca.crt').read_bytes())
        self.domain = (pki / 'trust-domain').read_text().strip()
        self.ended = threading.Event()
        self.signed = 0

    def issue(self, spec, namespace):
        request = x509.load_der_x509_csr(base64.b64decode(spec['stubPKCS10Request']))
        begin = datetime.datetime.utcnow().replace(microsecond=0) - 4 * MINUTE  # the API accepts up to 5 minutes
        identity = f'spiffe://{self.domain}/ns/{namespace}/sa/{spec["serviceAccountName"]}'
        usage = dict.fromkeys(('content_commitment', 'key_encipherment', 'data_encipherment', 'key_agreement', 'key_cert_sign', 'crl_sign',
                               'encipher_only', 'decipher_only'), False)
        return (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self.root.subject).public_key(request.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + 65 * MINUTE)
                .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
                .sign(self.key, hashes.SHA256()))

    def answer(self, request):
        made = self.issue(request['spec'], request['metadata']['namespace'])
        begin, end = made.not_valid_before, made.not_valid_after
        status = {'certificateChain': made.public_bytes(serialization.Encoding.PEM).decode(),
                  # The earliest time that the API accepts for a renewal.
                  'notBefore': f'{begin.isoformat()}Z', 'notAfter': f'{end.isoformat()}Z', 'beginRefreshAt': f'{(begin + 10 * MINUTE).isoformat()}Z',
                  'conditions': [{'type': 'Issued', 'status': 'True', 'reason': 'Signed', 'message': 'signed', 'lastTransitionTime': f'{datetime.datetime.utcnow().isoformat("T", "seconds")}Z'}]}
        kubectl('-n', request['metadata']['namespace'], 'patch', 'podcertificaterequest', request['metadata']['name'], '--subresource=status',
                '--type=merge', '-p', json.dumps({'status': status}))
        self.signed += 1

    def serve(self):
        while not self.ended.wait(0.5):
            for request in filter(is_new, get('-A', 'podcertificaterequests')['items']):
                self.answer(request)

    def __enter__(self):
        pem = self.root.public_bytes(serialization.Encoding.PEM).decode()
        kubectl('apply', '-f', '-', text=json.dumps({
            'apiVersion': 'certificates.k8s.io/v1beta1', 'kind': 'ClusterTrustBundle', 'metadata': {'name': f'{NAME.replace("/", ":")}:root'},
            'spec': {'signerName': NAME, 'trustBundle': pem}}))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
