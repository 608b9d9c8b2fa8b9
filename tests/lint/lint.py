#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules that a machine can check. Each finding is one line, FILE:LINE: what is wrong.

    tests/lint/lint.py [CHECK...] [--build DIR]     runs all checks if none is named
    tests/lint/lint.py circles --all                also reports the circles that are excused for now
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import graph
import reference

ROOT = Path(__file__).resolve().parents[2]

# --- the rules, as data ---------------------------------------------------------------------------

# The folders that each folder may include besides itself (sidecar/ARCHITECTURE.md says why). No folder includes upward.
LAYERS = {
    'sidecar/base': [],
    'sidecar/wire': ['base'],
    'sidecar/pki': ['base'],
    'sidecar/policy': ['base', 'pki'],
    'sidecar/conf': ['base', 'policy', 'pki'],
    'sidecar/ctl': ['base'],
    'sidecar/tls': ['base', 'pki'],
    'sidecar/net': ['base'],
    'sidecar/count': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net'],
    'sidecar/generation': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net', 'count'],
    'sidecar/conn': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net', 'count', 'generation'],
    'sidecar/judge': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net', 'count', 'generation', 'conn'],
    'sidecar/report': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net', 'count', 'generation', 'conn', 'judge'],
    'sidecar/worker': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net', 'count', 'generation', 'conn', 'judge', 'report'],
    'sidecar/server': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net', 'count', 'generation', 'conn', 'judge', 'report', 'worker'],
    'sidecar/admin': ['base', 'net'],
    'sidecar': ['base', 'wire', 'pki', 'policy', 'conf', 'ctl', 'tls', 'net',
                'count', 'generation', 'conn', 'judge', 'report', 'worker', 'server', 'admin'],
    'certs-watch': ['base', 'pki', 'tls'],
    'agent/common': ['base', 'conf', 'policy', 'pki', 'ctl', 'certs-watch'],
    'agent/run': ['base', 'conf', 'pki', 'ctl', 'tls', 'net', 'certs-watch', 'agent/common'],
    'agent/capture': ['base', 'conf', 'net', 'agent/common'],
    'agent/import': ['base', 'conf', 'policy', 'pki', 'agent/common'],
    'agent/tools': ['base', 'conf', 'policy', 'pki', 'ctl', 'tls', 'net', 'certs-watch', 'agent/common', 'agent/capture'],
    'agent': ['base', 'conf', 'agent/common', 'agent/run', 'agent/capture', 'agent/import', 'agent/tools'],
}

# Headers of libraries, and the folders that may include them.
FOREIGN = [
    (r'wolfssl/ssl\.h', ['sidecar/tls']),
    (r'wolfssl/.*', ['sidecar/pki', 'sidecar/tls']),
    (r'uv\.h', ['sidecar/net', 'sidecar/count', 'sidecar/conn', 'sidecar/judge', 'sidecar/worker', 'sidecar/server', 'sidecar/admin', 'sidecar', 'certs-watch', 'agent/run']),
    (r'ares.*\.h', ['sidecar/server']),
    (r'ini\.h', ['sidecar/conf']),
    (r'cjson/.*', ['agent/common', 'agent/capture', 'agent/tools']),
    (r'yaml\.h', ['agent/import']),
    (r'http_parser\.h', ['sidecar/admin']),
    (r'uthash\.h', ['sidecar/policy', 'sidecar/conf', 'sidecar/count', 'sidecar/generation', 'sidecar/conn', 'sidecar/judge', 'sidecar/server']),
    (r'utlist\.h', ['sidecar/conn', 'sidecar/judge', 'sidecar/worker', 'sidecar/server', 'sidecar/tls']),
]

# Headers that only one file of the product may include, because a library's private parts may change with any version.
PRIVATE = {'wolfssl/internal.h': 'sidecar/tls/wolf.c'}

# libuv's streams belong to sidecar/net alone.
UV_STREAM = re.compile(
    r'\buv_(?:(?:tcp|pipe|read|stream)_\w+|write2?(?:_t)?|try_write2?|listen|accept|'
    r'connect_t|shutdown(?:_t)?|is_readable|is_writable)\b')

