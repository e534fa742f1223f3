"""Where things live, files that are whole or absent, the machine, pixels."""

VERSION = "0.1.0"
