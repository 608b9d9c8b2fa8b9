#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program that is held at some system calls, so that a test can look at it there. At call NAME the file FOLDER/NAME.held
appears, and the program goes on when there is FOLDER/NAME.go; afterwards it is held there no more.

    holding_calls.py FOLDER seccomp,landlock_create_ruleset PROGRAM [ARGUMENT...]
"""
import ctypes
import os
import pathlib
import select
import sys
import time

import call_filter

NOTIFY = 0x7fc00000
CONTINUE = 1
SETS_FILTER_OF_ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC, of the second argument


class Notice(ctypes.Structure):
    _fields_ = [('id', ctypes.c_uint64), ('pid', ctypes.c_uint32), ('flags', ctypes.c_uint32), ('number', ctypes.c_int),
                ('arch', ctypes.c_uint32), ('ip', ctypes.c_uint64), ('args', ctypes.c_uint64 * 6), ('more', ctypes.c_byte * 256)]


class Answer(ctypes.Structure):
    _fields_ = [('id', ctypes.c_uint64), ('value', ctypes.c_int64), ('error', ctypes.c_int32), ('flags', ctypes.c_uint32),
                ('more', ctypes.c_byte * 256)]


def hold(folder, name, parent):
    (folder / f'{name}.held').touch()
    while not (folder / f'{name}.go').exists() and os.getppid() == parent:
        time.sleep(0.005)


def supervise(library, fd, names, folder, parent):
    done, calls = set(), select.poll()
    calls.register(fd, select.POLLIN)
    while os.getppid() == parent:
        notice, answer = Notice(), Answer()
        if not calls.poll(100) or library.seccomp_notify_receive(fd, ctypes.byref(notice)) != 0:
            continue
        name = names[notice.number]
        is_wanted = name != 'seccomp' or notice.args[1] & SETS_FILTER_OF_ALL_THREADS
        if is_wanted and name not in done:
            done.add(name)
            hold(folder, name, parent)
        answer.id, answer.flags = notice.id, CONTINUE
        library.seccomp_notify_respond(fd, ctypes.byref(answer))


def main():
    folder, names, *command = sys.argv[1:]
    library = call_filter.library()
    rules, numbers = call_filter.load(library, names, NOTIFY)
    fd, parent = library.seccomp_notify_fd(rules), os.getpid()
    if os.fork() == 0:
        supervise(library, fd, numbers, pathlib.Path(folder), parent)
        os._exit(0)
    os.close(fd)
    os.execv(command[0], command)


main()
