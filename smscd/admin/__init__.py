"""What operators may do, by command and over HTTP: orders of money, accounts, tokens; and their listener."""
