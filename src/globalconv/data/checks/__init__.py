"""What is wrong with a data set, before it costs anyone a night."""
