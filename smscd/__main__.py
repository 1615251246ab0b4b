"""`python -m smscd` is the `smscd` command."""

from smscd.cli import main

main()
