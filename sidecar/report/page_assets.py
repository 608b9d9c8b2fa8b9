#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page's style and script as a C header, with the policy that lets a browser use them and nothing else.

    page_assets.py STYLE SCRIPT HEADER
"""
import base64
import hashlib
import json
import pathlib
import sys


def policy(style, script):
    """The Content-Security-Policy. A browser refuses every other script and style, however it got into the page."""
    def source(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    return '; '.join([
        "default-src 'none'", f'style-src {source(style)}', f'script-src {source(script)}', "connect-src 'self'",
        'img-src data:', "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])


def literal(text):
    """The text as a C string literal."""
    return json.dumps(text).replace('??', '?\\?')


def lines(text):
    """The text as an initializer: one literal would be longer than C99 promises."""
    return '\n'.join(f'\t{literal(line)},' for line in text.splitlines(True))


def main():
    style, script, header = map(pathlib.Path, sys.argv[1:])
    style, script = ('\n' + each.read_text(encoding='ascii') for each in (style, script))
    header.write_text(f'''/* Made by page_assets.py. */
static const char *const page_style[] = {{
{lines(style)}
}};
static const char *const page_script[] = {{
{lines(script)}
}};
static const char page_policy[] = {literal(policy(style, script))};
''', encoding='ascii')


if __name__ == '__main__':
    main()
