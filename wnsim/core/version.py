"""Version of the package."""

__version__ = "0.1.0"

# Number of the results, increased by each change of the program that may change a table. Results of
# different numbers are never mixed.
RESULTS = 3
