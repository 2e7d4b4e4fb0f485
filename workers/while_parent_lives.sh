#!/bin/sh
# Usage: while_parent_lives.sh PORT SERVER: becomes `SERVER PORT`, and sees that it does not outlive who called it.
#
# For the one server that we do not spawn ourselves: Temporal's SDK does, in a thread of its own, so the kernel's signal
# on a parent's death (which means the thread) would be the wrong one. Looking once a second is right on every system.
parent=$PPID
(
  while kill -0 "$parent" && kill -0 $$; do sleep 1; done
  kill -9 $$
) >/dev/null 2>&1 </dev/null &
exec "$2" "$1"
