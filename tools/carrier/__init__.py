"""The simulated carrier: an SMSC whose mood is chosen by the last three digits of the destination."""
