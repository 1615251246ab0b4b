"""What only one process may do at a time: leases, roles, node ids, and the services that live under them."""
