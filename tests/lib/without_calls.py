#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program on a system that seems to lack system calls: a filter in front of it answers them with an error, as older
container runtimes do.

    without_calls.py ENOSYS landlock_create_ruleset,seccomp PROGRAM [ARGUMENT...]
"""
import errno
import os
import sys

import call_filter

ERRNO = 0x00050000


def main():
    error, names, *command = sys.argv[1:]
    call_filter.load(call_filter.library(), names, ERRNO | getattr(errno, error))
    os.execv(command[0], command)


main()
