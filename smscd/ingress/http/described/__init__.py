"""The OpenAPI document by group of resources: each module has KINDS, the types it shows, and paths()."""
