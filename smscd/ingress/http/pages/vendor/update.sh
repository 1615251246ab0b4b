#!/bin/sh
# Fetch the versions named here of Swagger UI and Redoc into this folder: what browsers load from us and from nobody else.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

fetch() {
  (cd "$work" && npm pack --silent "$1" >/dev/null && mkdir "$2" && tar -xzf ./*.tgz -C "$2" --strip-components=1 && rm ./*.tgz)
}
fetch swagger-ui-dist@5.35.0 swagger
fetch redoc@2.5.4 redoc
cp "$work/swagger/swagger-ui.css" "$work/swagger/swagger-ui-bundle.js" .
cat "$work/swagger/NOTICE" "$work/swagger/LICENSE" >swagger-ui.LICENSE.txt
# Redoc would load a picture from its makers' host: without an address it leaves it out.
sed 's|https://cdn\.redoc\.ly/redoc/logo-mini\.svg|data:,|' "$work/redoc/bundles/redoc.standalone.js" >redoc.standalone.js
cat "$work/redoc/LICENSE" "$work/redoc/bundles/redoc.standalone.js.LICENSE.txt" >redoc.LICENSE.txt
# No browser shall look for source maps, which are not here: each file names its own in its last line.
sed -i '$ s|^/[/*]# sourceMappingURL=.*$||' swagger-ui.css swagger-ui-bundle.js redoc.standalone.js
sha256sum swagger-ui.css swagger-ui-bundle.js redoc.standalone.js >SHA256SUMS
