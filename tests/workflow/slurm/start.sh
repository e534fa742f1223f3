#!/bin/sh
# Start a real SLURM with one node, this machine, for `make test-slurm`. Needs root, on Debian or Ubuntu.
# Everything is kept in one folder, save /etc/slurm/slurm.conf: `srun` inside a job looks only there.
set -eu
STATE=${INNT_SLURM_STATE:-/var/lib/innt-slurm}
CONF=/etc/slurm/slurm.conf
MARK="# written by tests/workflow/slurm/start.sh, removed by tests/workflow/slurm/stop.sh"

fail() { echo "start.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "must be run as root"
if [ -e $CONF ] && [ "$(head -n 1 $CONF)" != "$MARK" ]; then
    fail "$CONF belongs to somebody else: it is left alone"
fi
if ! command -v slurmctld slurmd munged >/dev/null; then
    echo "Installing slurm-wlm and munge ..."
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge >/dev/null ||
        fail "slurm-wlm and munge could not be installed"
fi
[ -e $CONF ] && "$(dirname "$0")/stop.sh"

# Reachable for all, as munge wants it; the key for root alone.
mkdir -p "$STATE/ctld" "$STATE/d" /etc/slurm
chmod 755 "$STATE"
(umask 077 && head -c 1024 /dev/urandom >"$STATE/munge.key")
munged --key-file="$STATE/munge.key" --socket="$STATE/munge.socket" --pid-file="$STATE/munged.pid" \
    --log-file="$STATE/munged.log" --seed-file="$STATE/munge.seed"

MEMORY=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
echo "Name=gpu Count=1 File=/dev/null" >"$STATE/gres.conf"
cat >"$STATE/slurm.conf" <<END
$MARK
ClusterName=innt
SlurmctldHost=localhost
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$STATE/munge.socket
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/d
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=5,bf_interval=5
KillWait=5
MinJobAge=300
ReturnToService=2
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$MEMORY Gres=gpu:1
PartitionName=cpu Nodes=localhost Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=localhost MaxTime=INFINITE State=UP
END
cp "$STATE/slurm.conf" $CONF
# The daemons read gres.conf beside the configuration that they are told.
SLURM_CONF="$STATE/slurm.conf" slurmctld -c
SLURM_CONF="$STATE/slurm.conf" slurmd -N localhost

for _ in $(seq 60); do
    [ "$(sinfo -h -p cpu -o %t 2>/dev/null)" = idle ] && break
    sleep 1
done
[ "$(sinfo -h -p cpu -o %t)" = idle ] || fail "the node does not come up: see $STATE/*.log"
sinfo -o "%P %t %c %m %G"
