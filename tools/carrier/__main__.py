"""`python -m tools.carrier` is `smscd carrier`."""

from tools.carrier.command import carrier

carrier(prog_name="smscd carrier")
