"""From the description of a data set to rows, from rows to tokens."""
