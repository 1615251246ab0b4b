#!/bin/sh
# Bring the test peers that come from Debian and npm: redis-server, postgresql, node and node's smpp, Perl's Net::SMPP,
# Kannel, tshark, Chromium and nginx, and a C compiler for what is preloaded into Valkey where its power is lost. No
# service is started. As an ordinary user only what needs no installation is done, and it is said what is missing.
set -eu
cd "$(dirname "$0")/.."

missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
perl -MNet::SMPP -e 1 2>/dev/null || missing="$missing libnet-smpp-perl"
# The boxes stand in sbin, which is not in everybody's PATH.
[ -x /usr/sbin/bearerbox ] && [ -x /usr/sbin/smsbox ] || missing="$missing kannel"
[ -x /usr/lib/kannel/test/drive_smpp ] || missing="$missing kannel-extras"
command -v tshark >/dev/null || missing="$missing tshark"
command -v chromium >/dev/null || missing="$missing chromium"
[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || missing="$missing nginx"
command -v cc >/dev/null || missing="$missing gcc libc6-dev"

if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing from Debian:$missing"
    # While this file says 101, packages do not start the services that they bring.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT INT TERM
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 755 "$policy"
    fi
    apt-get -qq update
    # shellcheck disable=SC2086  # a list of names
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
  else
    echo "Not installed:$missing. Their tests are skipped; as root: apt-get install$missing"
  fi
fi

lock=tests/interop/node/package-lock.json
stamp=tests/interop/node/node_modules/.package-lock.json
if command -v npm >/dev/null && { [ ! -e "$stamp" ] || [ "$lock" -nt "$stamp" ]; }; then
  npm ci --prefix tests/interop/node --no-audit --no-fund --loglevel=error >/dev/null
  touch "$stamp"
fi
