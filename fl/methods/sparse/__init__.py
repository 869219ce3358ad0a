"""Methods that send, or train, a part of the factors."""
