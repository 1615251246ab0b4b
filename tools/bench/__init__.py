"""Load generators for both doors, and the benchmark that runs the daemon as shipped and prints what a message costs."""
