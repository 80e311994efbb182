"""Finds the Java and the Maven that Apache Kafka needs, or says what to install."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from deploy.local import supervisor

VERSION_MIN: Final = 17
"""What brokers of Kafka 4 are compiled for."""

ASK_SECONDS_MAX: Final = 30.0

_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_HINT: Final = "on Debian `apt-get install --no-install-recommends {}` brings it (CONTRIBUTING.md)"
JAVA_HINT: Final = _HINT.format("openjdk-17-jre-headless")
MAVEN_HINT: Final = _HINT.format("maven")
NEEDED: Final = f"Apache Kafka needs Java {VERSION_MIN}"


class Missing(supervisor.StartFailed):
    """Something that Apache Kafka needs is not on this machine; the message says how to get it."""


def java() -> Path:
    """Return the Java of JAVA_HOME, or else of the path. Raises Missing."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        where = f" in JAVA_HOME ({home})" if home else ""
        raise Missing(f"{NEEDED}, and there is none{where}: {JAVA_HINT}")
    try:
        told = subprocess.run(
            [found, "-version"], capture_output=True, text=True, timeout=ASK_SECONDS_MAX, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Missing(f"{found} does not tell its version: {error}") from None
    if (version := major(told.stderr + told.stdout)) < VERSION_MIN:
        raise Missing(f"{NEEDED}, and {found} is {version}: {JAVA_HINT}")
    return Path(found)


def major(told: str) -> int:
    """Return the number that counts of what `java -version` tells; 0 if there is none."""
    found = _VERSION.search(told)
    return int(found[1]) if found else 0


def maven() -> Path:
    """Return the program that fetches jars. Raises Missing."""
    found = shutil.which("mvn")
    if found is None:
        raise Missing(f"Apache Kafka's jars come by Maven, and there is none: {MAVEN_HINT}")
    return Path(found)
