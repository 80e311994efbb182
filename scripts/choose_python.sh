#!/bin/sh
# Prints which Python the environment is made with: the distribution's own if it is new enough and
# has what an environment and compiling take, since distributions build theirs with profile-guided
# optimization and who builds one by hand often does not (docs/decisions/0029-interpreter.md);
# otherwise the one that is found first.
for python in /usr/bin/python3 python3; do
    "$python" -c 'import ensurepip, pathlib, sys, sysconfig, venv
headers = pathlib.Path(sysconfig.get_path("include"), "Python.h")
sys.exit(sys.version_info < (3, 11) or not headers.exists())' 2>/dev/null && break
    python=python3
done
echo "$python"