BANNED = {
    'strcpy': 'snprintf or memcpy with a known size',
    'stpcpy': 'snprintf or memcpy with a known size',
    'strcat': 'snprintf into what is left',
    'sprintf': 'snprintf, and check its result',
    'vsprintf': 'vsnprintf, and check its result',
    'gets': 'fgets',
    'strtok': 'strtok_r, or a cursor',
    'atoi': 'strtol with its error checks',
    'atol': 'strtol with its error checks',
    'atoll': 'strtoll with its error checks',
    'assert': 'FL_REQUIRE, which no build leaves out (base/err.h)',
    'system': 'posix_spawn with an argument list',
    'popen': 'posix_spawn with an argument list',
    'alloca': 'a fixed buffer or malloc',
    'rand': 'getrandom',
    'srand': 'getrandom',
}

TOP_LEVEL = {
    'sidecar', 'agent', 'certs-watch', 'deploy', 'tests', 'meson.build', 'README.md', 'LICENSE',
    '.ci', '.github', '.clang-format', '.clang-tidy', '.editorconfig', '.gitignore',
}

# What only one machine or registry has: it is missing on any other machine.
UNPORTABLE = [
    (re.compile(r'/(?:root|work)/|/home/\w'), 'path of one machine; use $HOME or a relative path'),
    (re.compile(r'\b(?:deb\.debian|security\.debian|snapshot\.debian|pypi|files\.pythonhosted|'
                r'registry\.npmjs|proxy\.golang|crates)\.(?:org|io)\b'),
     "registry host; ask the machine's own configuration"),
]

# A longer file does two things, and a folder with a larger share of the product is more than one room.
MOST_LINES = 600
MOST_OF_PRODUCT = 0.20

# Pictures for documents, which a test makes.
PICTURES = {'sidecar/report/page.png'}
LARGEST_PICTURE = 150_000

# Known violations that have to be fixed. Remove an entry with its cause: an entry without a cause is a finding.
LEFT = {
    # Sets of folders whose rows in LAYERS form circles.
    'rows': [
    ],
    # Sets of folders whose includes form circles.
    'circles': [
    ],
    # Files and folders above the limit.
    'sizes': [
    ],
}

# --- the tree -------------------------------------------------------------------------------------


def tree():
    """Returns the files that are part of the project, or would be after `git add`."""
    if (ROOT / '.git').exists():
        listing = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT,
                                 check=True, capture_output=True, text=True).stdout
        names = [n for n in listing.split('\0') if n]
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob('*')
                 if not re.match(r'build(-\w+)?/|deploy/subprojects/wolfssl-', str(p.relative_to(ROOT)))]
    return sorted(n for n in set(names) if (ROOT / n).is_file())


FILES = tree()


def read(name):
    return (ROOT / name).read_text(encoding='utf-8', errors='replace')


def c_files(*folders):
    return [n for n in FILES if n.endswith(('.c', '.h')) and n.startswith(tuple(f + '/' for f in folders))]


def product():
    return c_files('sidecar', 'agent', 'certs-watch')


def is_script(name):
    return name.endswith(('.py', '.sh')) or read(name).startswith('#!')


def is_text(name):
    return b'\0' not in (ROOT / name).read_bytes()[:4096]


C_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_lines(name):
    """Returns the lines of a C file with comments and literals blanked, so that only code can match."""
    def blank(match):
        return re.sub(r'[^\n]', ' ', match.group())
    return list(enumerate(C_TOKEN.sub(blank, read(name)).split('\n'), 1))


