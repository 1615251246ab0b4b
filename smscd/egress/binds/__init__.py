"""Our binds to carriers: kept up, paced, owned by one process."""
