"""A private certificate authority and one certificate of it, made with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.servers.programs import find_program


class Certificates:
    """A new authority and a certificate for 127.0.0.1 and localhost.

    Args:
        folder: where the files are put; an existing folder.

    Raises:
        Unavailable: openssl is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.crt"
        self.certificate = folder / "server.crt"
        self.key = folder / "server.key"
        ca_key, request, names = folder / "ca.key", folder / "server.csr", folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        authority = ["-subj", "/CN=querycache tests"]
        authority += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        signing = ["-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", names]
        for arguments in (
            ["req", "-x509", *curve, *authority, "-keyout", ca_key, "-out", self.ca],
            ["req", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1"],
            ["x509", "-req", *signing, "-in", request, "-out", self.certificate],
        ):
            command = [find_program("openssl"), *map(str, arguments)]
            subprocess.run(command, check=True, capture_output=True)
