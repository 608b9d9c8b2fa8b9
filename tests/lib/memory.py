# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches the memory of a process for the private half of a key, in every form that a program may have it in."""
import contextlib
import re
import subprocess

from cryptography.hazmat.primitives import serialization

REGION_MAX = 1 << 30  # longer ones are a sanitizer's shadow
PAGE = 4096
PIECE = 16            # bytes: half of a P-256 scalar; no other data is equal to them by chance


def numbers(key):
    """Yields (name, value, bytes) of the secret numbers of a key."""
    private = key.private_numbers() if hasattr(key, 'private_numbers') else None
    if private is None:  # Ed25519
        raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        yield 'seed', int.from_bytes(raw, 'big'), len(raw)
    elif hasattr(private, 'private_value'):
        yield 'scalar', private.private_value, (key.key_size + 7) // 8
    else:
        for name in ('d', 'p', 'q', 'dmp1', 'dmq1', 'iqmp'):
            yield name, getattr(private, name), (getattr(private, name).bit_length() + 7) // 8


def forms(key):
    """Yields (what it is, bytes): numbers in both orders of bytes, whole and in pieces, and the lines of each PEM."""
    for name, value, size in numbers(key):
        for order in ('big', 'little'):
            data = value.to_bytes(size, order)
            for at in range(0, size - PIECE + 1, PIECE):
                yield f'{name}, {order}-endian, from byte {at}', data[at:at + PIECE]
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        with contextlib.suppress(ValueError, TypeError):  # Ed25519 has only the first
            pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
            lines = pem.splitlines()[1:-1]
            # The first line of an EC key is mostly constant, and the last ones are the public key.
            for number, line in enumerate(lines):
                if secret_of(line, key):
                    yield f'{form.name}, line {number + 1} of the PEM', line


def secret_of(line, key):
    """Does a line of base64 contain eight bytes or more of a secret number?"""
    import base64
    data = base64.b64decode(line + b'=' * (-len(line) % 4))
    return any(value.to_bytes(size, 'big')[at:at + 8] in data for _, value, size in numbers(key)
               for at in range(0, size - 7, 4))


def regions(pid):
    with open(f'/proc/{pid}/maps', encoding='utf-8') as maps:
        for line in maps:
            begin, end, flags, name = re.match(r'(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)', line).groups()
            size = int(end, 16) - int(begin, 16)
            if flags.startswith('r') and size <= REGION_MAX and name not in ('[vvar]', '[vvar_vclock]', '[vsyscall]'):
                yield int(begin, 16), size


def without_zeros(data):
    """Leaves out pages that hold nothing, of which there are most."""
    empty = bytes(PAGE)
    return b''.join(page for page in (data[at:at + PAGE] for at in range(0, len(data), PAGE)) if page != empty)


def image(pid):
    """Returns all readable memory of the process, but for pages of zeros."""
    parts = []
    with open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
        for begin, size in regions(pid):
            with contextlib.suppress(OSError):  # unmapped meanwhile
                memory.seek(begin)
                parts.append(without_zeros(memory.read(size)))
    return b'\0'.join(parts)


def core(pid, folder):
    """Returns a core of the process, which gdb stops for it. It has all mappings, those that a crash leaves out, too."""
    subprocess.run(['gcore', '-a', '-o', folder / 'core', str(pid)], check=True, capture_output=True, timeout=60)
    file = folder / f'core.{pid}'
    try:
        return without_zeros(file.read_bytes())
    finally:
        file.unlink()


def found_in(data, key):
    """Returns what of the key is in these bytes."""
    return [what for what, form in forms(key) if form in data]


def found(pid, key):
    """Returns what of the key the process has in its memory."""
    return found_in(image(pid), key)


def flags_where_found(pid, key):
    """Returns the kernel's flags (VmFlags, proc(5)) of each region that has something of the key."""
    with open(f'/proc/{pid}/smaps', encoding='utf-8') as smaps:
        flags = {int(begin, 16): set(words.split()) for begin, words in
                 re.findall(r'^([0-9a-f]+)-[0-9a-f]+ .*?^VmFlags: ([^\n]*)', smaps.read(), re.M | re.S)}
    found_flags = []
    with open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
        for begin, size in regions(pid):
            with contextlib.suppress(OSError):  # unmapped meanwhile
                memory.seek(begin)
                if found_in(memory.read(size), key):
                    found_flags.append(flags[begin])
    return found_flags
