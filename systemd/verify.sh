#!/bin/sh
# Have systemd read the unit, where there is a systemd. The program need not be installed for that.
set -eu
cd "$(dirname "$0")"
if ! command -v systemd-analyze >/dev/null; then
  echo "systemd-analyze is not installed; the unit was not checked (apt-get install systemd)"
  exit 0
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT INT TERM
sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|; s|^Documentation=.*||; s|^User=.*||; s|^Group=.*||' smscd.service \
  >"$directory/smscd.service"
systemd-analyze verify --man=no "$directory/smscd.service"
systemd-analyze security --offline=true --threshold=25 --no-pager "$directory/smscd.service" | tail -n 1