def includes(name):
    for number, line in enumerate(read(name).split('\n'), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


# --- the checks -----------------------------------------------------------------------------------


def layer_of(name):
    folder = name.rpartition('/')[0]
    return folder if folder in LAYERS else None


def target_layer(name, header):
    """Returns the layer that a quoted include refers to, or an explanation."""
    folder = header.rpartition('/')[0]
    if not folder:
        return layer_of(name)
    for candidate in (folder, 'sidecar/' + folder):
        if candidate in LAYERS and not header.startswith('sidecar/'):
            return candidate
    return None


def check_includes(_):
    """include directions: the tables LAYERS, FOREIGN and PRIVATE, and libuv's streams in sidecar/net"""
    for name in product():
        layer = layer_of(name)
        if layer is None:
            yield f'{name}:1: this folder is no layer yet; give it a row in tests/lint/lint.py'
            continue
        allowed = {layer, *(l for l in LAYERS if l.removeprefix('sidecar/') in LAYERS[layer])}
        for number, mark, header in includes(name):
            if mark == '"':
                target = target_layer(name, header)
                if target is None:
                    yield (f'{name}:{number}: "{header}" names no layer; write "base/err.h" for '
                           'sidecar/base/err.h, "certs-watch/source.h", or <...> for foreign headers')
                elif target not in allowed:
                    yield f'{name}:{number}: {layer} may not include {target} ("{header}")'
                continue
            if PRIVATE.get(header, name) != name:
                yield f'{name}:{number}: <{header}> only in {PRIVATE[header]}: add a function to its header'
            for pattern, folders in FOREIGN:
                if re.fullmatch(pattern, header):
                    if layer not in folders:
                        yield f'{name}:{number}: <{header}> only in {", ".join(folders)}'
                    break
        if layer != 'sidecar/net':
            for number, line in code_lines(name):
                for match in UV_STREAM.finditer(line):
                    yield f'{name}:{number}: {match.group()}: libuv streams only in sidecar/net'


def module_of(name):
    """Returns the module of a file: X.c, X.h and X_internal.h are one, and so is X_y.c that includes x_internal.h."""
    folder, _, base = name.rpartition('/')
    stem = base.rpartition('.')[0].removesuffix('_internal')
    owner = next((h.rpartition('/')[2].removesuffix('_internal.h') for _, mark, h in includes(name)
                  if mark == '"' and h.endswith('_internal.h')), stem)
    if base.endswith('.c') and stem.startswith(owner + '_') and f'{folder}/{owner}_internal.h' in FILES:
        stem = owner
    return f'{folder}/{stem}'


def file_of(name, header):
    """Returns the file that a quoted include refers to, or None if it is not ours."""
    tries = [header, 'sidecar/' + header, name.rpartition('/')[0] + '/' + header]
    return next((t for t in tries if t in FILES), None)


def include_edges():
    """Returns (module, module) -> the lines where one includes the other."""
    edges = {}
    for name in product():
        for number, mark, header in includes(name):
            target = file_of(name, header) if mark == '"' else None
            if target and module_of(target) != module_of(name):
                edges.setdefault((module_of(name), module_of(target)), []).append(f'{name}:{number}')
    return edges


def told_circles(edges, what, excuses):
    """Yields a finding for each circle, with the places of its edges. edges: (from, to) -> places; excuses: rows of
    LEFT."""
    # A component may hold many circles. This reports the shortest one through each of its nodes.
    after = {}
    for one, other in edges:
        after.setdefault(one, set()).add(other)
    used = set()
    for knot, way in graph.circles(after):
        folders = {n if n in LAYERS else n.rpartition('/')[0] for n in knot}
        excused = [e for e in excuses if folders <= set(e)]
        used.update(excused)
        if not excused:
            yield f'{edges[way[0], way[1]][0]}: {what}: {way[0]} ' + ' '.join(
                f'-> {other} ({edges[one, other][0]})' for one, other in zip(way, way[1:]))
    for each in sorted(set(excuses) - used):
        yield f'tests/lint/lint.py:1: LEFT excuses circles of {", ".join(each)}: there are none any more'


def check_circles(args):
    """no circles of includes: between modules, and between the rows of LAYERS"""
    rows = {}
    for layer, below in LAYERS.items():
        for each in below:
            target = next((l for l in LAYERS if l.removeprefix('sidecar/') == each), None)
            if target is None:
                yield f'tests/lint/lint.py:1: {layer} may include {each}, which has no row in LAYERS'
            else:
                rows[layer, target] = [f'{layer}/']
    for layer in sorted(set(LAYERS) - {layer_of(n) for n in product()}):
        yield f'tests/lint/lint.py:1: LAYERS has a row for {layer}, where no file is'
    yield from told_circles(rows, 'LAYERS goes in a circle', [] if args.all else LEFT['rows'])
    yield from told_circles(include_edges(), 'includes go in a circle', [] if args.all else LEFT['circles'])


def objects_of(build):
    """Yields each object and the file of ours that it was compiled from."""
    commands = Path(build, 'compile_commands.json')
    for each in json.loads(commands.read_text()) if commands.exists() else []:
        source = os.path.relpath(os.path.join(each['directory'], each['file']), ROOT)
        output = Path(each['directory'], each['output'])
        if source in FILES and not source.startswith('tests/') and output.exists():
            yield str(output), source


def symbols_of(objects):
    """Yields (object, letter, symbol) of every global symbol, as nm prints them."""
    told = subprocess.run(['nm', '--extern-only', '--print-file-name', *objects],
                          check=True, capture_output=True, text=True).stdout
    for line in told.splitlines():
        place, letter, symbol = line.rsplit(None, 2)
        yield place.rsplit(':', 1)[0], letter, symbol


def check_links(args):
    """symbols that objects use of each other: nothing upward, whatever header declares it"""
    source = dict(objects_of(args.build))
    if not source:
        yield f'{args.build}:1: nothing is built here; run deploy/build first'
        return
    symbols = list(symbols_of(source))
    home = {symbol: source[o] for o, letter, symbol in symbols if letter not in 'Uw' and symbol != 'main'}
    for user, symbol in sorted({(source[o], s) for o, letter, s in symbols if letter in 'Uw' and s in home}):
        layer, target = layer_of(user), layer_of(home[symbol])
        if layer != target and (target or '').removeprefix('sidecar/') not in LAYERS.get(layer, []):
            yield f'{user}:1: {layer} may not use {symbol}, which is defined in {home[symbol]}'


def line_count(name):
    return read(name).count('\n')


def check_sizes(_):
    """no file of more than 600 lines, no folder with more than a fifth of the product's"""
    too_long = {}
    for name in FILES:
        if name.endswith(('.c', '.h', 'meson.build')) or is_text(name) and is_script(name):
            if line_count(name) > MOST_LINES:
                too_long[name] = f'{name}:{MOST_LINES + 1}: has {line_count(name)} lines; {MOST_LINES} are the most'
    lines = {}
    for name in product():
        folder = name.rpartition('/')[0]
        lines[folder] = lines.get(folder, 0) + line_count(name)
    for folder, count in lines.items():
        part = count / sum(lines.values())
        if part > MOST_OF_PRODUCT:
            too_long[folder] = (f'{folder}:1: has {part:.1%} of the product; '
                                f'{MOST_OF_PRODUCT:.0%} are the most')
    for name in sorted(set(too_long) - set(LEFT['sizes'])):
        yield too_long[name]
    for name in sorted(set(LEFT['sizes']) - set(too_long)):
        yield f'tests/lint/lint.py:1: LEFT excuses {name}, which is not too long any more'


def check_banned(_):
    """functions that invite mistakes"""
    call = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')
    for name in c_files('sidecar', 'agent', 'certs-watch', 'tests'):
        for number, line in code_lines(name):
            for match in call.finditer(line):
                yield f'{name}:{number}: {match.group(1)}: use {BANNED[match.group(1)]}'


def check_licence(_):
    """the SPDX line in every source file and script"""
    for name in FILES:
        lines = read(name).split('\n', 2) if is_text(name) else ['']
        if name.endswith(('.c', '.h')):
            if lines[0] != '/* SPDX-License-Identifier: GPL-3.0-or-later */':
                yield f'{name}:1: must be: /* SPDX-License-Identifier: GPL-3.0-or-later */'
        elif name.endswith(('meson.build', '.ini')) or is_script(name):
            where = 1 if lines[0].startswith('#!') else 0
            if lines[where:where + 1] != ['# SPDX-License-Identifier: GPL-3.0-or-later']:
                yield f'{name}:{where + 1}: must be: # SPDX-License-Identifier: GPL-3.0-or-later'


def check_top_level(_):
    """nothing new in the root folder"""
    for top in sorted({n.split('/')[0] for n in FILES} - TOP_LEVEL):
        yield f'{top}:1: not a name of the root folder; it belongs into one of the folders there'
    for top in sorted(TOP_LEVEL - {n.split('/')[0] for n in FILES}):
        yield f'{top}:1: missing in the root folder'


def check_registered(_):
    """every source file and every test is named in a meson.build"""
    for name in c_files('sidecar', 'agent', 'certs-watch', 'tests'):
        if not name.endswith('.c'):
            continue
        folder, _, base = name.rpartition('/')
        if name.startswith('tests/'):
            build, inside = 'tests/meson.build', name.removeprefix('tests/')
            test = re.fullmatch(r'(unit|tls|heart)/(\w+)_test\.c', inside)
            wanted = fr"^\s*'{test.group(2)}'[:,]" if test else fr"'{re.escape(inside)}'"
        else:
            build, wanted = folder + '/meson.build', fr"'{re.escape(base)}'"
        if not re.search(wanted, read(build) if build in FILES else '', re.M):
            yield f'{name}:1: not named in {build}, so it is never built'


def check_symbols(args):
    """what a layer exports starts with fl_: functions and variables, struct and enum tags"""
    tag = re.compile(r'^(?:typedef\s+)?(struct|enum|union)\s+(?!fl_)(\w+)\s*\{')
    for name in product():
        if name.endswith('.h'):
            for number, line in code_lines(name):
                match = tag.match(line)
                if match:
                    yield f'{name}:{number}: {match.group(1)} {match.group(2)}: must start with fl_'
    objects = dict(objects_of(args.build))
    if not objects:
        yield f'{args.build}:1: nothing is built here; run deploy/build first'
        return
    for o, letter, symbol in symbols_of(objects):
        # Sanitizers and the compiler add names with two underscores or a dot.
        if letter not in 'Uw' and not re.match(r'fl_|main$|__|.*\.', symbol):
            yield f'{objects[o]}:1: {symbol}: must be static or start with fl_'


def check_portable(_):
    """no registry host, no path of one machine"""
    for name in FILES:
        if name == 'LICENSE' or not is_text(name):
            continue
        for number, line in enumerate(read(name).split('\n'), 1):
            for pattern, why in UNPORTABLE:
                match = pattern.search(line)
                if match and name != 'tests/lint/lint.py':
                    yield f'{name}:{number}: {match.group()}: {why}'


def check_text(_):
    """UTF-8, LF, a final newline, no trailing blanks, no key material"""
    for name in FILES:
        if not is_text(name):
            if name not in PICTURES:
                yield f'{name}:1: a binary file; generate it instead'
            elif (ROOT / name).stat().st_size > LARGEST_PICTURE:
                yield f'{name}:1: is larger than {LARGEST_PICTURE} bytes'
            continue
        data = (ROOT / name).read_bytes()
        try:
            data.decode('utf-8')
        except UnicodeDecodeError as e:
            yield f'{name}:{data[:e.start].count(10) + 1}: not UTF-8'
        if data and not data.endswith(b'\n'):
            yield f'{name}:{data.count(10) + 1}: no newline at the end'
        for number, line in enumerate(data.split(b'\n'), 1):
            if line != line.rstrip():
                yield f'{name}:{number}: blanks (or CR) at the end of the line'
            if re.match(rb'-----BEGIN [A-Z ]*PRIVATE KEY', line):
                yield f'{name}:{number}: a private key; tests make theirs when they run'


def check_unfinished(_):
    """no TODO, FIXME or XXX"""
    note = re.compile(r'\b(?:TODO|FIXME|XXX)\b')
    for name in c_files('sidecar', 'agent', 'certs-watch', 'tests'):
        for number, line in enumerate(read(name).split('\n'), 1):
            if note.search(line):
                yield f'{name}:{number}: {note.search(line).group()}: finish it or open an issue'


# --- documents --------------------------------------------------------------------------------------


def table(text, heading):
    """Returns the rows of the Markdown table whose first row begins like this, each as its cells."""
    lines = iter(text[text.index('\n' + heading) + 1:].split('\n')[2:])
    for line in lines:
        if not line.startswith('|'):
            return
        yield [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]


def quoted(cell):
    return re.findall(r'`([^`]+)`', cell)


def ini_keys():
    source = read('sidecar/conf/keys.c')
    keys = {name: re.findall(r'\.name = "(\w+)"', body)
            for name, body in re.findall(r'struct fl_key (\w+)\[\] = \{(.*?)\n\};', source, re.S)}
    return {f'[{section}] {key}' for section, name in re.findall(r'SECTION\("(\w+)", \w+, (\w+)\)', source)
            for key in keys[name]}


def documented_keys(reference):
    sections = []
    for cells in table(reference, '| section | key |'):
        sections = re.findall(r'`\[(\w+)', cells[0]) or sections
        yield from (f'[{section}] {key}' for section in sections for key in quoted(cells[1]))


def documented_layers(design):
    """Returns folder -> the layers that it may include, as the table lists them."""
    layers, above = {}, set()
    for cells in table(design, '| folder | is |'):
        folder = quoted(cells[0])[0].removesuffix('/main.c')
        words = {'-': set(), 'all above': set(above), 'all of `sidecar/`': set(above)}
        layers[folder] = words.get(cells[2]) if cells[2] in words else set(cells[2].split(', '))
        above.add(folder.removeprefix('sidecar/'))
    return layers


def check_documented(_):
    """REFERENCE names every key, reason and metric and no other; ARCHITECTURE's layers are those above"""
    document, layers = read('sidecar/REFERENCE.md'), documented_layers(read('sidecar/ARCHITECTURE.md'))
    for name, what, there, said in [
            ('sidecar/REFERENCE.md', 'key', ini_keys(), set(documented_keys(document))),
            ('sidecar/REFERENCE.md', 'reason', set(re.findall(r'X\(\w+, "(\w+)"', read('sidecar/count/reason.h'))),
             {quoted(cells[0])[0] for cells in table(document, '| `reason` |')}),
            ('sidecar/REFERENCE.md', 'metric', set(re.findall(
                r'"(fairlead_\w+|process_\w+)"', ''.join(map(read, c_files('sidecar/report', 'sidecar/count'))))),
             {metric for cells in table(document, '| name | labels |') for metric in quoted(cells[0])}),
            ('sidecar/ARCHITECTURE.md', 'layer', set(LAYERS), set(layers))]:
        for each in sorted(there - said):
            yield f'{name}:1: a table lacks the {what} {each}'
        for each in sorted(said - there):
            yield f'{name}:1: a table names the {what} {each}, which does not exist'
    yield from reference.differences()
    for layer in sorted(set(LAYERS) & set(layers)):
        if set(LAYERS[layer]) != layers[layer]:
            yield (f'sidecar/ARCHITECTURE.md:1: {layer} may include {", ".join(LAYERS[layer]) or "nothing"}: '
                   'that is what LAYERS in tests/lint/lint.py says')


def anchors(text):
    """Returns the names by which a link reaches the headings of a Markdown file, as the forges make them."""
    headings = re.findall(r'(?m)^#+ (.*)$', re.sub(r'(?ms)^```.*?^```', '', text))
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def check_headings(_):
    """links between documents lead to a file that exists, and to a heading in it"""
    documents = {name: read(name) for name in FILES if name.endswith('.md')}
    for name, text in documents.items():
        for number, line in enumerate(text.split('\n'), 1):
            for target in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'`[^`]*`', '', line)):
                path, _, heading = target.partition('#')
                if '://' in target:
                    continue
                file = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
                if not (ROOT / file).exists():
                    yield f'{name}:{number}: {file} does not exist'
                elif heading and heading not in anchors(documents.get(file, '')):
                    yield f'{name}:{number}: {file} has no heading #{heading}'


