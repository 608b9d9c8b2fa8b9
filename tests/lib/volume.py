# SPDX-License-Identifier: GPL-3.0-or-later
"""A Secret or ConfigMap volume, written as the kubelet writes it: the same steps in the same order, so that watchers
see the same events (compared with those of a real kubelet).

    volume = Volume(folder)
    volume.write({'tls.crt': b'...', 'tls.key': b'...'})      # again for each change
"""
import itertools
import os
import pathlib
import shutil
import time

import lab as labs


def secret(svid, *roots):
    """Returns the content of the Secret."""
    return {'tls.crt': svid.chain_pem, 'tls.key': svid.key_pem, 'ca.crt': b''.join(r.cert_pem for r in roots)}


def mounted(lab, name, sections=None):
    """Returns sections of an INI whose credentials are in a volume, and that volume."""
    volume = Volume(lab.folder / f'{name}-volume')
    identity = {'cert': volume / 'tls.crt', 'key': volume / 'tls.key', 'bundle': volume / 'ca.crt'}
    return labs.merge({'identity': identity}, sections), volume


class Volume:
    """gid: the group of the files, as with fsGroup."""

    def __init__(self, folder, gid=-1):
        self.folder, self.gid = pathlib.Path(folder), gid
        self.folder.mkdir(exist_ok=True)
        self.numbers = itertools.count()

    def __truediv__(self, name):
        return self.folder / name

    def old(self):
        data = self.folder / '..data'
        return os.readlink(data) if data.is_symlink() else None

    def read(self):
        """Returns the current content: {name: bytes}."""
        old = self.old()
        return {path.name: path.read_bytes() for path in (self.folder / old).iterdir()} if old else {}

    def prepare(self, files, mode=0o440):
        """Writes a folder for swap()."""
        stamp = time.strftime('..%Y_%m_%d_%H_%M_%S.', time.gmtime()) + str(next(self.numbers))
        fresh = self.folder / stamp
        fresh.mkdir()
        fresh.chmod(0o755)
        for name, data in files.items():
            (fresh / name).write_bytes(data)
            (fresh / name).chmod(mode)
            os.chown(fresh / name, -1, self.gid)
        return stamp

    def swap(self, stamp):
        """Returns the time of the swap, in seconds since the epoch."""
        os.symlink(stamp, self.folder / '..data_tmp')
        os.rename(self.folder / '..data_tmp', self.folder / '..data')
        return time.time()

    def write(self, files, mode=0o440):
        """Returns the time of the swap, in seconds since the epoch. The same content again changes nothing."""
        old, before = self.old(), self.read()
        swapped = None
        if files != before or old is None:
            swapped = self.swap(self.prepare(files, mode))
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f'..data/{name}')
        for name in set(before) - set(files):
            (self.folder / name).unlink()
        if swapped and old:
            shutil.rmtree(self.folder / old)
        return swapped

    def change(self, **files):
        """Does the same as write(), with these files changed and the others kept. None removes one. ca_crt is
        ca.crt."""
        wanted = {**self.read(), **{name.replace('_', '.'): data for name, data in files.items()}}
        return self.write({name: data for name, data in wanted.items() if data is not None})
