"""`smtplib` of the standard library."""

from __future__ import annotations


def test_mail(smtp_peer, run_patched):
    code = """
import smtplib
from email.message import EmailMessage
def send(number):
    message = EmailMessage()
    message["From"], message["To"] = "a@example.com", f"b{number}@example.com"
    message.set_content("hello")
    with smtplib.SMTP("127.0.0.1", given.port, "localhost", timeout=20) as smtp:
        return smtp.send_message(message)
assert overlap(send) == [{}] * 50
"""
    run_patched(code, port=smtp_peer)
