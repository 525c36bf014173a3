#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the module for the nginx that is installed, out of its own tree:
#   module/build.sh BUILD_DIR [SAN]
# Copies nginx' sources (package nginx-dev) once, configures again only when
# the list of sources changed, and compiles what is older than its parts.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=$1
san=${2:-}
src=${NGINX_SRC:-/usr/share/nginx/src}
tree=$build/nginx-src
so=$build/ngx_http_gatehouse_module.so

[ -d "$src/src" ] || {
    echo "module: no nginx sources in $src: install nginx-dev, or set NGINX_SRC" >&2
    exit 1
}
mkdir -p "$build"
[ -d "$tree/src" ] || cp -rL "$src" "$tree"

# The flags of the stock binary that its modules must share (nginx -V).
flags="--with-compat --with-debug --with-threads --with-pcre-jit
 --with-http_ssl_module --with-http_v2_module --with-http_realip_module
 --with-http_auth_request_module --with-http_slice_module"
cc="-g -O2 -fPIC -fstack-protector-strong -fno-omit-frame-pointer"
ld="-Wl,-z,relro -Wl,-z,now"
if [ -n "$san" ]; then
    cc="$cc -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    ld="$ld -fsanitize=address,undefined"
else
    cc="$cc -D_FORTIFY_SOURCE=2"
fi

want="$cc $ld $flags
$(cat "$top/config")
$(ls "$top"/module/*.[ch] "$top"/base/*.[ch] "$top"/plans/*.[ch] \
     "$top"/idp/*.[ch] 2>/dev/null)"
if [ "$want" != "$(cat "$tree/objs/gatehouse.configured" 2>/dev/null)" ]; then
    (cd "$tree" && ./configure $flags --with-cc-opt="$cc" --with-ld-opt="$ld" \
        --add-dynamic-module="$top" >objs.log 2>&1) || {
        tail -n 15 "$tree/objs.log" >&2
        exit 1
    }
    printf '%s\n' "$want" >"$tree/objs/gatehouse.configured"
fi
make -s -C "$tree" -f objs/Makefile modules
cp -p "$tree/objs/ngx_http_gatehouse_module.so" "$so.new"
mv "$so.new" "$so"
