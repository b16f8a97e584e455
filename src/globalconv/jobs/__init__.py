"""One file per verb: the whole job, for Python and the command line alike."""
