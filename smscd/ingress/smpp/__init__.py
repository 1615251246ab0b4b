"""The SMPP interface: the SMSC's side of ESME sessions."""
