"""Contacts of moving devices: when which two are within range of each other, and statistics."""

from __future__ import annotations

from wnsim.contacts.summary import lines, summary
from wnsim.contacts.sweep import CONTACT, Contacts, contacts

__all__ = ["CONTACT", "Contacts", "contacts", "lines", "summary"]
