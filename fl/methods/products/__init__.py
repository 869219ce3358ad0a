"""Methods that average products of factors, or correct the average of the factors for them."""
