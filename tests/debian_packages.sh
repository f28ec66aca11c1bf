#!/bin/sh
# Install the packages of tests/apt.txt that are missing, as root on Debian or Ubuntu; elsewhere say what will be skipped.
set -eu
cd "$(dirname "$0")"
missing=""
for package in $(sed 's/#.*//' apt.txt); do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Not installed (no root, or no apt-get):$missing — tests that need them are skipped, with the reason."
    exit 0
fi
echo "Installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=300 update
# shellcheck disable=SC2086 # a list of words
apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing >/dev/null
