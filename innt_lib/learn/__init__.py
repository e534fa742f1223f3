"""How a network comes to say it: networks, losses, methods and their training."""
