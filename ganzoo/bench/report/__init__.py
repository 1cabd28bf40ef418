"""Reports of a bench: sections, statistics, and the HTML, Markdown and terminal output."""
