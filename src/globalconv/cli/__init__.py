"""The command line: one small file per verb, each reads options, calls one function, prints. Nothing imports this."""
