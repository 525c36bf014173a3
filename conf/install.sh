#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# conf/install.sh BUILD DESTDIR PREFIX: puts what BUILD holds where a Debian
# host expects it. Programs that find each other lie in one directory,
# PREFIX/lib/gatehouse; people's commands are links to them. Nothing is started
# and no user is made: conf/README.md says what comes next.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 3 ] || {
    sed -n '4,7s/^# //p' "$0" >&2
    exit 3
}
build=$1 dest=$2 prefix=$3
lib=$prefix/lib/gatehouse
doc=$prefix/share/doc/gatehouse
modules=/usr/lib/nginx/modules # where Debian's nginx looks

put() { # MODE DIRECTORY FILE...
    local mode=$1 to=$dest$2
    shift 2
    install -d "$to"
    install -m "$mode" "$@" "$to/"
}

link() { # TARGET PATH
    install -d "$(dirname "$dest$2")"
    ln -sfn "$1" "$dest$2"
}

fill() { # MODE DIRECTORY NAME FILE: with its @WORDS@ filled in
    install -d "$dest$2"
    sed -e "s|@SBIN@|$prefix/sbin|g" -e "s|@DOC@|$doc|g" "$4" >"$dest$2/$3"
    chmod "$1" "$dest$2/$3"
}

for program in gatehoused gatehouse-shim gatehouse-control gatehouse-idp \
    gatehouse; do
    put 755 "$lib" "$build/$program"
done
link ../lib/gatehouse/gatehoused "$prefix/sbin/gatehoused"
link ../lib/gatehouse/gatehouse "$prefix/bin/gatehouse"
put 644 "$modules" "$build/ngx_http_gatehouse_module.so"

put 644 /etc/gatehouse/nginx conf/nginx/gatehouse-http.conf \
    conf/nginx/gatehouse-server.conf
fill 644 "$prefix/lib/systemd/system" gatehoused.service \
    conf/systemd/gatehoused.service
fill 644 "$prefix/lib/sysusers.d" gatehouse.conf conf/systemd/gatehouse.sysusers
fill 644 "$prefix/lib/tmpfiles.d" gatehouse.conf conf/systemd/gatehouse.tmpfiles

put 644 "$doc" README.md LICENSE NOTICE
put 644 "$doc/docs" docs/*.md
put 644 "$doc/examples" conf/nginx/production.conf.example \
    conf/demo/gatehouse.yaml.in conf/seccomp/default.json
echo "installed below $dest$prefix; next: conf/README.md, \"A host\""
