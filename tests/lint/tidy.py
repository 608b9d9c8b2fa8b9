#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs clang-tidy over every file of ours in a build tree. A file that passed is checked again only after a change that
may affect the verdict. Checkouts of one user share this cache (~/.cache/fairlead/tidy).

    tests/lint/tidy.py BUILD [FILE...]
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIDY = 'clang-tidy-14'
ANALYZER = ROOT / 'tests/lint/analyzer.h'
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'fairlead', 'tidy')
KEPT_DAYS = 30
OURS = ('sidecar/', 'agent/', 'certs-watch/', 'tests/')


def ours(path, build):
    """returns the path relative to the root if it is a file of ours, or None"""
    name = os.path.relpath(os.path.join(build, path), ROOT)
    return name if name.startswith(OURS) else None


def headers(build):
    """returns object -> our files that it was compiled from, as ninja recorded them"""
    text = subprocess.run(['ninja', '-C', build, '-t', 'deps'], capture_output=True, text=True, check=True).stdout
    found, current = {}, None
    for line in text.splitlines():
        if line.startswith('    '):
            current.append(line.strip())
        elif ': #deps' in line:
            current = found.setdefault(line.split(': #deps')[0], [])
    return found


def fingerprint(entry, deps, build):
    """returns a hash of everything that the verdict depends on"""
    digest = hashlib.sha256()
    # Not compiled yet (build_by_default: false): any header of ours may matter.
    used = deps.get(entry['output']) or [str(h) for top in OURS for h in Path(ROOT, top).rglob('*.h')]
    names = {ours(p, build) for p in used} - {None} | {ours(entry['file'], build)}
    configs = [str(c.relative_to(ROOT)) for c in ROOT.glob('**/.clang-tidy') if 'build' not in c.parts]
    for name in sorted(names) + sorted(configs):
        digest.update(name.encode() + b'\0' + (ROOT / name).read_bytes())
    digest.update(entry['command'].encode() + ANALYZER.read_bytes() + TIDY.encode())
    return digest.hexdigest()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if not shutil.which(TIDY):
        sys.exit(f'{TIDY} is missing: apt-get install {TIDY}, or run tests/run')
    build, wanted = os.path.abspath(sys.argv[1]), {os.path.relpath(f, ROOT) for f in sys.argv[2:]}
    CACHE.mkdir(parents=True, exist_ok=True)
    deps = headers(build)

    jobs, known = {}, 0
    for entry in json.loads(Path(build, 'compile_commands.json').read_text()):
        name = ours(entry['file'], build)
        if not name or (wanted and name not in wanted) or name in jobs:
            continue
        mark = CACHE / fingerprint(entry, deps, build)
        if mark.exists():
            mark.touch()
            known += 1
        else:
            jobs[name] = mark

    def run(name):
        # err.c defines what analyzer.h describes.
        # Clang 14 knows gcc's flag only by another name, and zeroing would hide uninitialized variables from it.
        told = ['--extra-arg=-ftrivial-auto-var-init=uninitialized']
        told += [] if name == 'sidecar/base/err.c' else [f'--extra-arg=-include{ANALYZER}']
        result = subprocess.run([TIDY, '--quiet', '-p', build, *told, name],
                                cwd=ROOT, capture_output=True, text=True)
        if result.returncode == 0:
            jobs[name].touch()
        return result

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(run, sorted(jobs)))
    failed = [r for r in results if r.returncode]
    for result in failed:
        text = (result.stdout or result.stderr).replace(build + '/', '').replace('../', '').strip()
        # The analyzer's path to a finding is long: print it only for files that are named on the command line.
        shown = ': (error|note): ' if wanted else ': error: '
        print('\n'.join(l for l in text.splitlines() if l.startswith(OURS) and re.search(shown, l)) or text)
    for old in CACHE.iterdir():
        if old.stat().st_mtime < time.time() - KEPT_DAYS * 24 * 3600:
            old.unlink(missing_ok=True)
    print(f'{len(results) - len(failed)} clean, {len(failed)} with findings, '
          f'{known} unchanged since they were clean')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
