# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The steps of the output. Each shows evidence, and calls `pass` only after a check of it.

# Connects to a sidecar with openssl s_client; its output goes to $dir/s_client.log.
ask_with_openssl() { # PORT [OPTION...]
	# The server ends the connection: with an alert, or because PostgreSQL or nginx gets no request. -ign_eof waits for that.
	timeout 10 openssl s_client -connect "127.0.0.1:$1" -CAfile "$dir/ca/ca.crt" -verify_return_error \
		"${@:2}" >"$dir/s_client.log" 2>&1
}

expect_field() { # NAME VALUE LOG
	[[ $(field "$1") == "$2" ]] ||
		fail "the log line has $1 = '$(field "$1")', expected '$2'" "this is a defect of Fairlead: please report it" "$3"
}

# --- steps ------------------------------------------------------------------------------------------

show_programs() {
	local version
	version=$("$dir/bin/fairlead-sidecar" --version 2>&1) ||
		fail "$dir/bin/fairlead-sidecar does not start: $version" \
			"if that file system forbids programs (noexec), choose another:  TMPDIR=\$HOME deploy/quickstart"
	fact sidecar "$version, $(($(stat -c %s "$dir/bin/fairlead-sidecar") / 1024)) KiB"
	fact agent "$("$dir/bin/fairlead-agent" --version), $(($(stat -c %s "$dir/bin/fairlead-agent") / 1024)) KiB"
	fact apps "$("$pg/postgres" --version), $(nginx -v 2>&1)"
	fact "running as" "$(id -un), in $dir"
	pass "all programs start"
}

make_identities() {
	local name
	step "A CA, and an identity for each workload"
	make_ca ca
	for name in "${workloads[@]}"; do
		renew "$name"
		openssl verify -CAfile "$dir/ca/ca.crt" "$dir/$name/tls/tls.crt" >"$dir/verify.log" 2>&1 ||
			fail "openssl does not accept the certificate of $name" "see its message" "$dir/verify.log"
		fact "$name" "$(spiffe_id "$name")"
	done
	pass "openssl verifies all of them"
}

check_configuration() {
	local name
	step "One INI for each workload, checked before anything runs"
	choose_ports
	write_inis
	for name in "${workloads[@]}"; do
		# Warnings say that 127.0.0.1 is not reachable from elsewhere, as intended.
		"$dir/bin/fairlead-agent" check -c "$dir/$name/fairlead.ini" >"$dir/$name/check.log" 2>&1 ||
			fail "fairlead-agent check refuses the INI of $name" "the lines above name each problem" "$dir/$name/check.log"
	done
	command_line fairlead-agent check -c "$dir/db/fairlead.ini"
	grep -E '^(identity|certificate|trusts|inbound|policy|  +[0-9])' "$dir/db/check.log" | sed 's/^/      /'
	pass "INI and credentials of all four are valid"
}

start_everything() {
	local name
	step "Two apps, four sidecars, four agents"
	for name in "${workloads[@]}"; do
		start_sidecar "$name"
		start_agent "$name"
	done
	start_postgres
	start_nginx
	for name in "${workloads[@]}"; do
		await_sidecar "$name"
		is_running "$name-sidecar" && is_running "$name-agent" ||
			fail "a process of $name has ended" "its log, above, says why" "$dir/$name/sidecar.log" "$dir/$name/agent.log"
	done
	await_apps
	note "psql, pgbench --> [shop]   == mTLS, 127.0.0.1:${port[db]} ==> [db]  --> PostgreSQL" \
		"curl          --> [portal] == mTLS, 127.0.0.1:${port[web]} ==> [web] --> nginx"
	pass "fairlead-agent wait reports each sidecar as ready"
}

