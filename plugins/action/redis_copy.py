"""Copy all keys of a Redis database into that of another container, from one moment."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import IO, Any

from ansible_collections.dashtam.stack.plugins.module_utils import engine, lock
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem

DOCUMENTATION = """
name: redis_copy
short_description: Copy a Redis database from one container to another
description:
  - One script in the source, which nothing else of its server interrupts, prints commands of Redis' own
    protocol, a C(RESTORE) with the time of expiry for each key. C(redis-cli --pipe) of the target reads them.
  - Both are asked by the role C(redis)' administrator. Needs Redis 7.
options:
  source:
    description: Name of the container that is read.
    type: str
    required: true
  target:
    description: Name of the container that is written to. Keys of the same names are replaced.
    type: str
    required: true
  database:
    description: The database's index, on both sides.
    type: int
    required: true
  lock:
    description: The labels of the target's containers, which one run at a time changes.
    type: dict
    default: {}
"""

RETURN = """
keys:
  description: How many keys were copied.
  type: int
"""

# https://redis.io/docs/latest/commands/restore/; a key without an expiry has the time -1.
SCRIPT = r"""
local bulk = function(text) return '$' .. #text .. '\r\n' .. text .. '\r\n' end
local commands = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local until_ = math.max(redis.call('PEXPIRETIME', key), 0)
  local value = redis.call('DUMP', key)
  if value then
    commands[#commands + 1] = '*6\r\n' .. bulk('RESTORE') .. bulk(key) .. bulk(string.format('%d', until_))
      .. bulk(value) .. bulk('REPLACE') .. bulk('ABSTTL')
  end
end
return table.concat(commands)
"""
ADMINISTRATOR = ("sh", "/tmp/redis-admin", "-e")  # noqa: S108 - the role redis puts it there


class ActionModule(LocalAction):
    """Read, then write."""

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if self.dry_run:
            return {"skipped": True, "keys": 0}
        index = ["-n", str(args["database"])]
        try:
            with lock.exclusive(args["lock"]), tempfile.TemporaryFile() as commands:
                commands.write(_run(args["source"], [*index, "EVAL", SCRIPT, "0"], None))
                commands.seek(0)
                said = _run(args["target"], [*index, "--pipe"], commands).decode(errors="replace")
        except (engine.EngineError, OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", b"") or str(error).encode()
            raise Problem(f"Redis was not copied: {reason.decode().strip()}") from None
        # Its last line: "errors: 0, replies: 3"
        errors, _, replies = said.strip().splitlines()[-1].partition(",")
        if errors.split()[-1] != "0":
            raise Problem(f"Redis was copied only in part: {said.strip()}")
        return {"changed": True, "keys": int(replies.split()[-1])}


def _run(container: str, arguments: list[str], source: IO[bytes] | None) -> bytes:
    """Run redis-cli in a container and return what it prints, without the newline that it adds."""
    stdin = ["--interactive"] if source else []
    command = ["docker", "exec", *stdin, container, *ADMINISTRATOR, *arguments]
    run = subprocess.run(  # noqa: S603 - our own commands
        command,
        stdin=source or subprocess.DEVNULL,
        capture_output=True,
        env=os.environ | engine.address().environment,
        check=True,
    )
    return run.stdout.removesuffix(b"\n")
