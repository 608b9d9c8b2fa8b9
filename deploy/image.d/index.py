#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes one image for several architectures of those in an OCI layout, which then has nothing else at its top.

    index.py LAYOUT NAME KEY=VALUE...        annotations of it
"""
import hashlib
import json
import sys
from pathlib import Path

INDEX = 'application/vnd.oci.image.index.v1+json'


def platform(layout, descriptor):
    def blob(one):
        return json.loads((layout / 'blobs' / one['digest'].replace(':', '/')).read_bytes())
    config = blob(blob(descriptor)['config'])
    return {'architecture': config['architecture'], 'os': config['os']}


def main():
    layout, name = Path(sys.argv[1]), sys.argv[2]
    annotations = dict(word.split('=', 1) for word in sys.argv[3:])
    images = [{**{key: one[key] for key in ('mediaType', 'digest', 'size')}, 'platform': platform(layout, one)}
              for one in json.loads((layout / 'index.json').read_bytes())['manifests']]
    images.sort(key=lambda one: one['platform']['architecture'])
    data = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': images, 'annotations': annotations},
                      separators=(',', ':')).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / 'blobs' / 'sha256' / digest).write_bytes(data)
    (layout / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': [
        {'mediaType': INDEX, 'digest': f'sha256:{digest}', 'size': len(data),
         'annotations': {'org.opencontainers.image.ref.name': name}}]}, separators=(',', ':')))
    print(f'sha256:{digest}')


if __name__ == '__main__':
    main()
