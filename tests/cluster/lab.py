"""Hosts on one machine: network namespaces with processes, homes, sockets and ssh servers of their own.

A bridge in the namespace `ctl`, which stands for the user's own machine, joins them; no route leads out. Needs root,
and Debian's iproute2, openssh-server and rsync. Everything is taken down with the lab.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.waiting import LIMIT, wait_until

PROJECT = Path(__file__).parents[2]
TOOLS = ("ip", "unshare", "sshd", "ssh", "rsync", "ssh-keygen")
CLIENT = "10.77.0.254"

# What a host does before it is one, in its own namespaces: $1 its folder, $2 its name, $3 the Python environment,
# $4 the project, $5 the shared folder, $6 the interpreter's installation. It sees the system's programs and the
# environment, in a layer that keeps what it writes to itself; neither the project, which must come by ray up, nor
# anybody's home.
_BOOT = r"""
set -e
mount --make-rprivate /
hostname "$2"
mount -t tmpfs tmpfs /run
mkdir /run/lab /run/shared /run/environment /run/written /run/work /run/python /run/sshd
mount --bind "$1" /run/lab
mount --bind "$5" /run/shared
mount --bind "$3" /run/environment
mount --bind "$6" /run/python
for folder in /dev/shm /root /tmp "$4"; do mkdir -p "$folder"; mount -t tmpfs tmpfs "$folder"; done
mkdir -p "$3" "$5" "$6" /root/.ssh /root/.config/pip /root/xray-search
mount -t overlay overlay -o lowerdir=/run/environment,upperdir=/run/written,workdir=/run/work "$3"
mount --bind /run/shared "$5"
mount --bind /run/python "$6"
cp /run/lab/authorized_keys /root/.ssh/
ln -s "$3" /root/xray-search/.venv
printf '[global]\nno-index = true\nfind-links = /run/shared/wheels\n' > /root/.config/pip/pip.conf
exec /usr/sbin/sshd -D -e -f /run/lab/sshd_config
"""


def missing() -> str:
    """Why there can be no lab here; empty where there can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "the lab needs Linux and root"
    if subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount", "true"], capture_output=True).returncode:
        return "the lab needs namespaces, which this machine does not let root make"
    absent = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    return f"the lab needs {', '.join(absent)}: apt-get install iproute2 openssh-server rsync" if absent else ""


