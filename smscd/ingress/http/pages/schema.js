// Redoc on our document. Its search would need a worker made of a blob, which our Content-Security-Policy forbids.
Redoc.init("/api/openapi.json", {disableSearch: true, nativeScrollbars: true}, document.getElementById("page"));
