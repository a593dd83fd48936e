#!/bin/bash
# rootfs.sh makes the root file systems that the tests boot: a minimal Debian
# with systemd as PID 1, one for each release; one with the servers that
# examples/fleet manages, one with podman; one for each release with what
# evenkeel knows the files of by itself; and one for each with a kernel. It prints
# the folder of each.
#
#   e2e/rootfs.sh [NAME...]
#
# Without a NAME: bookworm trixie trixie-fleet trixie-podman bookworm-system
# trixie-system. "make vm" asks for bookworm-vm and trixie-vm.
#
# Beside them, in debs/RELEASE/SET, are packages that tests install on hosts, which
# have no way to an archive.
#
# They are kept in ${EVENKEEL_CACHE:-/var/cache/evenkeel}/rootfs, and made only
# when they are missing or when this script asks for something else than it did.
# A half-made one is never seen: each is built beside its place, then renamed.
# Two runs at once wait for each other.
set -euo pipefail

readonly recipe=1 # raise it when what is built below changes
readonly packages=systemd,systemd-sysv,dbus,ca-certificates,procps,iproute2
readonly servers=nginx-light,python3,postgresql,redis-server,prometheus-node-exporter
readonly containers=podman,crun,conmon,netavark,catatonit,nftables,iptables,busybox-static
readonly system=cron,logrotate,nginx-light,openssh-server,sudo,systemd-resolved,systemd-timesyncd,udev
readonly kernel=linux-image-cloud-$(dpkg --print-architecture),initramfs-tools,udev,zstd
readonly cache=${EVENKEEL_CACHE:-/var/cache/evenkeel}/rootfs
readonly debs=${EVENKEEL_CACHE:-/var/cache/evenkeel}/debs
readonly patience=900 # seconds, for one root file system

say() { echo "rootfs: $*" >&2; }

# mirror prints the Debian archive that this machine's own apt uses, whatever
# the format of its sources.
mirror() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' |
		awk -v codename="$codename" '$1 == codename && $2 == "main" { print $3; exit }'
}

# proxy exports the HTTP proxy of apt, if there is one, for debootstrap.
proxy() {
	local P=
	eval "$(apt-config shell P Acquire::http::Proxy)"
	if [ -n "$P" ] && [ "$P" != DIRECT ]; then export http_proxy=$P; fi
}

need_tools() {
	if command -v debootstrap >/dev/null; then return; fi
	say "installing debootstrap"
	apt-get update -q >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap >&2
}

build() {
	local release=${1%%-*} root=$2 include=$packages archive
	case $1 in
	*-fleet) include+=,$servers ;;
	*-podman) include+=,$containers ;;
	*-system) include+=,$system ;;
	*-vm) include+=,$kernel ;;
	esac
	archive=$(mirror)
	if [ -z "$archive" ]; then
		say "cannot find a Debian archive in apt's sources"
		return 1
	fi
	timeout --kill-after=10 "$patience" \
		debootstrap --variant=minbase --include="$include" "$release" "$root" "$archive" >&2

	# No terminal is attached to a test host: a getty would only fail and restart.
	ln -sf /dev/null "$root/etc/systemd/system/getty@.service"
	ln -sf /dev/null "$root/etc/systemd/system/console-getty.service"
	# Nothing in a test host may fetch packages behind the test's back.
	ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
	ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
	# Each host gets its own identity at its first boot.
	: >"$root/etc/machine-id"
	rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname"
	# Addresses of the machine that built it have no business here.
	rm -f "$root/etc/resolv.conf" "$root/etc/apt/sources.list"
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
	echo "$recipe" >"$root/.evenkeel-recipe"
}

# fetch downloads what a root file system lacks of some packages, with all that
# they need: fetch RELEASE SET PACKAGE...
fetch() {
	local release=$1 set=$2 root=$cache/$1 place=$debs/$1/$2 half=$debs/.$1.half stamp options
	shift 2
	# Another root file system may have other versions of what they need.
	stamp="$* $(sha256sum <"$root/var/lib/dpkg/status")"
	if [ "$(cat "$place/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
	say "fetching $* for $release"
	rm -rf "$half"
	mkdir -p "$half/lists/partial" "$half/debs/partial" "$half/none"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $release main" >"$half/sources"
	options=(-q -o "Dir::Etc::SourceList=$half/sources" -o "Dir::Etc::SourceParts=$half/none"
		-o "Dir::State::Lists=$half/lists" -o "Dir::State::Status=$root/var/lib/dpkg/status"
		-o "Dir::Cache::Archives=$half/debs" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
	timeout "$patience" apt-get "${options[@]}" update >&2
	timeout "$patience" apt-get "${options[@]}" install -y --no-install-recommends --download-only "$@" >&2
	rm -rf "$half/debs/partial" "$half/debs/lock" "$place"
	echo "$stamp" >"$half/debs/.stamp"
	mkdir -p "${place%/*}"
	mv -T "$half/debs" "$place"
	rm -rf "$half"
}

make_one() {
	local release=$1 root=$cache/$1 half
	if [ "$(cat "$root/.evenkeel-recipe" 2>/dev/null)" = "$recipe" ]; then
		echo "$root"
		return
	fi
	need_tools
	proxy
	half=$cache/.$release.half
	rm -rf --one-file-system "$half"
	say "making $root (about a minute)"
	build "$release" "$half"
	rm -rf --one-file-system "$root"
	mv -T "$half" "$root"
	echo "$root"
}

mkdir -p "$cache"
exec 9>"$cache/.lock"
if ! flock -w $((2 * patience)) 9; then
	say "another run holds $cache/.lock"
	exit 1
fi
if [ $# -eq 0 ]; then set -- bookworm trixie trixie-fleet trixie-podman bookworm-system trixie-system; fi
for name; do
	make_one "$name" 9>&-
	case $name in
	bookworm)
		fetch "$name" editors nano vim-tiny 9>&-
		fetch "$name" nginx nginx-light 9>&-
		fetch "$name" rpm rpm 9>&-
		;;
	trixie)
		fetch "$name" editors nano vim-tiny 9>&-
		fetch "$name" nginx nginx-light 9>&-
		fetch "$name" rpm rpm 9>&-
		fetch "$name" dnf rpm dnf 9>&-
		;;
	esac
done
