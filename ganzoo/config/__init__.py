"""Configuration: the schema of config.json, `--set` settings, mix-ins, and the options of parts."""
