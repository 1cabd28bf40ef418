"""What `ganzoo studio` shows, as functions of plain values; `web` draws it in a browser with Gradio."""
