"""Java 17 and Maven, the system's or unpacked; jars, which Maven brings and a list of digests proves; how they run.

Debian's script that gives Java the system's certificates does not run when a package is unpacked, so the store is
written here, in the plain format that every Java reads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from soundstage.core.errors import DataLoss
from soundstage.datasets.archive import sha256_of
from soundstage.servers.kind import Node
from soundstage.servers.programs import Program, Tool, Toolbox
from soundstage.servers.work import Work

PACKAGES = ("openjdk-17-jre-headless", "maven")
JAVA = Program("java", PACKAGES, "usr/lib/jvm/java-17-openjdk-*/bin/java")
MAVEN = Program("mvn", PACKAGES, "usr/share/maven/bin/mvn")
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
MAJOR = "17"

COMPILER = "3.33.0"
COMPILER_DEPENDENCY = f"""<dependency><groupId>org.eclipse.jdt</groupId><artifactId>ecj</artifactId>
<version>{COMPILER}</version></dependency>"""
"""What a pom has that brings a compiler, for launchers of ours: the Java of this machine may have none."""

QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a quick start and little memory, at the price of speed later."""

_LOGGING = """appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d][%-5p][%c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""

_STORE_MAGIC = 0xFEEDFEED
_STORE_SALT = b"Mighty Aphrodite"
_STORE_PASSWORD = "changeit"


@dataclass(frozen=True)
class JavaKit:
    """Java and the folder of jars."""

    java: Tool
    lib: Path

    def program(self, node: Node) -> tuple[str, ...]:
        """What runs Java for a node whose setting `heap_mb` says how large it grows; its class is to follow.

        What Log4j has to say from a warning on is on the console: the file for it was written.
        """
        logging = node.folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        memory = ("-Xms128m", f"-Xmx{node.settings['heap_mb']}m", "-XX:MaxDirectMemorySize=128m")
        return (str(self.java.path), *memory, *QUICK, f"-Dlog4j2.configurationFile={logging}")


def java(toolbox: Toolbox) -> Tool:
    """Java 17: that of JAVA_HOME, of the PATH or of the system's folder, else an unpacked one."""
    for home in _homes():
        if _release(home) == MAJOR and os.access(home / "bin" / "java", os.X_OK):
            return Tool(home / "bin" / "java")
    return toolbox.unpacked(JAVA)


def jars(
    name: str, pom: str, digests: str, toolbox: Toolbox, finish: Callable[[Path, Work], None] | None = None
) -> Path:
    """The folder of the jars that `pom` asks for, each as the list `digests` of this package states.

    `finish` makes of them what is kept, once. Raises `DataLoss` when Maven brought another set or other bytes, which is
    then not kept.
    """
    stated = read_digests(digests)

    def install(folder: Path) -> None:
        work = toolbox.work(folder.parent)
        work.folder.mkdir(parents=True, exist_ok=True)
        (work.folder / "pom.xml").write_text(pom)
        maven, variables = _maven(toolbox, work.folder)
        quiet = ("-B", "-q", "-ntp", f"-Dmaven.repo.local={work.folder}/repository")
        wanted = ("-DincludeScope=runtime", f"-DoutputDirectory={folder}")
        work.run(f"downloading {name} by Maven", (str(maven), *quiet, PLUGIN, *wanted), variables)
        toolbox.note(f"checking {name}")
        require_digests(folder, stated)
        if finish is not None:
            finish(folder, work)

    return toolbox.shelf.bring(name, install, toolbox.note)


def compile_launcher(name: str, server: str, folder: Path, runtime: Tool, work: Work) -> None:
    """The classes of the program `name` of this package, which starts `server`, lie in `folder` among the jars.

    The compiler is among them too: see `COMPILER_DEPENDENCY`. Raises `Unavailable`.
    """
    work.folder.mkdir(parents=True, exist_ok=True)
    source = work.folder / f"{name}.java"
    source.write_bytes(files("soundstage.servers.kinds").joinpath(f"{name}.java").read_bytes())
    compiler = ("-jar", str(folder / f"ecj-{COMPILER}.jar"), "-17", "-nowarn", "-proc:none")
    places = ("-cp", ":".join(str(jar) for jar in sorted(folder.glob("*.jar"))), "-d", str(folder))
    command = (str(runtime.path), *compiler, *places, str(source))
    work.run(f"compiling what starts {server}", command, runtime.variables)