class Lab:
    """Hosts `h1`, `h2`, ... at 10.77.0.1, 10.77.0.2, ..., the client's namespace `ctl`, and a folder that all see.

    Args:
        folder: for keys, homes and logs.
        environment: the virtual environment that every host has.
    """

    def __init__(self, folder: Path, environment: Path) -> None:
        self.folder, self.environment = folder, environment
        self.home, self.shared = folder / "home", folder / "shared"
        self._hosts: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Lab":
        self._remove()
        for path in (self.home / ".ssh", self.home / ".ray", self.shared):
            path.mkdir(parents=True, mode=0o700)
        # Hosts reach no package index: what the project is built with comes to them as a file.
        build = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
        pip = [str(self.environment / "bin" / "python"), "-m", "pip", "download", "--quiet", "--no-deps"]
        _run(*pip, "--dest", str(self.shared / "wheels"), *build)
        key = self.home / ".ssh" / "id_ed25519"
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        _run("ip", "netns", "add", "ctl")
        for words in ("link set lo up", "link add br0 type bridge", f"addr add {CLIENT}/24 dev br0", "link set br0 up"):
            _run("ip", "-n", "ctl", *words.split())
        return self

    def __exit__(self, *error: object) -> None:
        for number in list(self._hosts):
            self.kill(number)
        self._remove()

    def start(self, *numbers: int) -> None:
        """Bring up hosts, and wait until each lets one in."""
        for number in numbers:
            self._start(number)
        for number in numbers:
            self._wait_for_ssh(number)

    def kill(self, number: int) -> None:
        """Kill a host with all its processes, as if its power were cut."""
        process = self._hosts.pop(number)
        _kill(f"h{number}")
        process.kill()
        process.wait()

    @property
    def hosts(self) -> set[int]:
        """The hosts that are up."""
        return set(self._hosts)

    def unplug(self, number: int) -> None:
        """Pull a host's cable: everything on it goes on, and nobody hears of it."""
        _run("ip", "-n", "ctl", "link", "set", f"v{number}", "down")

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the client, with its home and nobody's variables; its output is one text.

        Raises:
            RuntimeError: it failed, and `check` says that it must not.
        """
        line = self._on_client(command, variables)
        done = subprocess.run(
            line, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=PROJECT, timeout=LIMIT
        )
        if check and done.returncode:
            raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done

    def popen(self, *command: str, log: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command on the client whose output goes to a file."""
        with log.open("wb") as file:
            return subprocess.Popen(self._on_client(command, variables), stdout=file, stderr=file, cwd=PROJECT)

    @contextlib.contextmanager
    def tunnel(self, file: Path, **variables: str) -> Iterator[None]:
        """`ray dashboard` of a cluster file, from when it answers."""
        log = self.folder / "tunnel.log"
        process = self.popen("ray", "dashboard", str(file), log=log, **variables)
        try:
            asked = "curl", "-s", "-o", "/dev/null", "http://127.0.0.1:8265"
            wait_until(lambda: not self.run(*asked, check=False).returncode, f"a tunnel; see {log}")
            yield
        finally:
            process.terminate()
            process.wait()

    def ssh(self, number: int, command: str) -> str:
        """What a command prints on a host."""
        key = str(self.home / ".ssh" / "id_ed25519")
        options = [
            "-i",
            key,
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]
        return self.run("ssh", *options, f"root@{address(number)}", command).stdout

    def received(self, number: int) -> int:
        """Bytes that have come to a host over its cable."""
        path = f"/sys/class/net/v{number}/statistics/tx_bytes"  # the client's end of it sends what the host receives
        return int(_run("ip", "netns", "exec", "ctl", "cat", path))

    def processes(self) -> int:
        """How many processes run on all hosts, their ssh servers aside."""
        return sum(len(_processes(f"h{number}")) for number in self._hosts) - 2 * len(self._hosts)

    def _on_client(self, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        path = f"{self.environment / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        values = {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", "TERM": "dumb", **variables}
        words = [f"{name}={value}" for name, value in values.items()]
        return ["ip", "netns", "exec", "ctl", "env", "-i", *words, *command]

    def _start(self, number: int) -> None:
        name, own = f"h{number}", self.folder / f"h{number}"
        own.mkdir(exist_ok=True)
        (own / "authorized_keys").write_bytes((self.home / ".ssh" / "id_ed25519.pub").read_bytes())
        if not (own / "host_key").exists():
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(own / "host_key"))
        (own / "sshd_config").write_text(
            f"Port 22\nListenAddress {address(number)}\nHostKey /run/lab/host_key\n"
            "AuthorizedKeysFile /root/.ssh/authorized_keys\nPasswordAuthentication no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\nStrictModes no\nPidFile none\nSubsystem sftp internal-sftp\n"
            "SetEnv RAY_worker_niceness=0\n"  # as in tests/conftest.py: what else runs here leaves them their share
        )
        etc = Path("/etc/netns", name)
        etc.mkdir(parents=True, exist_ok=True)
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{address(number)} {name}\n")
        (etc / "resolv.conf").write_text("")
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", f"v{number}", "netns", "ctl", "type", "veth", "peer", "name", "eth0", "netns", name)
        for words in (f"link set v{number} master br0", f"link set v{number} up"):
            _run("ip", "-n", "ctl", *words.split())
        for words in ("link set lo up", f"addr add {address(number)}/24 dev eth0", "link set eth0 up"):
            _run("ip", "-n", name, *words.split())
        inner = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--mount-proc"]
        boot = [
            "bash",
            "-c",
            _BOOT,
            "boot",
            str(own),
            name,
            str(self.environment),
            str(PROJECT),
            str(self.shared),
            sys.base_prefix,
        ]
        with (own / "log").open("ab") as log:
            command = [
                "ip",
                "netns",
                "exec",
                name,
                *inner,
                "env",
                "-i",
                "HOME=/root",
                "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                *boot,
            ]
            self._hosts[number] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _wait_for_ssh(self, number: int) -> None:
        def lets_one_in() -> bool:
            with contextlib.suppress(RuntimeError):
                return self.ssh(number, "hostname").strip() == f"h{number}"
            return False

        log = self.folder / f"h{number}" / "log"
        wait_until(lets_one_in, f"h{number} lets one in", told=log.read_text, every=0.3)

    def _remove(self) -> None:
        """Take down what this lab, or an earlier one that was killed, left of namespaces."""
        names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
        for name in names:
            if name == "ctl" or (name[0] == "h" and name[1:].isdigit()):
                _kill(name)
                _run("ip", "netns", "del", name)
                shutil.rmtree(Path("/etc/netns", name), ignore_errors=True)


def address(number: int) -> str:
    """The address of host `number`."""
    return f"10.77.0.{number}"


def _processes(namespace: str) -> list[int]:
    listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def _kill(namespace: str) -> None:
    for pid in _processes(namespace):
        with contextlib.suppress(ProcessLookupError):  # it died with its parent
            os.kill(pid, signal.SIGKILL)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout
