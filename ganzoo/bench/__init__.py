"""Trains and scores variants alike, so that two people get the same numbers from the same command.

`run.bench` plans one cell for each (variant, data, seed) and fills a folder: protocol.json states how was measured,
cells/ holds one row a cell, results.jsonl all rows in the order of the plan.
"""
