#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out what of Debian's packages goes into the image, by looking at files: nothing of its architecture runs.

    contents.py BUILD TRIPLET [SYSROOT]        without SYSROOT: the packages of this machine

Prints lines of words separated by tabs, of which deploy/image makes the root, and sbom.py the list of contents:
    file FILE SOURCE                                                  a library, or nft: its path in the image, and where it is now
    from, needs, shipped, compiled                                    see sbom.py
"""
import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = ['sidecar/fairlead-sidecar', 'agent/fairlead-agent']
NFT = '/usr/sbin/nft'
HEADERS_ONLY = ['uthash-dev']
# What the compiler puts into each program.
STARTUP = ['Scrt1.o', 'crti.o', 'crtbeginS.o', 'libgcc.a', 'libc_nonshared.a']


def out(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def die(*lines):
    sys.exit('deploy/image: ' + '\n'.join(lines))


class Debian:
    """The packages of a root folder."""

    def __init__(self, root):
        self.root = root
        self.database = f'--admindir={root}/var/lib/dpkg'

    def spellings(self, path):
        """dpkg may know a file by its path from before or after the merge of /usr."""
        real = '/' + str((self.root / path.lstrip('/')).resolve().relative_to(self.root.resolve()))
        return [s for p in (path, real) for s in (p, '/usr' + p, p.removeprefix('/usr'))]

    def owner(self, path):
        done = subprocess.run(['dpkg-query', self.database, '-S', *self.spellings(path)], capture_output=True, text=True, check=False)
        names = re.findall(r'^([^:, ]+)(?::[a-z0-9-]+)?: /', done.stdout, re.M)
        return names[0] if names else die(f'{path} belongs to no Debian package, so its licence is unknown.')

    def about(self, package):
        """Name, version, source, version of the source, architecture."""
        form = '${Package}\t${Version}\t${source:Package}\t${source:Version}\t${Architecture}\n'
        return out('dpkg-query', self.database, '-W', '-f', form, package).splitlines()[0].split('\t')


def linked_with(path):
    """The loader, if the file names one, and its libraries."""
    return re.findall(r'(?:program interpreter: |\(NEEDED\).*\[)(.*)\]$',
                      out('readelf', '--wide', '--program-headers', '--dynamic', path), re.M)


def follow(root, triplet, programs):
    """Yields (file, the library that it needs, where this is), from {path in the image: where it is} on."""
    todo, places = list(programs), dict(programs)
    while todo:
        file = todo.pop(0)
        for name in linked_with(places[file]):
            if name.startswith('ld-linux'):
                continue  # the loader, which the program names by its path
            library = '/usr/lib/' + (re.sub('^/(usr/)?lib/', '', name) if name.startswith('/lib/') else f'{triplet}/{name}')
            if name.startswith('/lib64/'):
                library = '/usr' + name
            if library not in places:
                places[library] = (root / library.removeprefix('/usr/')).resolve()
                if not places[library].is_file():
                    die(f'{library}, with which {file} is linked, does not exist in {root}.')
                todo.append(library)
            yield file, library, places[library]


def archives(build, program):
    """The static libraries of others that a program of the build is linked with."""
    rule = re.search(rf'^build {re.escape(program)}: .*?^ LINK_ARGS = (.*?)$', (build / 'build.ninja').read_text(), re.M | re.S)
    return [Path(word).resolve() for word in rule[1].split() if word.startswith('/') and word.endswith('.a')]


def compiled_in(build, triplet, root):
    """The packages with code in the programs, each with the root folder in which it is."""
    compiler = [f'{triplet}-gcc', f'--sysroot={root}']
    files = {f for program in PROGRAMS for f in archives(build, program)}
    files |= {Path(out(*compiler, f'-print-file-name={name}').strip()).resolve() for name in STARTUP}
    found = {(name, root) for name in HEADERS_ONLY}
    for file in files:
        # The cross compiler's own are this machine's.
        base = root if file.is_relative_to(root.resolve()) else Path('/')
        found.add((Debian(base).owner('/' + str(file.relative_to(base.resolve()))), base))
    return sorted(found)


def main():
    build, triplet = Path(sys.argv[1]), sys.argv[2]
    root = Path(sys.argv[3] if len(sys.argv) > 3 else '/')
    debian = Debian(root)
    programs = {'/usr/bin/' + Path(p).name: build / p for p in PROGRAMS} | {NFT: root / NFT.lstrip('/')}
    needs = list(follow(root, triplet, programs))
    places = {library: place for _, library, place in needs} | {NFT: programs[NFT]}
    owners = {file: debian.owner(file) for file in places}
    lines = [['file', file, places[file]] for file in sorted(places)]
    lines += [['from', file, owner] for file, owner in sorted(owners.items())]
    lines += [['from', file, 'fairlead'] for file in sorted(set(programs) - {NFT})]
    lines += [['needs', file, library] for file, library, _ in sorted(needs)]
    lines += [['shipped', *debian.about(owner)] for owner in sorted(set(owners.values()))]
    lines += [['compiled', *Debian(base).about(name)] for name, base in compiled_in(build, triplet, root)]
    for line in lines:
        print('\t'.join(map(str, line)))


if __name__ == '__main__':
    main()
