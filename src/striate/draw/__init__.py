"""Rows and records as a person sees them: terminal, notebook, Markdown, LaTeX, curves."""
