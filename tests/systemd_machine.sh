#!/bin/sh
# Run the two units of docs/how-to/install.md under a real systemd, in namespaces of its own, and send a folder through root's hand:
#   sudo sh tests/systemd_machine.sh FOLDER
# FOLDER is one that tests/fresh_machine.sh has made; nothing in it is changed (an overlay takes what is written).
set -eu
[ $# -eq 1 ] && [ -x "$1/lib/systemd/systemd" ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
lower=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
root=$work/root
mkdir "$root" "$work/upper" "$work/work"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" "$root"
clean() {
    [ -z "${init:-}" ] || kill -KILL "$init" 2>/dev/null || true
    sleep 1
    umount -l "$root"
    rm -rf "$work"
}
trap clean EXIT

mkdir -p "$root/opt/source" "$root/etc/passerelle" "$root/gateway/xrd/crystal" "$root/zones" "$root/srv/passerelle"
(cd "$here" && git archive HEAD) | tar x -C "$root/opt/source"
for n in 1 2 3; do head -c 3000000 /dev/urandom >"$root/gateway/xrd/crystal/$n.cbf"; done
chroot "$root" sh -eu <<'INSIDE'
python3 -m venv /opt/passerelle/venv
/opt/passerelle/venv/bin/pip install --quiet -c /opt/source/constraints.txt /opt/source
useradd --create-home passerelle
useradd --create-home anna
chown passerelle /srv/passerelle
INSIDE
printf 'service = "passerelle"\nzones = ["/zones"]\nsources = ["/gateway"]\n' >"$root/etc/passerelle/hand.toml"
cat >"$root/etc/passerelle/passerelle.toml" <<'CONFIG'
[state]
folder = "/srv/passerelle/state"
[zones]
folder = "/zones"
[transfers]
hand = "/run/passerelle-hand/socket"
leave_free_percent = 0
[instruments.xrd]
folder = "/gateway/xrd"
processing = false
CONFIG
units=$root/etc/systemd/system
find "$units" -name '*.wants' -prune -exec rm -r {} +
mkdir -p "$units/multi-user.target.wants"
python3 - "$here/docs/how-to/install.md" "$units" <<'UNITS'
import re, sys
from pathlib import Path

page, folder = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
for name, text in re.findall(r"`/etc/systemd/system/([\w-]+\.service)`:\n\n```ini\n(.*?)```", page, re.DOTALL):
    if name == "passerelle.service":  # as the page says of an ordinary account with root's hand
        text = re.sub(r"# (User=passerelle).*", r"\1", text).replace("/srv/passerelle/venv", "/opt/passerelle/venv")
        text = text.replace("/srv/passerelle/passerelle.toml", "/etc/passerelle/passerelle.toml")
        text = text.replace("After=network.target", "Wants=passerelle-hand.service\nAfter=passerelle-hand.service")
    (folder / name).write_text(text)
UNITS
for name in passerelle passerelle-hand; do
    ln -sf "/etc/systemd/system/$name.service" "$units/multi-user.target.wants/$name.service"
done
ln -sf /lib/systemd/system/multi-user.target "$units/default.target"

cat >"$work/boot" <<'BOOT'
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
for place in run tmp dev; do mount -t tmpfs tmpfs $place; done
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm before
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
pivot_root . before
umount -l before
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=no
BOOT
unshare --pid --mount --uts --ipc --cgroup --net --fork sh "$work/boot" "$root" &
outer=$!
sleep 2
init=$(pgrep -P "$outer")
nsenter -t "$init" -m -p -u -i -n -C sh -eu <<'CHECKS'
passerelle() { /opt/passerelle/venv/bin/passerelle "$@" --config /etc/passerelle/passerelle.toml; }
answers() {
    for _ in $(seq 120); do
        python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8620/")' 2>/dev/null && return
        sleep 1
    done
    journalctl --no-pager -u passerelle -n 50
    return 1
}
cd /
answers
passerelle zones create anna --owner anna
passerelle zones relate anna root writer
passerelle send xrd/crystal anna --watch
[ "$(find /zones/anna -name '*.cbf' -user anna | wc -l)" = 3 ]
systemctl kill --signal=KILL passerelle passerelle-hand
sleep 8
answers
systemctl is-active passerelle passerelle-hand
passerelle doctor || true  # no clock to follow here

# a secret as docs/how-to/people.md hands it over
mkdir -p /etc/systemd/system/passerelle.service.d /etc/credstore.encrypted
echo "desk json://localhost/none" | systemd-creds encrypt --name=notices - /etc/credstore.encrypted/notices
printf '[Service]\nLoadCredentialEncrypted=notices:/etc/credstore.encrypted/notices\n' >/etc/systemd/system/passerelle.service.d/secrets.conf
printf '[notices]\nurls_file = "/run/credentials/passerelle.service/notices"\n' >>/etc/passerelle/passerelle.toml
systemctl daemon-reload
systemctl restart passerelle
answers
passerelle doctor --json | python3 -c '
import json, sys
checks = {each["name"]: each for each in json.load(sys.stdin)["checks"]}
assert checks["notices"]["level"] != "error", checks["notices"]  # it could be read; nobody takes what it says'
systemctl stop passerelle passerelle-hand
[ "$(systemctl show -p Result passerelle)" = Result=success ]
if journalctl --no-pager -u passerelle | grep cleanup_hangs; then exit 1; fi
echo "both units work under systemd $(systemctl --version | head -1 | cut -d' ' -f2)"
CHECKS