def read_digests(name: str) -> dict[str, str]:
    """File names with their SHA-256 digests, from the list of this package that sha256sum has written."""
    text = files("soundstage.servers.kinds").joinpath(name).read_text("ascii")
    return {file: digest for digest, file in (line.split() for line in text.splitlines())}


def require_digests(folder: Path, stated: dict[str, str]) -> None:
    """Raises `DataLoss` unless `folder` holds exactly the files of `stated`, with these SHA-256 digests."""
    found = {path.name: sha256_of(path) for path in folder.iterdir()}
    wrong = sorted(name for name in found.keys() | stated.keys() if found.get(name) != stated.get(name))
    if wrong:
        raise DataLoss(
            f"the registry served other files than this release of soundstage names: {', '.join(wrong[:4])}",
            hint="a mirror or cache in between is damaged or dishonest; clear it and try again",
        )


def write_trust(path: Path, certificates: list[bytes]) -> None:
    """A key store of Java's own format, with the DER `certificates` as trusted and the usual password."""
    body = bytearray(struct.pack(">III", _STORE_MAGIC, 2, len(certificates)))
    for number, certificate in enumerate(certificates):
        alias, kind = f"ca{number}".encode(), b"X.509"
        body += struct.pack(">IH", 2, len(alias)) + alias + struct.pack(">QH", 0, len(kind)) + kind
        body += struct.pack(">I", len(certificate)) + certificate
    password = _STORE_PASSWORD.encode("utf-16-be")
    # The format's own checksum, which Java wants and which guards nothing.
    path.write_bytes(body + hashlib.sha1(password + _STORE_SALT + body).digest())


def system_certificates() -> list[bytes]:
    """The certificates, in DER, that this machine trusts: SSL_CERT_FILE's, else the system's, else those of pip."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    usual = ssl.get_default_verify_paths().cafile
    pip = importlib.util.find_spec("pip")
    brought = str(Path(pip.origin).parent / "_vendor" / "certifi" / "cacert.pem") if pip and pip.origin else None
    places = (os.environ.get("SSL_CERT_FILE"), usual, "/etc/ssl/certs/ca-certificates.crt", brought)
    found = next((place for place in places if place and Path(place).is_file()), None)
    if found is not None:
        context.load_verify_locations(found)
    return context.get_ca_certs(binary_form=True)


def _maven(toolbox: Toolbox, folder: Path) -> tuple[Path, dict[str, str]]:
    """Maven and the variables it runs with: a Java, and certificates where that Java has none."""
    runtime = java(toolbox)
    home = runtime.path.parent.parent
    variables = {"JAVA_HOME": str(home), "MAVEN_OPTS": os.environ.get("MAVEN_OPTS", ""), **runtime.variables}
    if not (home / "lib" / "security" / "cacerts").exists():
        write_trust(folder / "trust", system_certificates())
        variables["MAVEN_OPTS"] += f" -Djavax.net.ssl.trustStore={folder}/trust"
    found = shutil.which(MAVEN.name)
    if found:
        return Path(found), variables
    maven = toolbox.unpacked(MAVEN)
    return maven.path, variables


def _homes() -> list[Path]:
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if found := shutil.which("java"):
        homes.append(Path(found).resolve().parent.parent)
    return [*homes, *sorted(Path("/usr/lib/jvm").glob("*-17-*")), *sorted(Path("/usr/lib/jvm").glob("*17*"))]


def _release(home: Path) -> str:
    """The major version of the Java at `home`, as its file `release` says it."""
    try:
        lines = (home / "release").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = {name: value for name, _, value in (line.partition("=") for line in lines)}
    return said.get("JAVA_VERSION", "").strip('"').partition(".")[0]
