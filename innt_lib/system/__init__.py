"""Where things live, files that are whole or absent, the machine, pixels."""
