"""A live container: waiting for it, saying what is wrong with it, reading it back."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Final

import docker
import requests.exceptions
from docker.errors import DockerException

from twin.clouds.docker.container_config import nanoseconds
from twin.protocol.resource import Context, Props

_LOG_LINES: Final = 15
_POLL_SECONDS: Final = 1.0  # as the provider polls
_MIB: Final = 1024 * 1024
_GONE: Final = ("exited", "dead", "removing")


def wait_healthy(ctx: Context, api: docker.APIClient, id: str, seconds: int) -> str | None:
    """None once it is healthy; else what was wrong when the time was over or it had ended."""
    deadline = time.monotonic() + seconds
    while True:
        found = api.inspect_container(id)
        state = found["State"]
        if "Health" not in state:
            return "has no health check, which `wait` needs (its own or the image's)"
        if state["Health"]["Status"] == "healthy":
            return None
        if state["Status"] in _GONE:
            return f"ended before it was healthy{_described(ctx, api, found)}"
        if time.monotonic() >= deadline:
            return f"was not healthy within {seconds} s{_described(ctx, api, found)}"
        if ctx.stop.wait(_POLL_SECONDS):
            return "was not healthy yet when the update was cancelled"


def wait_running(ctx: Context, api: docker.APIClient, id: str, milliseconds: int) -> str | None:
    """None once it runs; else how it ended."""
    deadline = time.monotonic() + milliseconds / 1000
    while True:
        found = api.inspect_container(id)
        state = found["State"]
        if state["Running"] and not state["Restarting"]:
            return None
        if state["Status"] in _GONE or time.monotonic() >= deadline:
            return f"ended at once{_described(ctx, api, found)}"
        if ctx.stop.wait(_POLL_SECONDS / 10):
            return "did not run yet when the update was cancelled"


def outputs_of(found: dict[str, Any], known: Props) -> Props:
    """All outputs from an inspection; what the program chose stays as it wrote it.

    Only what can change while a container lives is compared with the engine: its state, its limits,
    its restart policy, its addresses. Environment and labels are mixed with the image's, so neither
    the provider nor this double reads them back.
    """
    host, config, state = found["HostConfig"], found["Config"], found["State"]
    networks = found["NetworkSettings"].get("Networks") or {}
    live: Props = {
        "name": found["Name"].lstrip("/"),
        "restart": host["RestartPolicy"]["Name"] or "no",
        "networkDatas": [_network(name, networks[name]) for name in sorted(networks)],
        "bridge": found["NetworkSettings"].get("Bridge", ""),
    }
    for name, value in (
        ("maxRetryCount", host["RestartPolicy"].get("MaximumRetryCount", 0)),
        ("memory", host["Memory"] // _MIB),
        ("memorySwap", _mib(host["MemorySwap"])),
        ("cpuShares", host["CpuShares"]),
        ("cpuSet", host["CpusetCpus"]),
    ):
        if name in known:
            live[name] = value
    chosen_by_engine = {
        "hostname": config["Hostname"],
        "command": config.get("Cmd") or [],
        "entrypoints": config.get("Entrypoint") or [],
        "init": bool(host.get("Init")),
        "ipcMode": host.get("IpcMode") or "",
        "logDriver": host["LogConfig"]["Type"],
        "runtime": host.get("Runtime") or "",
        "securityOpts": host.get("SecurityOpt") or [],
        "shmSize": (host.get("ShmSize") or 0) // _MIB,
        "stopSignal": config.get("StopSignal") or "",
        "stopTimeout": config.get("StopTimeout") or 0,
    }
    if "ports" in known:
        live["ports"] = [_port(found, port) for port in known["ports"]]
    if "healthcheck" in known:
        live["healthcheck"] = _health(config.get("Healthcheck") or {}, known["healthcheck"])
    if not state["Running"]:
        live["exitCode"] = state["ExitCode"]
    return {**chosen_by_engine, **known, **live}


def _described(ctx: Context, api: docker.APIClient, found: dict[str, Any]) -> str:
    """`: exit code …; last probe …; last log lines …`, secrets masked."""
    state = found["State"]
    parts = [f"it is {state['Status']}"]
    if not state["Running"] or state["Restarting"]:
        parts.append(f"exit code {state['ExitCode']}")
    if state.get("OOMKilled"):
        parts.append("killed for want of memory")
    if state.get("Error"):
        parts.append(state["Error"])
    if found.get("RestartCount"):
        parts.append(f"restarted {found['RestartCount']} times")
    text = f": {', '.join(parts)}"
    probes = (state.get("Health") or {}).get("Log") or []
    if probes:
        said = probes[-1]["Output"].strip() or "nothing"
        text += f"\n  last health probe (exit code {probes[-1]['ExitCode']}): {said}"
    with contextlib.suppress(DockerException, requests.exceptions.RequestException):
        logs = api.logs(found["Id"], tail=_LOG_LINES).decode(errors="replace").strip()
        lines = "\n    ".join(logs.splitlines()) or "nothing"
        text += f"\n  last log lines:\n    {lines}"
    return ctx.masked(text)


def _network(name: str, found: dict[str, Any]) -> Props:
    return {
        "networkName": name,
        "ipAddress": found.get("IPAddress", ""),
        "ipPrefixLength": found.get("IPPrefixLen", 0),
        "gateway": found.get("Gateway", ""),
        "globalIpv6Address": found.get("GlobalIPv6Address", ""),
        "globalIpv6PrefixLength": found.get("GlobalIPv6PrefixLen", 0),
        "ipv6Gateway": found.get("IPv6Gateway", ""),
        "macAddress": found.get("MacAddress", ""),
    }


def _port(found: dict[str, Any], port: Props) -> Props:
    """A port that the program left to the engine keeps the number it was given."""
    if port.get("external"):
        return port
    ports = found["NetworkSettings"].get("Ports") or {}
    bound = ports.get(f"{port['internal']}/{port['protocol']}") or []
    return {**port, "external": int(bound[0]["HostPort"])} if bound else port


def _health(live: dict[str, Any], known: Props) -> Props:
    """The check as it is; durations stay as they were written while they mean the same."""
    read: Props = {**known, "tests": live.get("Test") or []}
    for name, key in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("startPeriod", "StartPeriod"),
    ):
        if name in known and nanoseconds(known[name]) != live.get(key, 0):
            read[name] = f"{live.get(key, 0) / 10**9:g}s"
    if "retries" in known:
        read["retries"] = live.get("Retries", 0)
    return read


def _mib(value: int) -> int:
    return value // _MIB if value > 0 else value
