"""Modules of the standard library over green sockets and green threads."""
