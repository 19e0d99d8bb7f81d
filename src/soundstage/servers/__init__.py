"""Real servers on this machine: installed through package registries, started as children, killed and paused at will.

    with Cluster("memcached", nodes=2) as cluster:
        print(cluster.url)
        cluster.servers[0].kill()

`soundstage.servers.catalogue.KINDS` lists what there is. A cluster's processes end with the process that started
it, however that ends; `soundstage servers up NAME` starts one that stays.
"""

from __future__ import annotations

from soundstage.servers.catalogue import find
from soundstage.servers.cluster import Cluster
from soundstage.servers.kind import Kind, Kit, Launch, Node
from soundstage.servers.server import Server
from soundstage.servers.shelf import servers_folder

__all__ = ["Cluster", "Kind", "Kit", "Launch", "Node", "Server", "find", "servers_folder"]
