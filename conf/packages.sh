#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# conf/packages.sh [--list] USE...: names the Debian packages that are missing
# for build, run, test or host (conf/packages.txt) and installs them, without
# starting any of the servers they bring. Does nothing when all are there.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    printf 'packages: %s\n' "$@" >&2
    exit 1
}

usage() {
    sed -n '4,6s/^# //p' packages.sh
    exit "$1"
}

list_only=
uses=()
for arg in "$@"; do
    case $arg in
        --list) list_only=1 ;;
        --help | -h) usage 0 ;;
        build | test | host) uses+=("$arg") ;;
        run) uses+=(run host) ;; # a private system is a host too
        *) usage 3 >&2 ;;
    esac
done
[ ${#uses[@]} -gt 0 ] || usage 3 >&2

wanted() {
    local name use why
    while read -r name use why; do
        case " ${uses[*]} " in
            *" $use "*) printf '%s\t%s\n' "$name" "$why" ;;
        esac
    done < <(grep -v -e '^#' -e '^ *$' packages.txt)
}

if [ -n "$list_only" ]; then
    wanted | cut -f1
    exit 0
fi

command -v dpkg-query >/dev/null ||
    fail 'this is not Debian: no dpkg-query.' \
        'Install what conf/packages.txt names by your own means, then run' \
        'make with PACKAGES=present.'

installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' |
    sed -n 's/^ii  *//p')
missing=()
while IFS=$'\t' read -r name why; do
    grep -qxF "$name" <<<"$installed" && continue
    [ ${#missing[@]} -gt 0 ] || echo 'Debian packages to install:'
    printf '  %-29s %s\n' "$name" "$why"
    missing+=("$name")
done < <(wanted)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        fail 'not root, and there is no sudo. As root, run:' \
            "  apt-get install --no-install-recommends ${missing[*]}"
    echo 'asking sudo for the right to install them'
    exec sudo "$PWD/packages.sh" "${uses[@]}"
fi

# Debian asks policy-rc.d whether a package may start its server: no, for now.
policy=/usr/sbin/policy-rc.d
kept=$policy.before-gatehouse
mark='# for the time of an installation by Gatehouse'
restore() {
    if grep -qsxF "$mark" "$policy"; then rm -f "$policy"; fi
    [ ! -e "$kept" ] || mv "$kept" "$policy"
}
restore # after an installation that was killed
[ ! -e "$policy" ] || mv "$policy" "$kept"
trap restore EXIT
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"

log=$(mktemp)
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" </dev/null >"$log" 2>&1
}
# systemd's login sessions are a recommended extra that some packages name
# first; the trailing "-" keeps them out of containers.
extra=()
grep -qx libpam-systemd <<<"$installed" || extra=(libpam-systemd-)

start=$SECONDS
if ! apt install --no-install-recommends "${missing[@]}" "${extra[@]}"; then
    apt update || { tail -n 20 "$log"; fail 'apt-get update failed, see above.' \
        'Is the network there, and /etc/apt/sources.list right?'; }
    apt install --no-install-recommends "${missing[@]}" "${extra[@]}" ||
        { tail -n 30 "$log"; fail 'apt-get install failed, see above.' \
        "Try: apt-get install --no-install-recommends ${missing[*]}"; }
fi
rm -f "$log"
printf 'installed %d packages (and what they need) in %d s\n' \
    ${#missing[@]} $((SECONDS - start))
