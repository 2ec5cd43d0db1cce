"""The package ``urllib``: what of it reaches the network is green."""
