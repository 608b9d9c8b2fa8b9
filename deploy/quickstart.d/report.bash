# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The output: numbered steps, evidence, check marks, and where and why a step failed.

bold='' dim='' green='' red='' plain=''
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
	bold=$'\033[1m' dim=$'\033[2m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'
fi
step_number=0
step_title=

headline() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

step() { # TITLE
	step_number=$((step_number + 1))
	step_title=$1
	step_began=$EPOCHREALTIME
	printf '\n%s%2d  %s%s\n' "$bold" "$step_number" "$step_title" "$plain"
}

note() { printf '      %s\n' "$@"; }

# A command as a person would type it; its output follows.
command_line() { printf '    %s$ %s%s\n' "$dim" "$*" "$plain"; }

# "NAME  VALUE" in columns.
fact() { printf '      %-12s %s\n' "$1" "$2"; }

seconds_since() { # EPOCHREALTIME
	local us=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
	printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10))
}

# A claim; call this only after its check.
pass() { printf '  %s✓%s   %s %s(%s s)%s\n' "$green" "$plain" "$1" "$dim" "$(seconds_since "$step_began")" "$plain"; }

# The present place in the scripts: the innermost line of a step.
place() {
	local i
	for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
		if [[ ${BASH_SOURCE[i]} == */steps.bash ]]; then
			printf 'deploy/quickstart.d/steps.bash:%s' "${BASH_LINENO[i - 1]}"
			return
		fi
	done
	printf 'deploy/quickstart.d/%s:%s' "${BASH_SOURCE[-1]##*/}" "${BASH_LINENO[-2]}"
}

# Ends the run, and shows the last lines of the logs that explain why.
fail() { # WHAT REMEDY [LOG...]
	local log
	{
		printf '\n  %s✗   step %d, %s%s\n' "$red" "$step_number" "$step_title" "$plain"
		printf '      what    %s\n' "$1"
		printf '      where   %s\n' "$(place)"
		for log in "${@:3}"; do
			printf '      log     %s\n' "$log"
			{ tail -n 8 "$log" 2>/dev/null || echo "(does not exist)"; } | sed 's/^/              /'
		done
		printf '      remedy  %s\n' "$2"
	} >&2
	trap - ERR
	exit 1
}

# A command failed unexpectedly.
on_error() { # STATUS COMMAND
	fail "\`$2\` ended with status $1" \
		"see its message above; run again with --keep to leave everything in place" "$dir"/*/*.log
}
