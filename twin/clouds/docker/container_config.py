"""Inputs of docker.Container as the engine's API takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from twin.protocol.resource import Failure, Props

_MIB: Final = 1024 * 1024
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_CPU_SET: Final = re.compile(r"\d+([,-]\d+)*")
_OWN_NETWORK: Final = ("host", "none")
_AT_LEAST_ZERO: Final = ("memory", "shmSize", "cpuShares", "destroyGraceSeconds", "waitTimeout")


def nanoseconds(text: str) -> int | None:
    """A Go duration (`1m30s`) in nanoseconds; None when it is none."""
    if text in ("", "0"):
        return 0
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        return None
    return int(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


def problems(inputs: Props) -> Iterable[Failure]:
    """The rules of the provider's validators that the table cannot say."""
    for name in _AT_LEAST_ZERO:
        if isinstance(inputs.get(name), int) and inputs[name] < 0:
            yield Failure(name, f"must be 0 or more, not {inputs[name]}")
    if isinstance(swap := inputs.get("memorySwap"), int) and swap < -1:
        yield Failure("memorySwap", f"must be -1 or more, not {swap}")
    if isinstance(cpus := inputs.get("cpuSet"), str) and not _CPU_SET.fullmatch(cpus):
        yield Failure("cpuSet", f'"{cpus}" is no list of CPUs, such as 0-1 or 0,2')
    health = inputs.get("healthcheck")
    if isinstance(health, dict):
        if "tests" not in health:
            yield Failure("healthcheck.tests", "is required and was not given")
        for name in ("interval", "timeout", "startPeriod", "startInterval"):
            given = health.get(name, "")
            if isinstance(given, str) and nanoseconds(given) is None:
                yield Failure(f"healthcheck.{name}", f'"{given}" is no duration, such as 10s')
    for i, text in enumerate(_list(inputs, "envs")):
        if isinstance(text, str) and "=" not in text:
            yield Failure(f"envs[{i}]", 'must be of the form "NAME=value"')
    for i, upload in enumerate(_list(inputs, "uploads")):
        yield from _upload_problems(f"uploads[{i}]", upload)


def container_config(inputs: Props, image: str, labels: dict[str, str]) -> Props:
    """The body of `POST /containers/create`."""
    ports = inputs.get("ports", ())
    own = {entry["label"]: entry["value"] for entry in inputs.get("labels", ())}
    body: Props = {
        "Image": image,
        "Hostname": inputs.get("hostname"),
        "Domainname": inputs.get("domainname"),
        "User": inputs.get("user"),
        "Env": inputs.get("envs"),
        "Cmd": inputs.get("command"),
        "Entrypoint": inputs.get("entrypoints"),
        "WorkingDir": inputs.get("workingDir"),
        "Tty": inputs.get("tty", False),
        "OpenStdin": inputs.get("stdinOpen", False),
        "StopSignal": inputs.get("stopSignal"),
        "StopTimeout": inputs.get("stopTimeout"),
        "Labels": {**own, **labels},
        "ExposedPorts": {f"{p['internal']}/{p['protocol']}": {} for p in ports} or None,
        "Volumes": {
            v["containerPath"]: {}
            for v in inputs.get("volumes", ())
            if not v.get("hostPath") and not v.get("volumeName") and "containerPath" in v
        }
        or None,
        "Healthcheck": _healthcheck(inputs.get("healthcheck")),
        "HostConfig": _host_config(inputs),
    }
    first = next(iter(_networks(inputs)), None)
    if first is not None:
        body["NetworkingConfig"] = {"EndpointsConfig": {first["name"]: endpoint(first)}}
    return _given(body)


def later_networks(inputs: Props) -> list[Props]:
    """The networks that are joined between creation and start."""
    return _networks(inputs)[1:]


def endpoint(network: Props) -> Props:
    """How a container stands in one network."""
    addresses = _given(
        {
            "IPv4Address": network.get("ipv4Address"),
            "IPv6Address": network.get("ipv6Address"),
            "LinkLocalIPs": network.get("linkLocalIps"),
        }
    )
    return _given({"Aliases": network.get("aliases"), "IPAMConfig": addresses or None})


def in_mib(value: int | None) -> int | None:
    """Bytes of an amount of memory; -1 (no limit) stays."""
    return value if value is None or value < 0 else value * _MIB


def _networks(inputs: Props) -> list[Props]:
    return list(inputs.get("networksAdvanced", ()))


def _network_mode(inputs: Props) -> str:
    """The first network, so that the container never stands on the default one meanwhile."""
    mode = str(inputs.get("networkMode", "bridge"))
    networks = _networks(inputs)
    if networks and mode not in _OWN_NETWORK and not mode.startswith("container:"):
        return str(networks[0]["name"])
    return mode


