"""Specification of a scenario: YAML document, schema, validation, variants and sweeps."""
