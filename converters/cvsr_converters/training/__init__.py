"""Data, losses, the loop and the recipes that train the project's models."""