def check_threats(_):
    """sidecar/THREATS.md names only tests that exist: `FOLDER/FILE`, or `FOLDER/FILE::NAME`"""
    for number, line in enumerate(read('sidecar/THREATS.md').split('\n'), 1):
        for place, name in re.findall(r'`((?:system|unit|heart|tls|fuzz|proof)/\w+\.(?:py|c))(?:::(\w+))?`', line):
            file = 'tests/' + place
            if file not in FILES:
                yield f'sidecar/THREATS.md:{number}: {file} does not exist'
            elif name and not re.search(fr'^(?:def |void |Test\(\w+, ?){name}\b', read(file), re.M):
                yield f'sidecar/THREATS.md:{number}: {file} has no test {name}'


CHECKS = {
    n.removeprefix('check_').replace('_', '-'): f for n, f in list(globals().items()) if n.startswith('check_')
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checks', nargs='*', metavar='CHECK', help=', '.join(CHECKS))
    parser.add_argument('--build', default=str(ROOT / 'build'), help='build tree whose objects are checked')
    parser.add_argument('--all', action='store_true', help='circles: also those that LEFT excuses')
    args = parser.parse_args()
    unknown = set(args.checks) - set(CHECKS)
    if unknown:
        parser.error(f'unknown: {", ".join(sorted(unknown))}')
    findings = [f for c in args.checks or CHECKS for f in CHECKS[c](args)]
    print('\n'.join(findings) or 'ok')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
