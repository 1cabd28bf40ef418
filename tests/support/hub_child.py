"""Runs requests to the Hub, one JSON request a line, as a program.

The client reads HF_* when it is imported, so tests with other settings need a process; one serves many cases, each with
a cache of its own.
"""

import hashlib
import io
import json
import os
import sys
import time
import traceback
from contextlib import redirect_stdout
from pathlib import Path

_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.01))

import torch  # noqa: E402
from huggingface_hub import constants  # noqa: E402
from messages import logged  # noqa: E402 - the folder of this program is on its path

import ganzoo  # noqa: E402
import ganzoo.hub.client  # noqa: E402
import ganzoo.publish.push  # noqa: E402
from ganzoo.errors import GanzooError  # noqa: E402
from ganzoo.models.pull import pull  # noqa: E402
from ganzoo.publish.push import push  # noqa: E402
from ganzoo.publish.search import search  # noqa: E402

torch.set_num_threads(1)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def do_pull(repo, **options):
    pulled = pull(repo, **options)
    files = {path.name: digest(path) for path in pulled.folder.iterdir()}
    return {"folder": str(pulled.folder), "commit": pulled.commit, "files": files}


def do_load(source, seed=0):
    images = ganzoo.load(source).sample(8, seed=seed)
    return {"images": hashlib.sha256(images.numpy().tobytes()).hexdigest(), "spread": images.std().item()}


def do_push(source, repo, **options):
    pushed = push(source, repo, **options)
    return {"commit": pushed.commit, "changed": pushed.changed, "address": pushed.address}


def do_push_loaded(source, repo, **options):
    """`ganzoo.push` of a model object, as a notebook does it."""
    pushed = ganzoo.push(ganzoo.load(source), repo, **options)
    return {"commit": pushed.commit, "changed": pushed.changed, "address": pushed.address}


def do_search(**options):
    return {"found": [vars(model) for model in search(**options)]}


def do_cli(*words):
    from ganzoo.cli import main

    out, errors = io.StringIO(), sys.stderr
    sys.stderr = io.StringIO()
    try:
        with redirect_stdout(out):
            main(list(words))
    except SystemExit as ended:
        return {"code": ended.code, "out": out.getvalue(), "err": sys.stderr.getvalue()}
    finally:
        sys.stderr = errors


def answer(request: dict) -> dict:
    constants.HF_HUB_CACHE = request["cache"]
    ganzoo.hub.client.SECONDS, ganzoo.hub.client.WAITS = request.get("seconds", 10.0), (0.01, 0.01)
    ganzoo.publish.push.SECONDS = ganzoo.hub.client.SECONDS
    ganzoo.hub.client.DEADLINE = request.get("deadline", 60.0)
    constants.HF_HUB_DOWNLOAD_TIMEOUT = request.get("reading", 10.0)
    os.environ["HF_TOKEN"] = request.get("token") or ""
    with logged() as lines:
        try:
            result = globals()[f"do_{request['do']}"](*request.get("words", []), **request.get("options", {}))
        except GanzooError as error:
            result = {"error": str(error), "kind": type(error).__name__}
        except BaseException:
            result = {"crash": traceback.format_exc()}
    return {**result, "report": lines}


if __name__ == "__main__":
    requests = sys.stdin
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is noise, which no test wants
    for line in requests:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
