"""One instance on one machine: the light process that prepares the storage and keeps the workers."""
