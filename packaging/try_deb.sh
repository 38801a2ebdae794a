#!/usr/bin/env bash
# Tries a package in a bare Debian 12: debootstrap, apt-get install, then the installed program. By hand, as root; it
# needs debootstrap and a network. Prints what it did, and exits with 1 at the first thing that is wrong.
#   packaging/try_deb.sh hallmark_0.1.0_amd64.deb [FOLDER for the Debian; it is removed at the end]
set -euo pipefail
deb=$(realpath "$1") root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
debian=${2:-$(mktemp -d)}
mirror=${MIRROR:-http://deb.debian.org/debian}
at_end() { mountpoint -q "$debian/proc" && umount "$debian/proc"; rm -rf "$debian"; }
trap at_end EXIT
wrong() { echo "WRONG: $*"; exit 1; }

# Prints a command and what it says, in the Debian; fails as it does. The environment is a login's.
inside() {
    echo; echo "\$ $*"
    chroot "$debian" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
        DEBIAN_FRONTEND=noninteractive bash -euo pipefail -c "$*" 2>&1
}
quietly() {
    inside "$@" > "$debian/quiet" || { cat "$debian/quiet"; wrong "$*"; }
    echo; echo "\$ $*"
    tail -n "${lines:-2}" "$debian/quiet"
}

echo "\$ debootstrap --variant=minbase bookworm DIR $mirror"
debootstrap --variant=minbase bookworm "$debian" "$mirror" > "$debian.log" 2>&1 ||
    { tail "$debian.log"; wrong debootstrap; }
rm -f "$debian.log"
mount -t proc proc "$debian/proc"
cp "$deb" "$debian/root/" && cp -r "$root/fixtures/tiny-gemma4" "$debian/root/tiny"
cat > "$debian/etc/dpkg/dpkg.cfg.d/manual" <<< "path-include=/usr/share/man/*"
cd /

package=/root/$(basename "$deb")
inside "cat /etc/debian_version; dpkg --get-selections | wc -l"
inside "dpkg-deb -f $package; dpkg-deb -c $package | awk '!/\/\$/ { print \$1, \$3, \$6 }'"
lines=4 quietly "apt-get update -q && apt-get install -y -q --no-install-recommends $package"
inside "hallmark --version"
inside "cd /root; hallmark convert tiny -o tiny-BF16.gguf"
inside "cd /root; hallmark verify tiny-BF16.gguf --fixture tiny/fixtures/bfloat16.json.gz 2> /dev/null"
lines=8 quietly "cd /root; hallmark release tiny -o tiny-GGUF --types bf16,q4_k_m"
inside "cd /root; hallmark check tiny-GGUF 2> /dev/null"
inside 'cd /root; mkdir bare; cp tiny/*.* bare
  { hallmark release bare -o bare-GGUF --types bf16 2> /dev/null || echo exit status $?; } | grep -E "hf_fixture|exit"
  test -d bare-GGUF.unverified'
inside 'source /usr/share/bash-completion/completions/hallmark
  COMP_WORDS=(hallmark release tiny --ty) COMP_CWORD=3; _hallmark; echo "${COMPREPLY[@]}"'
inside "hallmark completion bash | cmp - /usr/share/bash-completion/completions/hallmark && echo the same"
lines=1 quietly "apt-get install -y -q --no-install-recommends man-db zsh fish"
inside "man hallmark-release | sed -n 1,20p; man --warnings hallmark-release > /dev/null"
inside "man -k hallmark | wc -l"
inside "zsh -fc 'autoload -Uz compinit; compinit -D; whence -v _hallmark; echo \$_comps[hallmark]'"
inside "fish -c 'complete -C \"hallmark release x --ty\"'"
lines=1 quietly "apt-get remove -y -q hallmark"
inside "find / -xdev -name '*hallmark*' | grep -vE '^/(root|proc|var/lib/dpkg|var/cache)/' || echo nothing is left"
echo
echo "Everything did what it should."