def _host_config(inputs: Props) -> Props:
    capabilities = inputs.get("capabilities", {})
    bindings: dict[str, list[Props]] = {}
    for port in inputs.get("ports", ()):
        external = str(port["external"]) if port.get("external") else ""
        bound = {"HostIp": port["ip"], "HostPort": external}
        bindings.setdefault(f"{port['internal']}/{port['protocol']}", []).append(bound)
    log = {"Type": inputs.get("logDriver", ""), "Config": inputs.get("logOpts", {})}
    return _given(
        {
            "Privileged": inputs.get("privileged", False),
            "PublishAllPorts": inputs.get("publishAllPorts", False),
            "RestartPolicy": {
                "Name": inputs["restart"],
                "MaximumRetryCount": inputs.get("maxRetryCount", 0),
            },
            "Mounts": [_mount(mount) for mount in inputs.get("mounts", ())] or None,
            "AutoRemove": inputs["rm"],
            "ReadonlyRootfs": inputs["readOnly"],
            "LogConfig": log,
            "Tmpfs": inputs.get("tmpfs"),
            "PortBindings": bindings or None,
            "ExtraHosts": [f"{h['host']}:{h['ip']}" for h in inputs.get("hosts", ())] or None,
            "Binds": _binds(inputs) or None,
            "VolumesFrom": [
                v["fromContainer"] for v in inputs.get("volumes", ()) if v.get("fromContainer")
            ]
            or None,
            "Ulimits": [
                {"Name": u["name"], "Soft": u["soft"], "Hard": u["hard"]}
                for u in inputs.get("ulimits", ())
            ]
            or None,
            "CapAdd": capabilities.get("adds"),
            "CapDrop": capabilities.get("drops"),
            "Devices": [_device(device) for device in inputs.get("devices", ())] or None,
            "Dns": inputs.get("dns"),
            "DnsOptions": inputs.get("dnsOpts"),
            "DnsSearch": inputs.get("dnsSearches"),
            "SecurityOpt": inputs.get("securityOpts"),
            "Memory": in_mib(inputs.get("memory")),
            "MemoryReservation": in_mib(inputs.get("memoryReservation")),
            "MemorySwap": in_mib(inputs.get("memorySwap")),
            "ShmSize": in_mib(inputs.get("shmSize")),
            "CpuShares": inputs.get("cpuShares"),
            "CpuPeriod": inputs.get("cpuPeriod"),
            "CpuQuota": inputs.get("cpuQuota"),
            "CpusetCpus": inputs.get("cpuSet"),
            "NanoCpus": int(float(inputs["cpus"]) * 10**9) if inputs.get("cpus") else None,
            "NetworkMode": _network_mode(inputs),
            "UsernsMode": inputs.get("usernsMode"),
            "PidMode": inputs.get("pidMode"),
            "IpcMode": inputs.get("ipcMode"),
            "CgroupnsMode": inputs.get("cgroupnsMode"),
            "CgroupParent": inputs.get("cgroupParent"),
            "Sysctls": inputs.get("sysctls"),
            "StorageOpt": inputs.get("storageOpts"),
            "GroupAdd": inputs.get("groupAdds"),
            "Runtime": inputs.get("runtime"),
            "Init": inputs.get("init"),
        }
    )


def _healthcheck(given: Props | None) -> Props | None:
    if not given:
        return None
    return _given(
        {
            "Test": given["tests"],
            "Interval": nanoseconds(given.get("interval", "")),
            "Timeout": nanoseconds(given.get("timeout", "")),
            "StartPeriod": nanoseconds(given.get("startPeriod", "")),
            # The engine refuses the field on API versions that do not know it.
            "StartInterval": nanoseconds(given.get("startInterval", "")) or None,
            "Retries": given.get("retries", 0),
        }
    )


def _mount(mount: Props) -> Props:
    volume, tmpfs = mount.get("volumeOptions", {}), mount.get("tmpfsOptions", {})
    driver = {"Name": volume.get("driverName"), "Options": volume.get("driverOptions")}
    return _given(
        {
            "Type": mount["type"],
            "Target": mount["target"],
            "Source": mount.get("source"),
            "ReadOnly": mount.get("readOnly", False),
            "BindOptions": {"Propagation": mount["bindOptions"].get("propagation")}
            if mount.get("bindOptions")
            else None,
            "VolumeOptions": _given(
                {
                    "NoCopy": volume.get("noCopy", False),
                    "Labels": {v["label"]: v["value"] for v in volume.get("labels", ())},
                    "DriverConfig": _given(driver) or None,
                }
            )
            if volume
            else None,
            "TmpfsOptions": _given({"SizeBytes": tmpfs.get("sizeBytes"), "Mode": tmpfs.get("mode")})
            or None,
        }
    )


def _binds(inputs: Props) -> list[str]:
    found = []
    for volume in inputs.get("volumes", ()):
        source = volume.get("hostPath") or volume.get("volumeName")
        if source and "containerPath" in volume:
            mode = "ro" if volume.get("readOnly") else "rw"
            found.append(f"{source}:{volume['containerPath']}:{mode}")
    return found


def _device(device: Props) -> Props:
    return {
        "PathOnHost": device["hostPath"],
        "PathInContainer": device.get("containerPath") or device["hostPath"],
        "CgroupPermissions": device.get("permissions") or "rwm",
    }


def _upload_problems(path: str, upload: Any) -> Iterable[Failure]:
    if not isinstance(upload, dict):
        return
    given = [n for n in ("content", "contentBase64", "source") if upload.get(n) is not None]
    if len(given) != 1:
        yield Failure(path, "needs exactly one of content, contentBase64, source")


def _list(inputs: Props, name: str) -> list[Any]:
    value = inputs.get(name)
    return value if isinstance(value, list) else []


def _given(body: Props) -> Props:
    return {name: value for name, value in body.items() if value is not None}
