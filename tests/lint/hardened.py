#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the hardening flags took effect in both programs, in every object of ours, and in every object of
libwolfssl, which parses untrusted bytes. Each finding is one line, FILE: what is missing.

    tests/lint/hardened.py BUILD
"""
import json
import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = ['sidecar/fairlead-sidecar', 'agent/fairlead-agent']

# Objects that are not C: the compiler adds no canary, probe or zeroing to hand-written assembly. The marks for the
# stack and for branch tracking are required nevertheless.
ASSEMBLY = re.compile(
    r'meson-generated_\.\._(?:aes|aes_gcm|chacha|fe_x25519|poly1305|sha256|sha3|sha512|sp_x86_64|wc_mlkem)_asm\.S\.o|'
    r'wolfcrypt_src_port_arm_armv8-[a-z0-9]+(?:-asm)?\.S\.o')

# The flags as the compiler records them in the debug information.
FLAGS = ['-fstack-protector-strong', '-fstack-clash-protection', '-ftrivial-auto-var-init=zero']
# Those of one architecture, by its name in ELF.
FLAGS_OF = {'X86-64': ['-fcf-protection=full'], 'AArch64': ['-mbranch-protection=standard']}


def out(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def machine(path):
    return re.search(r'Machine:.*?(\S+)$', out('readelf', '--file-header', path), re.M).group(1)


def program(path):
    headers = out('readelf', '--wide', '--file-header', '--program-headers', '--dynamic', path)
    if not re.search(r'Type:\s+DYN ', headers) or not re.search(r'\(FLAGS_1\).*\bPIE\b', headers):
        yield 'is not position independent'
    if 'GNU_RELRO' not in headers:
        yield 'has no RELRO segment'
    if not re.search(r'\(FLAGS_1\).*\bNOW\b', headers):
        yield 'binds its symbols lazily, so that their table stays writable'
    if not re.search(r'GNU_STACK(?:\s+0x\w+){5}\s+RW\s', headers):
        yield 'has an executable stack, or no mark that it has none'
    if machine(path) == 'X86-64' and 'SHSTK' not in out('readelf', '--notes', path):
        yield 'is not marked for shadow stacks'
    symbols = out('nm', '--dynamic', '--undefined-only', path)
    if '__stack_chk_fail' not in symbols:
        yield 'has no stack protector'
    if not re.search(r'__mem\w+_chk', symbols):
        yield 'calls no fortified function'


def producers(path):
    """Returns the compiler and the flags of each unit of an object."""
    text = out('readelf', '--debug-dump=info', '--dwarf-depth=1', path)
    return re.findall(r'DW_AT_producer\s*:.*?(?=GNU |clang)(.*)', text)


def code(path):
    notes, its_machine = out('readelf', '--notes', path), machine(path)
    if its_machine == 'X86-64' and not re.search(r'\bIBT\b.*\bSHSTK\b', notes):
        yield 'is not marked for indirect branch tracking and shadow stacks'
    if '.note.GNU-stack' not in out('readelf', '--wide', '--section-headers', path):
        yield 'has no mark that it needs no executable stack'
    if ASSEMBLY.fullmatch(path.name):
        return
    made = producers(path)
    if not made:
        yield 'has no record of how it was compiled'
    for producer in made:
        for flag in FLAGS + FLAGS_OF.get(its_machine, []):
            if flag not in producer:
                yield f'was compiled without {flag}'


def runs_at_build_time(path):
    """Returns whether it belongs to a program that the build runs, and that nobody installs."""
    return 'make_sandbox_filters' in str(path)


def fortified(build):
    """The debug information has no macros, so this checks the compile commands."""
    for entry in json.loads((build / 'compile_commands.json').read_text(encoding='utf-8')):
        if entry['file'].endswith('.c') and not runs_at_build_time(entry['output']) and not re.search(r'-D_FORTIFY_SOURCE=[23]\b', entry['command']):
            yield f'{entry["output"]}: was compiled without _FORTIFY_SOURCE'


def main():
    build = Path(sys.argv[1])
    wolfssl = next(build.glob('deploy/subprojects/wolfssl-*/libwolfssl.a.p')).parent
    objects = sorted(p for d in ('sidecar', 'agent', 'certs-watch') for p in (build / d).rglob('*.o')
                     if not runs_at_build_time(p))
    objects += sorted(wolfssl.rglob('*.o'))
    findings = [f'{build / name}: {what}' for name in PROGRAMS for what in program(build / name)]
    findings += [f'{path}: {what}' for path in objects for what in code(path)]
    findings += list(fortified(build))
    print('\n'.join(findings) or f'{len(objects)} objects and {len(PROGRAMS)} programs: ok')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
