"""Contacts: intervals in which two moving devices are within range, and their statistics."""

from __future__ import annotations

from wnsim.contacts.summary import gaps, lines, summary, table
from wnsim.contacts.sweep import CONTACT, Contacts, contacts

__all__ = ["CONTACT", "Contacts", "contacts", "gaps", "lines", "summary", "table"]
