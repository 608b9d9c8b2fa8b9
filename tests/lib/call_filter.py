# SPDX-License-Identifier: GPL-3.0-or-later
"""libseccomp, for programs that run another one behind a filter of system calls."""
import ctypes

ALLOW = 0x7fff0000


def library():
    lib = ctypes.CDLL('libseccomp.so.2', use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    lib.seccomp_load.argtypes = lib.seccomp_notify_fd.argtypes = [ctypes.c_void_p]
    lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    return lib


def load(lib, names, action):
    """Loads a filter that does that at these system calls, and admits all others. Returns it, and {number: name}."""
    rules = lib.seccomp_init(ALLOW)
    numbers = {lib.seccomp_syscall_resolve_name(name.encode()): name for name in names.split(',')}
    for number, name in numbers.items():
        assert number >= 0 and lib.seccomp_rule_add(rules, action, number, 0) == 0, name
    assert lib.seccomp_load(rules) == 0
    return rules, numbers
