"""nginx before a node: HTTPS, and a password that it asks for; once for each kind of certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Program, Tool, Toolbox

PROGRAM = Program("nginx", ("nginx",), "usr/sbin/nginx")

DOORS = ("good", "expired", "elsewhere", "knowing")
"""The certificate of each port: as it should be, one that is over, one of another host; one that wants the client's."""

_ALL = """
daemon off;
master_process off;
pid {folder}/pid;
events {{ }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {doors}
}}
"""

_ONE = """
  server {{
    listen {host}:{port} ssl;
    ssl_certificate {certificates}/{name}.pem;
    ssl_certificate_key {certificates}/{name}.pem;
    {more}
    location / {{
      auth_basic "search";
      auth_basic_user_file {certificates}/users;
      proxy_pass http://{behind};
    }}
  }}
"""


class Guard(Standalone):
    """`behind` is the node's host and port; `certificates` a folder with a file for each door, and with `users`."""

    name: str = "nginx"
    summary: str = "TLS and passwords before another server"
    version: str = "Debian's"
    nodes_max: int = 1
    ports: tuple[str, ...] = DOORS
    settings: Settings = MappingProxyType({"behind": "", "certificates": ""})
    stop_within_s: float = 5.0

    def install(self, toolbox: Toolbox) -> GuardKit:
        """See `Kind`."""
        return GuardKit(toolbox.program(PROGRAM))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`. Whoever speaks no TLS is told so."""
        return all(answers(node.host, node.port, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 400") for node in nodes)


@dataclass(frozen=True)
class GuardKit:
    """The program as it was found or brought."""

    tool: Tool

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`."""
        certificates = Path(node.settings["certificates"])
        wanted = f"ssl_client_certificate {certificates}/ca.pem; ssl_verify_client on;"
        doors = [
            _ONE.format(
                host=node.host,
                port=node.ports[name],
                name="good" if name == "knowing" else name,
                certificates=certificates,
                behind=node.settings["behind"],
                more=wanted if name == "knowing" else "",
            )
            for name in DOORS
        ]
        (node.folder / "nginx.conf").write_text(_ALL.format(folder=node.folder, doors="".join(doors)))
        command = (str(self.tool.path), "-c", f"{node.folder}/nginx.conf", "-p", str(node.folder), "-e", "stderr")
        return Launch(command, self.tool.variables)
