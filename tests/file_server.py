# SPDX-License-Identifier: BSD-3-Clause
"""A web server on this machine that can misbehave in all the ways a download has to survive."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves `files` (path to bytes) and notes the (path, Range header) of each request.

    ranges: whether it understands Range. cuts: after how many bytes it breaks the next connections off, in turn.
    redirects: path to address. says: headers that replace the true ones; None leaves one out.
    """

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.ranges = True
        self.cuts = []
        self.redirects = {}
        self.says = {}
        self.requests = []

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path in server.redirects:
            self._begin(302, {"Location": server.redirects[self.path]})
            return
        if self.path not in server.files:
            self.send_error(404)
            return
        content = server.files[self.path]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted and server.ranges else 0
        if first >= len(content) > 0:
            self.send_error(416)
            return
        headers = {"Content-Length": str(len(content) - first), "Content-Type": "application/gzip"}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._begin(206 if first else 200, headers | server.says)
        cut = server.cuts.pop(0) if server.cuts else len(content)
        self.wfile.write(content[first : first + cut])

    def _begin(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments):
        """Silence."""


@contextmanager
def serving(files) -> Iterator[FileServer]:
    with FileServer(files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
