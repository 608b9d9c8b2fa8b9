# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI images made of this machine's own programs, without a registry or a container engine."""
import glob
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile

PAUSE = '#include <signal.h>\n#include <unistd.h>\nint main(void) { signal(SIGTERM, _exit); for (;;) pause(); }\n'


def libraries_of(*files):
    """Returns the libraries that these programs are linked with, the loader included."""
    listed = subprocess.run(['ldd', *files], capture_output=True, text=True, check=False).stdout
    return {word for line in listed.splitlines() for word in line.split() if word.startswith('/') and not word.endswith(':')}


def archive(folder, name, files, command):
    """Writes NAME.tar, an OCI archive of one layer. files: {path in the image: path here}."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode='w') as tar:
        for inside, here in sorted(files.items()):
            tar.add(os.path.realpath(here), inside.lstrip('/'), recursive=False)
    blobs = {}

    def blob(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{digest}', 'size': len(data)}
    content = blob('layer.v1.tar', layer.getvalue())
    machine = {'x86_64': 'amd64', 'aarch64': 'arm64'}[platform.machine()]
    config = blob('config.v1+json', json.dumps({
        'architecture': machine, 'os': 'linux', 'config': {'Cmd': command, 'Env': ['PATH=/usr/local/bin:/usr/bin:/bin']},
        'rootfs': {'type': 'layers', 'diff_ids': [content['digest']]}}).encode())
    manifest = blob('manifest.v1+json', json.dumps({'schemaVersion': 2, 'config': config, 'layers': [content]}).encode())
    manifest['annotations'] = {'io.containerd.image.name': name}
    path = folder / f'{name.rpartition("/")[2].replace(":", "-")}.tar'
    with tarfile.open(path, 'w') as tar:
        for inside, data in (('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'), ('index.json', json.dumps({'schemaVersion': 2, 'manifests': [manifest]}).encode()),
                             *((f'blobs/sha256/{digest}', data) for digest, data in blobs.items())):
            entry = tarfile.TarInfo(inside)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def pause(folder):
    program = folder / 'pause'
    subprocess.run(['cc', '-static', '-O2', '-x', 'c', '-', '-o', program], input=PAUSE.encode(), check=True)
    return archive(folder, 'localhost/pause:1', {'/pause': program}, ['/pause'])


# The app that the manifests name: it answers every request at both of its ports, and says in which pod it is.
APP = '''
import http.server, socket, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Server-Name", socket.gethostname())
        self.end_headers()
    def log_message(self, *_):
        pass
servers = [http.server.ThreadingHTTPServer(("", port), Answer) for port in (8080, 8081)]
threading.Thread(target=servers[0].serve_forever).start()
servers[1].serve_forever()
'''


def apps(folder):
    """Returns an image with Python, sh and sleep, under the name that the guide's apps use, and the app of the manifests."""
    interpreter, library = '/usr/bin/python3', f'/usr/lib/python3.{sys.version_info.minor}'
    modules = glob.glob(f'{library}/lib-dynload/*.so')
    files = {path: path for path in (interpreter, '/usr/bin/sleep', '/usr/bin/sh')}
    for place, folders, names in os.walk(library):
        folders[:] = [each for each in folders if each not in ('__pycache__', 'test', 'idlelib', 'ensurepip')]
        files.update({os.path.join(place, each): os.path.join(place, each) for each in names})
    for each in libraries_of(interpreter, '/usr/bin/sleep', '/usr/bin/sh', *modules):
        files[each] = each
    return (archive(folder, 'docker.io/library/python:3-slim', files, ['python3']),
            archive(folder, 'localhost/your-app:1', files, ['python3', '-c', APP]))