use_postgres() {
	local answer report
	step "PostgreSQL through the sidecars of shop and db"
	answer=$(run_psql "$dir/shop" 'select user, version()' 2>"$dir/shop/psql.log") ||
		fail "psql got no answer through the sidecars" "the lines of both sidecars, above, say where it ended" \
			"$dir/shop/psql.log" "$dir/shop/sidecar.log" "$dir/db/sidecar.log"
	command_line psql -h "$dir/shop" -U app postgres -c "'select user, version()'"
	note "$answer"
	[[ $answer == "app|PostgreSQL "* ]] || fail "psql answered something else: $answer" "see PostgreSQL's log" "$dir/postgres/postgres.log"

	run_pgbench -i -q >"$dir/shop/pgbench-init.log" 2>&1 && report=$(run_pgbench -c 4 -t 250 2>&1) ||
		fail "pgbench failed" "the lines above say where" "$dir/shop/pgbench-init.log" "$dir/shop/sidecar.log" "$dir/db/sidecar.log"
	command_line pgbench -h "$dir/shop" -U app -c 4 -t 250 postgres
	grep -E '^(number of transactions actually|number of failed|latency average|tps)' <<<"$report" | sed 's/^/      /'
	grep -q '^number of transactions actually processed: 1000/1000$' <<<"$report" &&
		grep -q '^number of failed transactions: 0 ' <<<"$report" ||
		fail "pgbench lost transactions" "see what it says" "$dir/db/sidecar.log"
	# PostgreSQL has the rows, asked directly and not through the sidecars.
	[[ $(run_psql "$dir/postgres" "select count(*) from pgbench_history") == 1000 ]] ||
		fail "PostgreSQL does not have the 1000 rows that pgbench wrote" "see PostgreSQL's log" "$dir/postgres/postgres.log"
	pass "1000 of 1000 transactions succeeded; psql and pgbench know nothing of TLS"
}

use_nginx() {
	local url=http://127.0.0.1:${port[portal_http]} sent got
	step "nginx through the sidecars of portal and web"
	run_curl -o "$dir/portal/index.html" "$url/" 2>"$dir/portal/curl.log" &&
		run_curl -w '%{http_code}, %{size_download} bytes in %{time_total} s' -o "$dir/portal/8MiB" "$url/8MiB" \
			>"$dir/portal/curl.out" 2>>"$dir/portal/curl.log" ||
		fail "curl got no answer through the sidecars" "the lines of both sidecars, above, say where it ended" \
			"$dir/portal/curl.log" "$dir/portal/sidecar.log" "$dir/web/sidecar.log"
	command_line curl "$url/"
	note "$(<"$dir/portal/index.html")"
	cmp -s "$dir/nginx/html/index.html" "$dir/portal/index.html" || fail "the page is not the one that nginx has" "see nginx's log" "$dir/nginx/nginx.log"
	command_line curl "$url/8MiB"
	sent=$(sha256sum <"$dir/nginx/html/8MiB") got=$(sha256sum <"$dir/portal/8MiB")
	note "$(<"$dir/portal/curl.out")" "SHA-256 ${got:0:32}…"
	[[ $sent == "$got" ]] || fail "the file arrived changed: its SHA-256 is $got and not $sent" "this is a defect of Fairlead: please report it" "$dir/web/sidecar.log"
	pass "the file arrived as it was sent"
}

show_wire() {
	local mark mark_shop name
	step "The wire: TLS 1.3, and each end knows the other"
	mark=$(lines_of "$dir/db/sidecar.log") mark_shop=$(lines_of "$dir/shop/sidecar.log")
	run_psql "$dir/shop" 'select 1' >"$dir/shop/psql.log" 2>&1 || fail "psql failed" "see its message" "$dir/shop/psql.log"
	await_line "$dir/db/sidecar.log" "$mark" '"msg":"connection".*"service":"postgres"' "the sidecar of db logged no connection"
	note "the access log of db about a psql of shop:"
	for name in own peer tls group cipher decision rule reason; do
		fact "$name" "$(field "$name")"
	done
	expect_field own "$(spiffe_id db)" "$dir/db/sidecar.log"
	expect_field peer "$(spiffe_id shop)" "$dir/db/sidecar.log"
	expect_field tls 1.3 "$dir/db/sidecar.log"
	expect_field decision allow "$dir/db/sidecar.log"
	expect_field rule shop "$dir/db/sidecar.log"
	await_line "$dir/shop/sidecar.log" "$mark_shop" '"msg":"connection".*"upstream":"db"' "the sidecar of shop logged no connection"
	expect_field own "$(spiffe_id shop)" "$dir/shop/sidecar.log"
	expect_field peer "$(spiffe_id db)" "$dir/shop/sidecar.log"
	expect_field tls 1.3 "$dir/shop/sidecar.log"
	pass "both access logs say TLS 1.3 and name both identities"

	command_line openssl s_client -connect "127.0.0.1:${port[db]}" -cert shop/tls/tls.crt -key shop/tls/tls.key -CAfile ca/ca.crt
	ask_with_openssl "${port[db]}" -cert "$dir/shop/tls/tls.crt" -key "$dir/shop/tls/tls.key" </dev/null ||
		fail "openssl s_client found no TLS there" "see its output" "$dir/s_client.log" "$dir/db/sidecar.log"
	grep -E '^(New, |Verification:|Server Temp Key)' "$dir/s_client.log" | sort -u | sed 's/^/      /'
	openssl x509 -noout -ext subjectAltName -in "$dir/s_client.log" | tail -n 1 | sed 's/^ */      /'
	grep -q '^New, TLSv1.3, ' "$dir/s_client.log" && grep -q '^Verification: OK' "$dir/s_client.log" &&
		[[ $(openssl x509 -noout -ext subjectAltName -in "$dir/s_client.log" | tail -n 1) =~ ^\ *URI:$(spiffe_id db)$ ]] ||
		fail "openssl s_client did not see TLS 1.3 with the identity of db" "see its output" "$dir/s_client.log"
	pass "openssl, asked independently, sees the same"
}

