#!/bin/sh
# Stop what start.sh started, cancel its jobs, and remove all that it wrote.
set -eu
STATE=${INNT_SLURM_STATE:-/var/lib/innt-slurm}
CONF=/etc/slurm/slurm.conf

[ -e $CONF ] || exit 0
if [ "$(head -n 1 $CONF)" != "# written by tests/workflow/slurm/start.sh, removed by tests/workflow/slurm/stop.sh" ]; then
    echo "stop.sh: $CONF belongs to somebody else: it is left alone" >&2
    exit 1
fi
scancel --user=root --quiet 2>/dev/null || true
for _ in $(seq 30); do
    [ -n "$(squeue -h 2>/dev/null)" ] || break
    sleep 1
done
for daemon in slurmd slurmctld munged; do
    [ -e "$STATE/$daemon.pid" ] || continue
    process=$(cat "$STATE/$daemon.pid")
    # A number can be another process's by now.
    [ "$(cat "/proc/$process/comm" 2>/dev/null)" = $daemon ] || continue
    kill "$process" || true
    for _ in $(seq 20); do
        kill -0 "$process" 2>/dev/null || break
        sleep 0.5
    done
done
rm -rf $CONF "$STATE"
