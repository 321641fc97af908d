"""Rewrites that give one form to what frameworks write in many ways. The parent package lists them in their order."""