# A client that must be refused, with this alert and with the reason in the log.
show_refusal() { # TITLE ALERT LOG-PATTERN OPENSSL-OPTION...
	local mark status=0
	mark=$(lines_of "$dir/db/sidecar.log")
	note "$1:"
	ask_with_openssl "${port[db]}" -ign_eof "${@:4}" </dev/null || status=$?
	await_line "$dir/db/sidecar.log" "$mark" "\"msg\":\"connection refused\".*$3" "the sidecar of db did not refuse it"
	fact "openssl" "$(grep -o -m 1 'SSL routines:.*' "$dir/s_client.log" | cut -d: -f3)"
	fact "sidecar" "$(field reason): $(field detail)"
	((status != 0)) && grep -q "SSL alert number $2\$" "$dir/s_client.log" ||
		fail "openssl s_client ended with status $status and without alert $2" "see its output" "$dir/s_client.log" "$dir/db/sidecar.log"
}

show_strangers() {
	local as_shop=(-cert "$dir/shop/tls/tls.crt" -key "$dir/shop/tls/tls.key")
	step "Strangers are refused"
	show_refusal "a client without a certificate" 116 '"broken_rule":"certificate-missing"'
	pass "refused: alert certificate required"
	make_ca stranger
	issue stranger "$(spiffe_id shop)" "$dir/forged"
	show_refusal "a client that claims to be shop, with a certificate of another CA" 48 '"broken_rule":"chain-unknown-issuer"' \
		-cert "$dir/forged/tls.crt" -key "$dir/forged/tls.key"
	pass "refused: alert unknown CA"
	show_refusal "shop itself, with TLS 1.2" 70 '"reason":"tls_version"' -tls1_2 "${as_shop[@]}"
	pass "refused: alert protocol version"
}

show_policy() {
	local mark remedy pattern='(\[allow [^]]+\]) from = ([^ ]+)  to = ([^ ]+)'
	step "An identity without a rule is refused, and the log says which rule is missing"
	mark=$(lines_of "$dir/db/sidecar.log")
	command_line psql -h "$dir/portal" -U app postgres -c "'select 1'"
	if run_psql "$dir/portal" 'select 1' >"$dir/portal/psql.log" 2>&1; then
		fail "portal reached PostgreSQL without a rule" "this is a defect of Fairlead: please report it" "$dir/db/fairlead.ini" "$dir/db/sidecar.log"
	fi
	sed 's/^/      /' "$dir/portal/psql.log"
	await_line "$dir/db/sidecar.log" "$mark" '"reason":"policy_denied"' "the sidecar of db did not refuse it by policy"
	expect_field peer "$(spiffe_id portal)" "$dir/db/sidecar.log"
	expect_field decision deny "$dir/db/sidecar.log"
	remedy=$(field remedy)
	fact peer "$(field peer)"
	fact reason "$(field reason), rule $(field rule)"
	fact remedy "$remedy"
	[[ $remedy =~ $pattern ]] || fail "the log line names no rule that would admit it" "this is a defect of Fairlead: please report it" "$dir/db/sidecar.log"
	pass "portal, although its certificate is valid, does not reach the database"

	mark=$(lines_of "$dir/db/sidecar.log")
	cp "$dir/db/fairlead.ini" "$dir/db/without-portal.ini"
	{ cat "$dir/db/fairlead.ini" && printf '\n%s\nfrom = %s\nto   = %s\n' "${BASH_REMATCH[@]:1:3}"; } | replace_ini db
	await_generation db "$mark"
	note "that rule added to $dir/db/fairlead.ini; nothing restarted: generation $(field generation)"
	run_psql "$dir/portal" 'select 1' >"$dir/portal/psql.log" 2>&1 ||
		fail "portal is still refused, although the rule from the log is in the INI" "the lines above say why" \
			"$dir/portal/psql.log" "$dir/db/fairlead.ini" "$dir/db/sidecar.log"
	pass "with exactly that rule it reaches it"
}

