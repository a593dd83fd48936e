#!/bin/bash
# deps.sh installs the Debian packages that the tests need and this machine
# lacks; with "vm" also what virtual machines need. It starts none of their services.
set -euo pipefail

# What each package is needed for, as a program that it brings.
wanted=(
	systemd-nspawn:systemd-container # hosts with systemd as PID 1
	debootstrap:debootstrap          # their root file systems
	ip:iproute2                      # their network
	git:git                          # the Git servers
	sshd:openssh-server              # the same over ssh
	ssh-keygen:openssh-client        # their keys
	gpg:gnupg                        # the signatures of commits
	nginx:nginx-light                # a validator and a service that people really use
	promtool:prometheus              # the judge of /metrics
	rpm:rpm                          # the judge of the rpm
	groff:groff-base                 # the judge of the man pages
	lintian:lintian                  # the judge of the deb
	gcc:gcc                          # the race detector
	perl:perl-base                   # the services of the examples
)
if [ "${1:-}" = vm ]; then wanted+=(qemu-system-x86_64:qemu-system-x86 mkfs.ext4:e2fsprogs); fi

missing=()
for pair in "${wanted[@]}"; do
	if ! command -v "${pair%%:*}" >/dev/null && [ ! -x "/usr/sbin/${pair%%:*}" ]; then
		missing+=("${pair#*:}")
	fi
done
# The race detector's C compiler is no use without its headers.
if [ ! -e /usr/include/stdlib.h ]; then missing+=(libc6-dev); fi
# The accounts of the package, which the children of the tests run as.
systemd-sysusers "$(realpath "$(dirname "$0")/../packaging/usr/lib/sysusers.d/evenkeel.conf")" >&2
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

echo "deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# As if in single-user mode, so that no maintainer script starts a service.
export RUNLEVEL=1
apt-get update -q >&2
apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
