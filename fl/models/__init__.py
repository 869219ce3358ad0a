"""Language models: loading, integrity checks, encoding of examples, and the bundled model."""
