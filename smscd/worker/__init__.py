"""The worker process: its entry point and what its parts share."""
