"""The jobs of the program, for Python and the command line alike. What trains is slow to import, so it is apart."""
