#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program on a system that seems to lack system calls: a filter in front of it answers them with an error, as older
container runtimes do.

    without_calls.py ENOSYS landlock_create_ruleset,seccomp PROGRAM [ARGUMENT...]
"""
import ctypes
import errno
import os
import sys

ALLOW = 0x7fff0000
ERRNO = 0x00050000


def main():
    error, names, *command = sys.argv[1:]
    library = ctypes.CDLL('libseccomp.so.2', use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    rules = library.seccomp_init(ALLOW)
    for name in names.split(','):
        number = library.seccomp_syscall_resolve_name(name.encode())
        assert number >= 0, name
        assert library.seccomp_rule_add(rules, ERRNO | getattr(errno, error), number, 0) == 0, name
    assert library.seccomp_load(rules) == 0
    os.execv(command[0], command)


main()
