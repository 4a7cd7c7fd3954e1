"""A web page and an HTTP API that draw with opened runs: `sclgan serve`. Needs the extra "serve"."""
