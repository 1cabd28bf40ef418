"""`ganzoo bench`: variants trained and scored alike, so that two strangers get the same numbers.

`run.bench` makes a plan of cells, one for each (variant, data, seed), and fills a folder: protocol.json says how was measured,
cells/ holds one row a cell, results.jsonl all of them in the order of the plan.
"""
