"""The search for the parameters of a DenseCRF, on one part of a data set, and the report on another."""
