"""The version, apart from everything else so that tools can read it without loading the package."""

__version__ = "1.0.0"
