"""Methods with frozen factors: only B, a part of it, or a core between the factors is trained."""
