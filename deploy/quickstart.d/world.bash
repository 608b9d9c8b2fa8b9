# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the quick start sets up: a CA, four workloads with a sidecar and an agent each, two apps.
#
#     psql, pgbench --> [shop]   == mTLS ==> [db]  --> PostgreSQL
#     curl          --> [portal] == mTLS ==> [web] --> nginx

trust_domain=demo.example
workloads=(shop db portal web)

spiffe_id() { printf 'spiffe://%s/ns/demo/sa/%s' $trust_domain "$1"; } # WORKLOAD

# --- ports ------------------------------------------------------------------------------------------

# Free ports of 127.0.0.1, chosen by the kernel; all are bound at the same time, so they differ.
choose_ports() {
	local names=(db web portal_http admin_shop admin_db admin_portal admin_web)
	local numbers
	numbers=$(/usr/bin/python3 - ${#names[@]} <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PYTHON
	)
	read -ra numbers <<<"$numbers"
	declare -gA port
	local i
	for i in "${!names[@]}"; do
		port[${names[i]}]=${numbers[i]}
	done
}

# --- certificates -----------------------------------------------------------------------------------

make_ca() { # NAME: a folder with ca.key, ca.crt
	"$dir/script/pki" ca "$dir/$1" $trust_domain >"$dir/$1.log" 2>&1 ||
		fail "the CA could not be made" "its log, above, says why" "$dir/$1.log"
}

issue() { # CA SPIFFE-ID FOLDER: tls.key, tls.crt, ca.crt
	"$dir/script/pki" svid "$dir/$1" "$2" "$3" 1 >>"$dir/$1.log" 2>&1 ||
		fail "no certificate could be made for $2" "the log, above, says why" "$dir/$1.log"
}

# A new key and certificate, mounted as Kubernetes does it: the files are links through `..data`, which is
# swapped in one step.
renew() { # WORKLOAD
	local tls=$dir/$1/tls folder
	mkdir -p "$tls"
	folder=$(mktemp -d "$tls/..version.XXXX")
	issue ca "$(spiffe_id "$1")" "$folder"
	ln -s "${folder##*/}" "$tls/..next"
	mv -T "$tls/..next" "$tls/..data"
	ln -sf ..data/tls.key ..data/tls.crt ..data/ca.crt "$tls/"
}

serial_of() { openssl x509 -noout -serial | sed 's/^serial=//'; } # < PEM

# --- configuration ----------------------------------------------------------------------------------

write_ini() { # WORKLOAD < the sections that differ between workloads
	{
		printf '; The sidecar and the agent of %s read this file.\n' "$1"
		cat <<INI
[identity]
cert   = $dir/$1/tls/tls.crt
key    = $dir/$1/tls/tls.key
bundle = $dir/$1/tls/ca.crt

[sidecar]
inbound  =
outbound =
control  = $dir/$1/control.sock
admin    = 127.0.0.1:${port[admin_$1]}
drain    = 1s

[agent]
socket      = $dir/$1/agent.sock
sidecar_uid = $UID
uid         = $UID

INI
		cat
	} >"$dir/$1/fairlead.ini"
}

write_inis() {
	write_ini shop <<INI
[upstream db]
listen = unix:$dir/shop/.s.PGSQL.5432
to     = 127.0.0.1:${port[db]}
peer   = $(spiffe_id db)
INI
	write_ini db <<INI
[service postgres]
listen = 127.0.0.1:${port[db]}
app    = unix:$dir/postgres/.s.PGSQL.5432

[allow shop]
from = $(spiffe_id shop)
to   = postgres
INI
	write_ini portal <<INI
[upstream web]
listen = 127.0.0.1:${port[portal_http]}
to     = 127.0.0.1:${port[web]}
peer   = $(spiffe_id web)

[upstream db]
listen = unix:$dir/portal/.s.PGSQL.5432
to     = 127.0.0.1:${port[db]}
peer   = $(spiffe_id db)
INI
	write_ini web <<INI
[service nginx]
listen = 127.0.0.1:${port[web]}
app    = unix:$dir/nginx/nginx.sock

[allow portal]
from = $(spiffe_id portal)
to   = nginx
INI
}

# --- apps -------------------------------------------------------------------------------------------

# Finds the newest complete version; Debian installs each major version in its own folder.
find_postgres() {
	local bin
	for bin in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
		if [[ -x $bin/initdb && -x $bin/postgres && -x $bin/pgbench ]]; then
			pg=$bin
			return
		fi
	done
	fail "no PostgreSQL with initdb, postgres and pgbench in /usr/lib/postgresql" \
		"apt-get install --reinstall postgresql"
}

# Through a sidecar, or directly when the directory is PostgreSQL's own.
run_psql() { # SOCKET-DIRECTORY SQL
	PGCONNECT_TIMEOUT=10 timeout 20 "$pg/psql" -X -A -t -q -v ON_ERROR_STOP=1 -h "$1" -U app -d postgres -c "$2"
}

run_pgbench() { timeout 60 "$pg/pgbench" -h "$dir/shop" -U app "$@" postgres; } # OPTION...

start_postgres() {
	mkdir "$dir/postgres"
	"$pg/initdb" -D "$dir/postgres/data" -U app -A trust --no-sync --no-locale -E UTF8 \
		>"$dir/postgres/initdb.log" 2>&1 ||
		fail "PostgreSQL's initdb failed" "see its log above; is the disk full?" "$dir/postgres/initdb.log"
	# No TCP at all: the only way to it is through a sidecar.
	start postgres "$dir/postgres/postgres.log" "$pg/postgres" -D "$dir/postgres/data" \
		-k "$dir/postgres" -c listen_addresses= -c fsync=off
}

start_nginx() {
	mkdir "$dir/nginx" "$dir/nginx/html" "$dir/nginx/tmp"
	echo 'Hello from nginx, which has no port.' >"$dir/nginx/html/index.html"
	head -c 8388608 /dev/urandom >"$dir/nginx/html/8MiB"
	cat >"$dir/nginx/nginx.conf" <<CONF
daemon off;
worker_processes 1;
pid $dir/nginx/nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path $dir/nginx/tmp/body;
	proxy_temp_path       $dir/nginx/tmp/proxy;
	fastcgi_temp_path     $dir/nginx/tmp/fastcgi;
	uwsgi_temp_path       $dir/nginx/tmp/uwsgi;
	scgi_temp_path        $dir/nginx/tmp/scgi;
	server {
		listen unix:$dir/nginx/nginx.sock;
		root $dir/nginx/html;
	}
}
CONF
	start nginx "$dir/nginx/nginx.log" nginx -e stderr -p "$dir/nginx" -c "$dir/nginx/nginx.conf"
}

