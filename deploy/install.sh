#!/bin/sh
# Installs a hub or a device on a Debian-like machine with systemd (Raspberry Pi OS, Debian, Ubuntu).
#   sudo deploy/install.sh hub DIRECTORY       DIRECTORY: 'hub' as written by 'murmuration deploy init'
#   sudo deploy/install.sh device DIRECTORY    DIRECTORY: the device's, such as 'pi-1'
# Run it from a copy of the project. Repeating it updates the program and the configuration.
# With DESTDIR set, files go below that directory and nothing is started: to look at what it does.
set -eu
# The service has to read what root writes here; secrets get a mode of their own.
umask 022

role=${1:-}
from=${2:-}
root=${DESTDIR:-}
project=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)

usage() {
  echo "usage: sudo deploy/install.sh hub|device DIRECTORY, which 'murmuration deploy init' has written" >&2
  exit 1
}

die() {
  printf 'install: %s\n' "$*" >&2
  exit 1
}

case $role in
  hub) config=hub.conf units=murmuration-hub.service ;;
  device) config=leaf.conf units='murmuration-leaf.service murmuration.service' ;;
  *) usage ;;
esac
[ -n "$from" ] || usage
[ -f "$from/$config" ] || die "$from has no $config; 'murmuration deploy init' writes it"
if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || die "run it as root (sudo)"
  command -v systemctl >/dev/null || die "this machine has no systemd; see deploy/README.md for doing it by hand"
fi

packages() {
  missing=
  command -v nats-server >/dev/null || missing="$missing nats-server"
  [ "$role" = hub ] || command -v npm >/dev/null || missing="$missing npm"
  # Devices ask it for memory where it is there (docs/decisions/0026).
  [ "$role" = hub ] || ldconfig -p | grep -q libjemalloc.so.2 || missing="$missing libjemalloc2"
  [ -n "$missing" ] || return 0
  apt-get update -qq
  # shellcheck disable=SC2086 -- a list of package names
  apt-get install -y -qq --no-install-recommends $missing
}

# Debian's package starts a server of its own on our port, without any password, whoever installed it and when.
debian_service() {
  ! systemctl is-active --quiet nats-server.service ||
    echo "install: switching off Debian's own nats-server.service; the units of murmuration take its place"
  systemctl disable --now nats-server.service >/dev/null 2>&1 || true
}

account() {
  id murmuration >/dev/null 2>&1 ||
    useradd --system --home-dir /var/lib/murmuration --shell /usr/sbin/nologin murmuration
}

# Secrets: only the service reads them. The folder is root's, and so is device.env, which root reads (deploy/README.md has it).
configuration() {
  mkdir -p "$root/etc/murmuration"
  owner=
  if [ -z "$root" ]; then
    owner='-o murmuration -g murmuration'
    chown root:root /etc/murmuration
  fi
  for file in "$from"/*.conf "$from"/*.json "$from"/*.pem "$from"/*.key; do
    [ -e "$file" ] || continue
    case $role:$file in
      # May do everything, and is used where 'deploy init' was run: no service needs it.
      *:*/operator.json) continue ;;
      # Where the hub is one of the devices, programs ask its leaf.
      hub:*/client.json) [ ! -e "$root/etc/murmuration/leaf.conf" ] || continue ;;
    esac
    # shellcheck disable=SC2086 -- a list of flags
    install -m 600 $owner -- "$file" "$root/etc/murmuration/$(basename -- "$file")"
  done
  # Earlier versions of this script copied it.
  rm -f "$root/etc/murmuration/operator.json"
  if [ "$role" = device ] && [ ! -e "$root/etc/murmuration/device.env" ]; then
    printf '%s\n' "# Settings of 'murmuration up', whose --help names them all; after a change: systemctl restart murmuration" \
      MURMURATION_PROFILE=raspberry-pi-4 >"$root/etc/murmuration/device.env"
  fi
  [ -n "$root" ] || [ "$role" = hub ] || chown -h root:root /etc/murmuration/device.env
}

# All of it is root's, '.cache' too, from which root's commands run what is kept: the service may read, and write nowhere here.
program() {
  [ "$role" = device ] || return 0
  mkdir -p "$root/opt/murmuration"
  # Of earlier versions, which gave it to the service.
  rm -rf "$root/opt/murmuration/.cache"
  if [ "$project" != "$root/opt/murmuration" ]; then
    # './swarm' is where 'deploy init' puts every device's secrets; the other dotted folders are trainings and what can be made again.
    # Whoever's the copy is: what becomes of it is the installer's, and nobody else may write it. What is private stays so.
    (cd "$project" && tar cf - --owner=0 --group=0 --mode=go-w --exclude=./node_modules --exclude=./.git --exclude=./.cache \
      --exclude=./.run --exclude=./.train --exclude=./swarm --exclude=./demo-client.json .) | tar xf - --no-same-owner -C "$root/opt/murmuration"
  fi
  mkdir -p "$root/usr/local/bin"
  ln -sf /opt/murmuration/cli/murmuration.mjs "$root/usr/local/bin/murmuration"
  [ -z "$root" ] || return 0
  chown -R root:root /opt/murmuration
  chmod -R go-w /opt/murmuration
  (cd /opt/murmuration && npm run --silent setup && node_modules/.bin/node --no-warnings deploy/strip.mjs)
}

services() {
  mkdir -p "$root/etc/systemd/system"
  for unit in $units; do cp -- "$project/deploy/systemd/$unit" "$root/etc/systemd/system/$unit"; done
  [ -z "$root" ] || return 0
  systemctl daemon-reload
  for unit in $units; do
    systemctl enable --quiet "$unit"
    systemctl restart "$unit"
  done
}

if [ -z "$root" ]; then
  packages
  debian_service
  account
fi
configuration
program
services

echo "install: $role is installed."
if [ "$role" = device ]; then
  echo "Next: sudo murmuration doctor --credentials /etc/murmuration/device.json"
else
  echo "Next: on each device: sudo deploy/install.sh device DIRECTORY; then create the buckets (deploy/README.md)."
fi