# Each workload holds a connection to PostgreSQL for as long as the query takes.
hold_connections() { # WORKLOAD...
	local name
	for name in "$@"; do
		start "psql-$name" "$dir/$name/held.log" "$pg/psql" -X -A -t -q -h "$dir/$name" -U app -d postgres -c 'select pg_sleep(60)'
	done
	until_true 10 are_held $# || fail "the connections of $* are not open" "the logs above say why" "$dir/shop/held.log" "$dir/portal/held.log"
}

are_held() { # NUMBER
	[[ $(run_psql "$dir/postgres" "select count(*) from pg_stat_activity where query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()") == "$1" ]]
}

show_withdrawal() {
	local mark status=0 began
	step "The rule is withdrawn: first tried, then done, on open connections"
	hold_connections shop portal
	command_line fairlead-agent preview -c "$dir/db/fairlead.ini" "$dir/db/without-portal.ini"
	"$dir/bin/fairlead-agent" preview -c "$dir/db/fairlead.ini" "$dir/db/without-portal.ini" >"$dir/db/preview.log" 2>&1 || status=$?
	sed 's/^/      /' "$dir/db/preview.log"
	((status == 1)) && grep -q "$(spiffe_id portal)" "$dir/db/preview.log" && ! grep -q "$(spiffe_id shop)" "$dir/db/preview.log" ||
		fail "preview ended with status $status, and should have named portal alone" "see its output" "$dir/db/preview.log"
	are_held 2 || fail "preview has changed something" "this is a defect of Fairlead: please report it" "$dir/db/sidecar.log"
	pass "preview says what would be closed, and changes nothing"

	mark=$(lines_of "$dir/db/sidecar.log") began=$EPOCHREALTIME
	replace_ini db <"$dir/db/without-portal.ini"
	await_line "$dir/db/sidecar.log" "$mark" '"reason":"policy_lost"' "the connection of portal was not closed"
	expect_field peer "$(spiffe_id portal)" "$dir/db/sidecar.log"
	note "portal's connection ended $(seconds_since "$began") s after the INI was replaced: reason policy_lost"
	until_true 5 has_ended psql-portal && is_running psql-shop ||
		fail "psql of portal has not ended, or psql of shop has" "see the access log" "$dir/db/sidecar.log" "$dir/shop/held.log"
	stop psql-shop || fail "psql of shop does not end" "see its log" "$dir/shop/held.log"
	pass "portal's open connection was closed, shop's was not"
}

# Starts pgbench and returns once its transactions run.
start_load() { # SECONDS
	: >"$dir/shop/load.log"
	start pgbench "$dir/shop/load.log" "$pg/pgbench" -h "$dir/shop" -U app -n -c 4 -T "$1" postgres
	until_true 10 is_under_load ||
		fail "pgbench does not start its transactions" "its output, above, says why" "$dir/shop/load.log" "$dir/shop/sidecar.log"
}

is_under_load() {
	[[ $(run_psql "$dir/postgres" "select count(*) from pg_stat_activity where application_name = 'pgbench' and xact_start is not null") -gt 0 ]]
}