run_curl() { curl -q -sS --noproxy '*' --max-time 20 "$@"; }

await_apps() {
	until_true 20 "$pg/pg_isready" -q -h "$dir/postgres" ||
		fail "PostgreSQL is not ready after 20 s" "its log, above, says why" "$dir/postgres/postgres.log"
	until_true 10 run_curl -o "$dir/nginx/tmp/answer" --unix-socket "$dir/nginx/nginx.sock" http://nginx/ 2>"$dir/nginx/curl.log" ||
		fail "nginx is not ready after 10 s" "its log, above, says why" "$dir/nginx/nginx.log" "$dir/nginx/curl.log"
}

# --- sidecars and agents ----------------------------------------------------------------------------

start_agent() { start "$1-agent" "$dir/$1/agent.log" "$dir/bin/fairlead-agent" run -c "$dir/$1/fairlead.ini"; }

start_sidecar() { start "$1-sidecar" "$dir/$1/sidecar.log" "$dir/bin/fairlead-sidecar" -c "$dir/$1/fairlead.ini"; }

await_sidecar() { # WORKLOAD
	local until=$((SECONDS + 20))
	# Waits in short turns, to notice a sidecar that has ended.
	until "$dir/bin/fairlead-agent" wait -c "$dir/$1/fairlead.ini" --timeout 1s >"$dir/$1/wait.log" 2>&1; do
		is_running "$1-sidecar" && ((SECONDS < until)) ||
			fail "the sidecar of $1 does not become ready" \
				"the logs above say why; if another program took a port meanwhile, just run it again" \
				"$dir/$1/wait.log" "$dir/$1/sidecar.log" "$dir/$1/agent.log"
	done
}

# The number of the generation that a sidecar uses.
generation_of() { # WORKLOAD
	line=$(grep '"msg":"generation in use"' "$dir/$1/sidecar.log" | tail -n 1)
	field generation
}

# Puts a new INI in place in one step. Nothing is restarted: the agent notices.
replace_ini() { # WORKLOAD < the new one
	cat >"$dir/$1/.fairlead.ini.new"
	mv "$dir/$1/.fairlead.ini.new" "$dir/$1/fairlead.ini"
}

await_generation() { # WORKLOAD MARK: one since that line of the sidecar's log
	await_line "$dir/$1/sidecar.log" "$2" '"msg":"generation in use"' "the sidecar of $1 did not take a new generation"
}
