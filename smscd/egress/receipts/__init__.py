"""What carriers send us: receipts and messages from phones."""
