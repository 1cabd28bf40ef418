"""Serves the studio of one model, as a Space of the Hugging Face Hub or on this machine."""

from __future__ import annotations

import os
import sys

from ganzoo.registry.registry import registry
from ganzoo.studio import server
from ganzoo.studio.shelf import Shelf
from ganzoo.studio.web.page import web_application

PORT = "7860"  # where the Hub looks


def serve(model: str) -> None:
    """Serves until a signal comes, and exits with its code.

    On the Hub, which sets SPACE_ID, it is open to everybody and may be shown in a frame; elsewhere it is on loopback.
    """
    public = bool(os.environ.get("SPACE_ID"))
    port = int(os.environ.get("GRADIO_SERVER_PORT", PORT))
    address = server.Address("0.0.0.0" if public else "127.0.0.1", port, public=public)
    server.check_packages()
    with server.own_folder() as folder, server.open_socket(address) as listening:
        shelf = Shelf([model], registry(), zoo=False)
        title = os.environ.get("SPACE_ID") or "ganzoo studio"
        shown = server.Studio(shelf, folder, registry(), title=title, of_models_alone=True)
        caught = server.serve(
            web_application(shown), folder, address, listening, lambda url: print(f"{url} is ready", flush=True)
        )
    server.end(128 + caught, shelf)
    sys.exit(128 + caught if caught else 0)
