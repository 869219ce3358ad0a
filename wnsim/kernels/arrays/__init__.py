"""The calculations of the kernels on whole arrays with NumPy, to compare the kernels with."""
