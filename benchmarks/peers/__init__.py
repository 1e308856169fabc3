"""Our speed beside that of what people could pick instead, on one machine, in turns: `make bench-peers`."""
