"""Building Redis again from PostgreSQL: `smscd recover`."""
