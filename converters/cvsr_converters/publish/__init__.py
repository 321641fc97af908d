"""The pages of the models: index, cards, tables, crops. Start with ``survey.py``, which measures for all of them."""