show_rotation() {
	local name mark mark_db mark_shop before=() after=() old_serial new_serial status=0
	step "New certificates, under load; nothing is restarted"
	mark_db=$(lines_of "$dir/db/sidecar.log") mark_shop=$(lines_of "$dir/shop/sidecar.log")
	old_serial=$(serial_of <"$dir/db/tls/tls.crt")
	for name in shop db; do before+=("$(generation_of $name)"); done
	command_line pgbench -h "$dir/shop" -U app -n -c 4 -T 5 postgres
	start_load 5
	for name in shop db; do
		mark=$(lines_of "$dir/$name/sidecar.log")
		renew $name
		await_generation $name "$mark"
		after+=("$(field generation)")
	done
	new_serial=$(serial_of <"$dir/db/tls/tls.crt")
	fact shop "generation ${before[0]} -> ${after[0]}"
	fact db "generation ${before[1]} -> ${after[1]}"
	((after[0] > before[0] && after[1] > before[1])) || fail "a generation number did not go up" "see the agents' logs" "$dir/shop/agent.log" "$dir/db/agent.log"
	is_running pgbench || fail "pgbench ended before the new generation was there" "this machine was very busy: run it again" "$dir/shop/load.log"
	pass "both sidecars use the new certificates, and pgbench still runs"

	ask_with_openssl "${port[db]}" -cert "$dir/shop/tls/tls.crt" -key "$dir/shop/tls/tls.key" </dev/null ||
		fail "openssl s_client found no TLS there" "see its output" "$dir/s_client.log" "$dir/db/sidecar.log"
	fact "was" "serial $old_serial"
	fact "now" "serial $(serial_of <"$dir/s_client.log")"
	[[ $(serial_of <"$dir/s_client.log") == "$new_serial" && $new_serial != "$old_serial" ]] ||
		fail "db does not show its new certificate, serial $new_serial" "see its log" "$dir/db/sidecar.log"
	mark_db_new=$(lines_of "$dir/db/sidecar.log")
	run_psql "$dir/shop" 'select 1' >"$dir/shop/psql.log" 2>&1 || fail "psql failed" "see its message" "$dir/shop/psql.log" "$dir/shop/sidecar.log"
	await_line "$dir/db/sidecar.log" "$mark_db_new" "\"generation\":${after[1]},.*\"reason\":\"done\".*\"peer\":\"$(spiffe_id shop)\"" \
		"the sidecar of db logged no connection of generation ${after[1]}"
	pass "new connections get the new certificate"

	wait "${pids[pgbench]}" || status=$?
	grep -E '^(number of transactions actually|number of failed|tps)' "$dir/shop/load.log" | sed 's/^/      /'
	((status == 0)) && grep -q '^number of failed transactions: 0 ' "$dir/shop/load.log" ||
		fail "pgbench ended with status $status or lost transactions" "the logs above say where" "$dir/shop/load.log" "$dir/shop/sidecar.log" "$dir/db/sidecar.log"
	until_true 5 four_connections_done "$mark_db" "${before[1]}" ||
		fail "fewer than 4 connections of generation ${before[1]} ended with reason done" "the access log says how they ended" "$dir/db/sidecar.log"
	note "its 4 connections began under generation ${before[1]} of db and ended with reason done"
	pass "pgbench was not disturbed: 0 failed transactions"
}

# The connections of the load have 10 KB and more to the app; one that asks a single question has about 100 bytes.
four_connections_done() { # MARK GENERATION
	local pattern="\"generation\":$2,.*\"bytes_to_app\":[0-9]{5,},.*\"reason\":\"done\".*\"peer\":\"$(spiffe_id shop)\""
	[[ $(tail -n "+$(($1 + 1))" "$dir/db/sidecar.log" | grep -cE "$pattern") == 4 ]]
}

show_state() {
	local name
	step "What is in force: for a person, on a terminal or in a browser"
	command_line fairlead-agent status -c "$dir/db/fairlead.ini"
	"$dir/bin/fairlead-agent" status -c "$dir/db/fairlead.ini" >"$dir/db/status.log" 2>&1 ||
		fail "fairlead-agent status reports that db is not ready" "see its output" "$dir/db/status.log"
	sed 's/^/      /' "$dir/db/status.log"
	run_curl -f -o "$dir/db/page.html" "http://127.0.0.1:${port[admin_db]}/" 2>"$dir/db/curl.log" ||
		fail "the page of db cannot be read" "see what curl says" "$dir/db/curl.log" "$dir/db/sidecar.log"
	for name in shop portal; do
		grep -q "$(spiffe_id "$name")" "$dir/db/page.html" || fail "the page of db does not name $name" "see the page" "$dir/db/page.html"
	done
	pass "the page http://127.0.0.1:${port[admin_db]}/ names db's peers, and who was refused"
}
