# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The processes that we start: each has its own log and a line "NAME PID START-TIME" in
# $dir/processes. A process is signalled only if it has that start time, so never by a reused pid.

signal_pending=
starting=false

# A signal between the fork and the line in the list would leave a process running.
on_signal() { # NUMBER
	if $starting; then signal_pending=$1; else exit $((128 + $1)); fi
}

start_time() { # PID: field 22 of its stat; nothing for a process that has ended
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	read -ra stat <<<"${stat##*) }"
	[[ ${stat[0]} == Z ]] || echo "${stat[19]}"
}

# A process that ended before we read its start time has none in the list.
is_alive() { [[ -n $2 && $(start_time "$1") == "$2" ]]; } # PID START-TIME

start() { # NAME LOG COMMAND...: in the background, in its own session
	local name=$1 log=$2
	shift 2
	starting=true
	# bash makes background processes ignore SIGINT, with which we end everything: restore the default.
	# Without --keep no process survives this script, whatever ends it.
	local launcher=(setsid env --default-signal=INT)
	$keep || launcher+=(setpriv --pdeathsig INT)
	"${launcher[@]}" "$@" >>"$log" 2>&1 </dev/null &
	pids[$name]=$!
	echo "$name $! $(start_time $!)" >>"$dir/processes"
	starting=false
	[[ -z $signal_pending ]] || exit $((128 + signal_pending))
}

declare -A pids=()

is_running() { [[ -n ${pids[$1]:-} && -n $(start_time "${pids[$1]}") ]]; } # NAME

has_ended() { ! is_running "$1"; } # NAME

any_alive() { # < lines of the list
	local name pid time
	while read -r name pid time; do
		! is_alive "$pid" "$time" || return 0
	done
	return 1
}

none_alive() { ! any_alive <<<"$1"; }

signal_lines() { # SIGNAL LINES
	local name pid time
	while read -r name pid time; do
		if is_alive "$pid" "$time"; then
			kill "-$1" "$pid" 2>/dev/null || true
		fi
	done <<<"$2"
}

# SIGINT ends all of them quickly and cleanly: PostgreSQL, nginx, pgbench, sidecars, agents.
end_lines() { # LINES
	signal_lines INT "$1"
	if ! until_true 6 none_alive "$1"; then
		signal_lines KILL "$1"
		until_true 2 none_alive "$1"
	fi
}

stop() { end_lines "$(grep "^$1 ${pids[$1]} " "$dir/processes")"; } # NAME

stop_all() { [[ ! -s $dir/processes ]] || end_lines "$(<"$dir/processes")"; }

# --- waiting for a condition ------------------------------------------------------------------------

until_true() { # SECONDS COMMAND...
	local until=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME/[.,]/} < until)) || return 1
		sleep 0.02
	done
}

lines_of() { wc -l <"$1"; } # LOG: a mark that separates earlier lines from later ones

has_line() { # LOG MARK PATTERN: sets `line` to the first that matches, after the mark
	line=$(grep -m 1 -E -- "$3" < <(tail -n "+$(($2 + 1))" "$1")) || return 1
}

# Sets `line`, or fails.
await_line() { # LOG MARK PATTERN WHAT
	until_true 10 has_line "$1" "$2" "$3" ||
		fail "$4: within 10 s no line of $1 matched $3" \
			"the last lines of the log, above, show what happened instead" "$1"
}

# The value of a field of `line`, a line of JSON.
field() { # NAME
	local pattern="\"$1\":(\"([^\"]*)\"|([0-9.]+))"
	[[ $line =~ $pattern ]] || return 0
	printf '%s' "${BASH_REMATCH[2]}${BASH_REMATCH[3]}"
}
