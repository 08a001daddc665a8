#!/bin/sh
# Makes <directory>/rootfs.tar: Debian's smallest system, with security updates. Runs as root on the host.
# usage: build-rootfs.sh <directory> <suite> <mirror, or nothing for debootstrap's own> <CA bundle, or nothing>
set -eu
umask 022

directory=$1 suite=$2 mirror=${3:-} ca_bundle=${4:-}
root=$directory/rootfs

clean_up() {
    # An interrupted debootstrap leaves the host's /proc and /sys mounted in there.
    for mounted in proc sys; do
        if mountpoint -q "$root/$mounted"; then umount -l "$root/$mounted"; fi
    done
    rm -rf --one-file-system "$root"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
clean_up

# debootstrap downloads with wget.
if [ -n "$ca_bundle" ]; then
    echo "ca_certificate = $ca_bundle" >"$directory/wgetrc"
    export WGETRC="$directory/wgetrc"
fi
# Without --force-check-gpg a missing keyring is a warning only.
debootstrap --variant=minbase --force-check-gpg --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    "$suite" "$root" ${mirror:+"$mirror"}

sources=$root/etc/apt/sources.list
used=$(awk '$1 == "deb" { print $2; exit }' "$sources")
used=${used%/}
echo "deb $used $suite-updates main" >>"$sources"

apt_get() {
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -q ${ca_bundle:+-o Acquire::https::CAInfo=/ca-bundle.pem} "$@"
}
if [ -n "$ca_bundle" ]; then cp "$ca_bundle" "$root/ca-bundle.pem"; fi
# Mirrors that carry the security suite have it beside the archive.
cp "$sources" "$sources.plain"
if [ "${used%/debian}" != "$used" ]; then
    echo "deb ${used%/debian}/debian-security $suite-security main" >>"$sources"
fi
if ! apt_get update --error-on=any; then
    echo "$used has no security suite beside it: the images go without security updates" >&2
    mv "$sources.plain" "$sources"
    apt_get update --error-on=any
fi
# No daemon may start while a package is installed.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"
cat >"$root/etc/dpkg/dpkg.cfg.d/small-image" <<'EOF'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
EOF
apt_get -y dist-upgrade

# What the exclusions above came too late for, and what belongs to this host or this run.
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/info/* "$root"/usr/share/man/* "$root"/usr/share/locale/* \
    "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old \
    "$root"/var/log/* "$root/var/cache/ldconfig/aux-cache" "$root/etc/hostname" "$root/etc/resolv.conf" \
    "$root/etc/machine-id" "$root/ca-bundle.pem" "$sources.plain"

tar --create --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' --file="$directory/rootfs.tar.part" \
    --directory="$root" .
chmod 0644 "$directory/rootfs.tar.part"
mv "$directory/rootfs.tar.part" "$directory/rootfs.tar"
