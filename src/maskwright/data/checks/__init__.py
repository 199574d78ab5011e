"""The audit of a data set: what it holds, what is wrong with it, and what could be done about it."""
