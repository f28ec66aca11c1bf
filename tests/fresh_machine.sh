#!/bin/sh
# Try the README as a new user: a bare Debian root (debootstrap), a fresh clone, nothing installed by hand.
#   sudo sh tests/fresh_machine.sh FOLDER 'make demo ARGS="--no-browser --exit-after-movies=6"'
# FOLDER is made once and kept; each run clones anew. Certificates and name resolution come from this machine.
set -eu
[ $# -eq 2 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
root=$1
command=$2
source=$(cd "$(dirname "$0")/.." && pwd)
if [ ! -x "$root/usr/bin/make" ]; then
    debootstrap --variant=minbase --include=ca-certificates,git,make,python3 bookworm "$root"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -r /etc/apt/sources.list* /etc/apt/apt.conf.d "$root/etc/apt/" 2>/dev/null || true
[ -f /etc/pip.conf ] && cp /etc/pip.conf "$root/etc/"
# as in a container: packages that are installed start no services
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
for folder in proc sys dev; do
    mountpoint -q "$root/$folder" || mount --rbind "/$folder" "$root/$folder"
done
trap 'for folder in dev sys proc; do umount -R -l "$root/$folder" || true; done' EXIT
rm -rf "$root/root/passerelle"
git clone --quiet "$source" "$root/root/passerelle"
chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LANG=C.UTF-8 \
    bash -c "cd /root/passerelle && time ($command) && du -sm .venv"
