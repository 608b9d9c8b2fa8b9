#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""No function leaves the upper halves of the vector registers dirty: on every path from a write to a ymm or zmm
register to a return, a call or an instruction of the old SSE encoding there is a vzeroupper.

When an SSE instruction writes a register, Intel's processors preserve its upper half. While any upper half is dirty,
each such instruction waits for the one before it. SHA-256 with SHA-NI, whose instructions exist only in the old
encoding, is then a hundred times slower. One routine that returns without vzeroupper slows down everything after it,
until some other code happens to clean up. AMD's processors are not affected, so a benchmark on one of them does not
show the problem. This check reads the object code on any processor. Each finding is one line, OBJECT: FUNCTION: what is
wrong where.

    tests/lint/vectors.py BUILD             all objects of libwolfssl and of ours
    tests/lint/vectors.py --object FILE...  these
"""
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WIDE = re.compile(r'%[yz]mm\d')
INSTRUCTION = re.compile(r'^\s*([0-9a-f]+):\t(?:(?:bnd|notrack|rep\w*|lock|data16|cs) )*(\S+)\s*(.*)$')
LABEL = re.compile(r'^([0-9a-f]+) <(.+)>:$')
TARGET = re.compile(r'^([0-9a-f]+) <')
PREFIX_ALONE = {'repz', 'rep', 'bnd', 'notrack', 'data16', 'cs'}


class Instruction:
    __slots__ = ('at', 'next', 'name', 'args', 'target')

    def __init__(self, at, name, args, linked):
        self.at = at
        self.next = None
        self.name = name
        self.args = args
        found = TARGET.match(args)
        # A target that the linker still has to fill in lies elsewhere.
        self.target = int(found.group(1), 16) if found and not linked else None

    def is_return(self):
        return self.name.startswith('ret')

    def is_call(self):
        return self.name.startswith('call')

    def is_jump(self):
        return self.name.startswith(('j', 'loop'))

    def always_jumps(self):
        return self.name.startswith('jmp')

    def cleans(self):
        return self.name in ('vzeroupper', 'vzeroall')

    def dirties(self):
        # The last operand is the written one. Compares and stores count if it is a register.
        return bool(WIDE.search(re.sub(r'\{[^}]*\}', '', self.args).rsplit(',', 1)[-1].split('(')[0]))

    def is_old(self):
        return '%xmm' in self.args and not self.name.startswith('v')


def disassemble(path):
    """Returns the sections of an object: {address: instruction} and [(address, label)] of each."""
    text = subprocess.run(['objdump', '--disassemble', '--reloc', '--no-show-raw-insn', '--wide', path],
                          check=True, capture_output=True, text=True).stdout
    for section in text.split('\nDisassembly of section ')[1:]:
        code, labels, last = {}, [], None
        for line in section.split('\n'):
            if label := LABEL.match(line):
                labels.append((int(label.group(1), 16), label.group(2)))
            elif found := INSTRUCTION.match(line):
                at, name, args = int(found.group(1), 16), found.group(2), found.group(3)
                if name in PREFIX_ALONE:
                    name, _, args = args.partition(' ')
                args, *relocation = args.split('\t')
                one = Instruction(at, name, args.split(' #')[0].strip(), bool(relocation))
                code[at] = one
                if last is not None:
                    last.next = at
                last = one
        yield code, labels


def functions(path):
    """Returns the labels that are called from elsewhere or have a type. Other labels are inside a function."""
    table = subprocess.run(['readelf', '--symbols', '--wide', path], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r'\bFUNC\s+\w+\s+\w+\s+\d+\s+(\S+)', table))


def walk(code, start, last):
    """Returns what is wrong in one function, whose registers are clean on entry."""
    seen, todo, wrong = set(), [(start, False)], {}
    while todo:
        state = todo.pop()
        if state in seen or state[0] not in code:
            continue
        seen.add(state)
        one, dirty = code[state[0]], state[1]
        leaves = one.is_jump() and (one.target is None or not start <= one.target < last)
        if dirty and (one.is_return() or one.is_call() or leaves or one.is_old()):
            wrong[one.at] = f'{one.name} {one.args}'.strip()
        if one.is_return():
            continue
        if one.is_old():
            dirty = False  # reported once; later findings on this path add nothing
        dirty = not one.cleans() and (dirty or one.dirties())
        if one.is_jump() and not leaves:
            todo.append((one.target, dirty))
        if not one.always_jumps() and one.next is not None:
            todo.append((one.next, dirty))
    return wrong


def check(path):
    findings, count = [], 0
    known = functions(path)
    for code, labels in disassemble(path):
        if not any(WIDE.search(one.args) for one in code.values()):
            continue
        starts = [(at, name) for at, name in labels if name in known]
        for (start, name), (last, _) in zip(starts, starts[1:] + [(max(code) + 1, '')]):
            if not any(start <= at < last and WIDE.search(one.args) for at, one in code.items()):
                continue
            count += 1
            for at, what in sorted(walk(code, start, last).items()):
                findings.append(f'{path}: {name}+0x{at - start:x}: `{what}` with the upper halves of registers in use; '
                                'vzeroupper has to come before it')
    return findings, count


def main():
    if platform.machine() != 'x86_64':
        print('ok: only x86-64 has such registers')
        return 0
    if sys.argv[1] == '--object':
        paths = [Path(a) for a in sys.argv[2:]]
    else:
        build = Path(sys.argv[1])
        wolfssl = next(build.glob('deploy/subprojects/wolfssl-*/libwolfssl.a.p')).parent
        paths = sorted(wolfssl.rglob('*.o')) + sorted((build / 'sidecar').rglob('*.o'))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, paths))
    findings = [line for found, _ in results for line in found]
    print('\n'.join(findings) or f'{len(paths)} objects, {sum(n for _, n in results)} functions with wide registers: ok')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
