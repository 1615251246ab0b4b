"""Real Valkey and PostgreSQL servers from wheels, as child processes that die with the daemon (DESIGN section 9)."""
