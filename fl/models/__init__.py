"""Language models: loading, integrity checks, encoding of examples, and the built-in model."""
