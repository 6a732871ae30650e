#!/bin/sh
# Makes the world look like a fit Raspberry Pi with the user "pi", to whom a real sshd opens.
set -eu
useradd --create-home --shell /bin/bash pi
# Not locked: without PAM, sshd lets nobody into a locked account.
usermod -p '*' pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/010-pi
chmod 440 /etc/sudoers.d/010-pi
rm -f /etc/os-release
printf 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n' >/etc/os-release
mkdir /usr/local/sbin/of-the-world
mv /usr/local/sbin/dpkg /usr/local/sbin/of-the-world/dpkg
cat >/usr/local/sbin/dpkg <<'END'
#!/bin/sh
[ "$1" = --print-architecture ] && echo arm64 && exit
exec /usr/local/sbin/of-the-world/dpkg "$@"
END
chmod 755 /usr/local/sbin/dpkg
mount -t tmpfs tmpfs /sys/fs/cgroup
echo 'cpuset cpu io memory pids' >/sys/fs/cgroup/cgroup.controllers
ip route add default dev lo
# Immich's place: the pretend one takes it.
pkill --full ThreadingHTTPServer
while pgrep --full ThreadingHTTPServer >/dev/null; do sleep 0.1; done
mkdir -p /run/sshd
chmod 755 /run/sshd
mkdir -m 755 /run/ssh
cd /run/ssh
ssh-keygen -q -t ed25519 -N '' -C '' -f host
ssh-keygen -q -t ed25519 -N '' -C '' -f key
cp key.pub keys
printf '%s\n' 'HostKey /run/ssh/host' 'AuthorizedKeysFile /run/ssh/keys' 'StrictModes no' 'UsePAM no' 'PidFile none' >config
