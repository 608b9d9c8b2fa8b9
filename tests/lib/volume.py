# SPDX-License-Identifier: GPL-3.0-or-later
"""A Secret or ConfigMap volume, written as the kubelet writes it: the same steps in the same order, so that whoever
watches sees the same events (compared with a real kubelet's).

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
    """The content of a Secret."""
    return {'tls.crt': svid.chain_pem, 'tls.key': svid.key_pem, 'ca.crt': b''.join(r.cert_pem for r in roots)}


def mounted(lab, name, sections=None):
    """Sections of an INI whose credentials are in a volume, and that volume."""
    volume = Volume(lab.folder / f'{name}-volume')
    identity = {'cert': volume / 'tls.crt', 'key': volume / 'tls.key', 'bundle': volume / 'ca.crt'}
    return labs.merge({'identity': identity}, sections), volume


class Volume:
    """gid: the files belong to this group, as with fsGroup."""

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
        """What is there now: {name: bytes}."""
        old = self.old()
        return {path.name: path.read_bytes() for path in (self.folder / old).iterdir()} if old else {}

    def prepare(self, files, mode=0o440):
        """A folder that swap() takes."""
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
        """Returns when it was done, in seconds since the epoch."""
        os.symlink(stamp, self.folder / '..data_tmp')
        os.rename(self.folder / '..data_tmp', self.folder / '..data')
        return time.time()

    def write(self, files, mode=0o440):
        """Returns when the swap was done, in seconds since the epoch. The same content again changes nothing."""
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
        """As write(), with these files changed and the rest as it is; None takes one away. ca_crt is ca.crt."""
        wanted = {**self.read(), **{name.replace('_', '.'): data for name, data in files.items()}}
        return self.write({name: data for name, data in wanted.items() if data is not None})
