#!/bin/sh
# Stands in for get.docker.com: Debian's own Docker, repacked under the names, the conflicts and the shared files of
# Docker's packages. As there, the Compose plugin does not declare that Debian's docker-compose holds the same file.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2
install -d -o _apt /var/tmp/elsewhere
cd /var/tmp/elsewhere
apt-get download --quiet=2 docker.io docker-cli docker-compose containerd runc

# repack <name> <depends> <conflicts> <Debian's package…>
repack() {
  name=$1 depends=$2 conflicts=$3
  shift 3
  dpkg-deb --raw-extract "$1"_*.deb "$name"
  shift
  for package; do dpkg-deb --extract "$package"_*.deb "$name"; done
  {
    echo "Package: $name"
    echo "Version: 5:29.0.0-1~elsewhere"
    echo "Architecture: $(dpkg --print-architecture)"
    echo "Maintainer: The rehearsal <nobody@localhost>"
    [ -z "$depends" ] || echo "Depends: $depends"
    [ -z "$conflicts" ] || echo "Conflicts: $conflicts"
    [ "$name" != containerd.io ] || echo "Provides: $conflicts"
    echo "Description: Debian's, under the name that Docker's own package has"
  } >"$name/DEBIAN/control"
  dpkg-deb --build -Znone "$name" "$name.deb"
  rm -r "$name"
}
repack containerd.io "libseccomp2" "containerd, runc" containerd runc
repack docker-ce-cli "" "" docker-cli
repack docker-compose-plugin "" "" docker-compose
repack docker-ce "containerd.io, docker-ce-cli, iptables" "docker.io" docker.io
apt-get install --yes --quiet=2 --no-install-recommends ./containerd.io.deb ./docker-ce-cli.deb \
  ./docker-compose-plugin.deb ./docker-ce.deb
rm -r /var/tmp/elsewhere
systemctl enable --now docker.service
