"""Summary of a scenario's complete runs: metrics, comparison, LaTeX table, figures, report."""
