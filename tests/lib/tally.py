#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the results that tests/run has collected: JUnit XML, sanitizer reports, broken suites.

    tally.py RESULTS NAME   prints the log of every failure of one run, and its counts
    tally.py RESULTS        prints why tests were skipped, a line for each failure, and the total of all runs as the last line;
                            exits 1 if anything failed or nothing ran

RESULTS holds NAME.xml (or NAME.first, and NAME.second for the tests that failed and were repeated), NAME.json (Meson's
own log of the same run), NAME.sanitizer.PID (one report each) and NAME.broken (the harness itself failed).
"""
import json
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def verdicts(xml):
    """Yields (suite element, case element, passed | failed | skipped) of every test case."""
    for suite in ElementTree.parse(xml).iter('testsuite'):
        for case in suite.findall('testcase'):
            if case.find('failure') is not None or case.find('error') is not None:
                yield suite, case, 'failed'
            elif case.find('skipped') is not None:
                yield suite, case, 'skipped'
            else:
                yield suite, case, 'passed'


def key(case):
    return case.get('classname'), case.get('name')


def second_try(first):
    """Returns the verdicts of the repeated tests, by name."""
    second = first.with_suffix('.second')
    return {key(case): verdict for _, case, verdict in verdicts(second)} if second.exists() else {}


def show(suite, case, printed):
    # Meson puts "fairlead" once or twice before each name.
    names = [(case.get(n) or '').split('fairlead:')[-1] for n in ('classname', 'name')]
    print('\n--- FAILED', ': '.join(n for n in names if n not in ('', 'fairlead')))
    for element in (*case, *suite):
        if element.tag in ('failure', 'error', 'system-out', 'system-err'):
            for text in (element.get('message'), element.text):
                text = (text or '').strip()
                # Meson attaches the log of the whole executable to each of its cases: print it once.
                if text and text not in printed:
                    print(text)
                    printed.add(text)


def show_failed(results):
    """Prints a line for each failure, near the end, where it is seen in a long log."""
    for xml in sorted([*results.glob('*.xml'), *results.glob('*.first')]):
        again = second_try(xml)
        for _, case, verdict in verdicts(xml):
            if verdict == 'failed' and again.get(key(case)) != 'passed':
                cause = next(element for element in case if element.tag in ('failure', 'error'))
                text = (cause.get('message') or cause.text or '').strip().split('\n')[0]
                print(f'         failed: {xml.stem} {": ".join(filter(None, key(case)))}: {text[:300]}')
    for report in sorted(results.glob('*.sanitizer.*')):
        print(f'         failed: {report.name.split(".sanitizer")[0]}: a sanitizer found something')
    for broken in sorted(results.glob('*.broken')):
        print(f'         failed: {broken.stem}: the suite did not end as it should')


def count(results, name, verbose):
    counts, printed, failed = Counter(), set(), ''
    for xml in sorted([*results.glob(name + '.xml'), *results.glob(name + '.first')]):
        again = second_try(xml)
        for suite, case, verdict in verdicts(xml):
            if verdict == 'failed' and again.get(key(case)) == 'passed':
                verdict = 'passed'
                if verbose:
                    print('\n--- FLAKY: it failed, and passed when it was repeated', end='')
                    show(suite, case, printed)
            counts[verdict] += 1
            if verdict == 'failed':
                failed += f'{case.get("classname")} {case.get("name")}\n'
                if verbose:
                    show(suite, case, printed)
    # If an executable hung or died, Meson's XML has only the cases that ran.
    for log in sorted(results.glob(name + '.json')):
        for test in map(json.loads, log.read_text().splitlines()):
            if test['result'] not in ('OK', 'SKIP', 'EXPECTEDFAIL') and test['name'] not in failed:
                counts['failed'] += 1
                if verbose:
                    print(f'\n--- FAILED {test["name"].split(":")[-1]}: {test["result"]}')
                    print(test.get('stdout', ''), test.get('stderr', ''))
    for report in sorted(results.glob(name + '.sanitizer.*')):
        counts['failed'] += 1
        if verbose:
            print(f'\n--- FAILED: a sanitizer found\n{report.read_text(errors="replace").rstrip()}')
    for _ in results.glob(name + '.broken'):
        counts['failed'] += 1
    return counts


def why_skipped(case, printed):
    """Returns the reason that the test has given; Meson has it in its own log."""
    skipped = case.find('skipped')
    text = skipped.get('message') or skipped.text or printed.get(case.get('name'), '')
    return text.strip().split('\n')[-1].removeprefix('skipped: ') or 'no reason is given'


def show_skipped(results):
    """Prints each reason, and the tests that gave it: by their files, or by name if there is only one."""
    reasons, printed = {}, {}
    for log in results.glob('*.json'):
        for test in map(json.loads, log.read_text().splitlines()):
            printed[test['name'].rpartition(' / ')[2].rpartition(':')[2]] = test.get('stdout', '')
    for xml in sorted([*results.glob('*.xml'), *results.glob('*.first')]):
        for _, case, verdict in verdicts(xml):
            if verdict == 'skipped':
                reasons.setdefault(why_skipped(case, printed), []).append(case)
    for reason, cases in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
        files = sorted({(case.get('classname') or '').split('.')[-1] for case in cases})
        print(f'    {len(cases):4} skipped: {reason} ({cases[0].get("name") if len(cases) == 1 else ", ".join(files)})')


def main():
    results, name = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    counts = count(results, name or '*', verbose=name is not None)
    line = ', '.join(f'{counts[v]} {v}' for v in ('passed', 'failed', 'skipped'))
    if name:
        print(f'    {line}')
        return 0
    show_skipped(results)
    show_failed(results)
    print(line)
    return 1 if counts['failed'] or not counts['passed'] else 0


if __name__ == '__main__':
    sys.exit(main())
