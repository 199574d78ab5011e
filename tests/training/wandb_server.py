"""As much of a W&B server as its client asks for, on the loopback: runs, their histories line by line, summaries,
files.

Written from what wandb 0.31 sends. What a run's history is in the end follows from the offsets the client gives, as on
the real server.
"""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

KEY = "0123456789" * 4


class WandbServer(http.server.ThreadingHTTPServer):
    """Holds what clients have sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}  # what was uploaded, by name
        self.artifacts: list[str] = []
        self.asked: list[str] = []
        self.refuses = False
        self.lock = threading.Lock()

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows of a run, in order."""
        lines = self.runs[run]["history"]
        assert sorted(lines) == list(range(len(lines))), "rows are missing"
        return [json.loads(lines[number]) for number in sorted(lines)]

    def summary(self, run: str) -> dict[str, Any]:
        return self.runs[run]["summary"]


class _Answers(http.server.BaseHTTPRequestHandler):
    server: WandbServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._say({})

    def do_PUT(self) -> None:
        self.server.files[self.path.removeprefix("/upload/")] = self._body()
        self._say({})

    def do_POST(self) -> None:
        body = self._body()
        with self.server.lock:
            if self.path == "/graphql":
                query = json.loads(body)
                name = query.get("operationName") or query["query"].split("(")[0].split()[-1]
                self.server.asked.append(name)
                self._say({"data": self._answer(name, query.get("variables") or {})})
            elif self.path.endswith("/file_stream"):
                self._take(self.path.split("/")[-2], json.loads(body))
                self._say({"exitcode": None})
            else:
                self._say({})

    def _take(self, run: str, sent: dict[str, Any]) -> None:
        known = self.server.runs[run]
        files = sent.get("files") or {}
        chunk = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        known["history"] |= {chunk["offset"] + index: line for index, line in enumerate(chunk["content"])}
        for line in files.get("wandb-summary.json", {"content": []})["content"]:
            known["summary"] = json.loads(line)
        known["exit"] = sent.get("exitcode", known.get("exit"))

    def _answer(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        if name == "Viewer":
            return {
                "viewer": {
                    "id": "1",
                    "entity": "me",
                    "username": "me",
                    "email": "",
                    "flags": "{}",
                    "teams": {"edges": []},
                }
            }
        if name == "RunResumeStatus":
            return {"model": {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "me"},
                              "bucket": self._bucket(given["name"])}}  # fmt: skip
        if name == "UpsertBucket":
            known = self.server.runs.setdefault(given["name"], {"history": {}, "summary": {}, "config": "{}"})
            known["config"] = given.get("config") or known["config"]
            project = {"id": "p", "name": given.get("project") or "p", "entity": {"id": "e", "name": "me"}}
            bucket = {"id": given["name"], "name": given["name"], "displayName": given.get("displayName") or "",
                      "project": project, "historyLineCount": len(known["history"]), "tags": []}  # fmt: skip
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if name == "CreateRunFiles":
            return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": [
                {"name": file,
                 "uploadUrl": f"{self.server.address}/upload/{file}"} for file in given["files"]]}}  # fmt: skip
        return self._artifact_answer(name, given)

    def _artifact_answer(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s", "latestArtifact": None}}
        if name == "CreateArtifact":
            self.server.artifacts.append(str((given.get("input") or given).get("artifactCollectionName")))
            return {"createArtifact": {"artifact": artifact}}
        if name == "ArtifactType":
            return {"project": {"artifact": None}}
        return {}

    def _bucket(self, name: str) -> dict[str, Any] | None:
        known = self.server.runs.get(name)
        if known is None:
            return None
        last = [known["history"][number] for number in sorted(known["history"])][-1:]
        return {
            "id": name, "name": name, "displayName": "", "summaryMetrics": json.dumps(known["summary"]),
            "logLineCount": 0, "historyLineCount": len(known["history"]), "eventsLineCount": 0,
            "historyTail": json.dumps(last), "eventsTail": "[]",
            # a run that was started
            "config": known["config"], "tags": [], "notes": "", "wandbConfig": json.dumps({"t": 1}),
        }  # fmt: skip

    def _body(self) -> bytes:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def _say(self, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self.send_response(403 if self.server.refuses else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def serving() -> Iterator[WandbServer]:
    """A server for as long as the block lasts."""
    server = WandbServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
