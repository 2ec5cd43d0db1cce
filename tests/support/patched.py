"""How programs of the tests begin that are patched and use threads."""

PATCHED = """
import eventlet
eventlet.monkey_patch()
import os, sys, threading, time
"""
