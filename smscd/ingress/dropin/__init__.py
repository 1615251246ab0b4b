"""The doors of other gateways: Kannel's sendsms and Jasmin's HTTP API, for those who come from there."""
