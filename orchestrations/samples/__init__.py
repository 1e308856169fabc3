"""Sample functions: one pattern of the original's documentation in each file. They import the public door alone."""
