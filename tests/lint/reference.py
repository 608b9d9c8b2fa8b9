#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of sidecar/REFERENCE.md that are made from the code: the keys of the INI (sidecar/conf/manual.c), and the reasons why
connections end (sidecar/count/reason.h), whose last column is written by hand.

    tests/lint/reference.py             reports the lines that differ
    tests/lint/reference.py --write     writes them
"""
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = 'sidecar/REFERENCE.md'
CLASSES = {'ENDED': 'ended', 'REFUSED': 'refused', 'LOST': 'closed'}
STRING = r'(?:"(?:[^"\\]|\\.)*"\s*)+'


def text_of(strings):
    """Returns what adjacent string literals of C mean."""
    return ''.join(map(ast.literal_eval, re.findall(r'"(?:[^"\\]|\\.)*"', strings)))


def row(*cells):
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


def code(words):
    return ', '.join(f'`{word}`' for word in words.split(', '))


def keys(_):
    """The table of keys."""
    source = (ROOT / 'sidecar/conf/manual.c').read_text()
    yield from ('| section | key | default | is |', '|---|---|---|---|')
    before = None
    for strings in re.findall(rf'\{{({STRING}),\s*({STRING}),\s*({STRING}),\s*({STRING})\}}', source):
        section, names, fallback, text = map(text_of, strings)
        value = fallback.strip('()') if fallback in ('', '(required)', '(empty)') else f'`{fallback}`'
        yield row(code(section) if section != before else '', code(names), value, text).replace('|  |', '| |')
        before = section


def reasons(present):
    """The table of reasons, with the last column of the present one."""
    kept = {cells[1].strip(): cells[4].strip() for cells in (line.split('|') for line in present) if len(cells) == 6}
    source = (ROOT / 'sidecar/count/reason.h').read_text()
    yield from ('| `reason` | the connection was | because | more |', '|---|---|---|---|')
    for word, kind, text in re.findall(rf'X\(\w+, "(\w+)", (\w+),[\s\\]*({STRING})\)', source):
        yield row(f'`{word}`', CLASSES[kind], text_of(text), kept.get(f'`{word}`', '')).replace('|  |', '| |')


TABLES = {'| section | key |': keys, '| `reason` |': reasons}


def made():
    """Returns (the document as it is, as it should be)."""
    text = (ROOT / REFERENCE).read_text()
    lines, out = iter(text.split('\n')), []
    for line in lines:
        maker = next((maker for start, maker in TABLES.items() if line.startswith(start)), None)
        if not maker:
            out.append(line)
            continue
        present = [line]
        for line in lines:
            if not line.startswith('|'):
                break
            present.append(line)
        out += [*maker(present), line]
    return text, '\n'.join(out)


def differences():
    present, due = (text.split('\n') for text in made())
    for number, (is_there, should_be) in enumerate(zip(present, due), 1):
        if is_there != should_be:
            yield f'{REFERENCE}:{number}: not what the code says; tests/lint/reference.py --write mends it. It should be: {should_be[:150]}'
            return
    if len(present) != len(due):
        yield f'{REFERENCE}:1: a table lacks its last rows, or has too many; tests/lint/reference.py --write mends it'


if __name__ == '__main__':
    if sys.argv[1:] == ['--write']:
        (ROOT / REFERENCE).write_text(made()[1])
    else:
        found = list(differences())
        print('\n'.join(found) or 'ok')
        sys.exit(1 if found else 0)
