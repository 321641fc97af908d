"""Rewrites that bring the frameworks' many spellings into one form. The parent package lists them in order."""
