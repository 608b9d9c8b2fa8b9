/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Read by clang-tidy before each file (tests/lint/tidy.py): what its analyzer cannot see across
 * files. fl_err_set() and fl_err_sys() return the code they are given, which is never 0; without
 * knowing that, every `return fl_err_set(...)` looks like a success that left the results unset. */
#ifndef FL_TESTS_LINT_ANALYZER_H
#define FL_TESTS_LINT_ANALYZER_H
#include "base/err.h"

#define fl_err_set(err, code, ...) (fl_err_set((err), (code), __VA_ARGS__), (int)(code))
#define fl_err_sys(err, sys, ...) (fl_err_sys((err), (sys), __VA_ARGS__), (int)FL_ERR_IO)

#endif
