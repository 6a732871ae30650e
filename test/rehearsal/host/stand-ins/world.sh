#!/bin/sh
# Makes the world's root in the namespace that this process holds, then waits until its standard input is closed.
set -eu
folder=$1
root=$folder/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/run"
# An empty folder over the machine's own mounts, /mnt on the overlay itself: its attributes are part of the test.
mount -t tmpfs tmpfs "$root/dev"
mkdir -p "$root/dev/disk/by-id" "$root/dev/disk/by-path" "$root/dev/shm"
chmod 1777 "$root/dev/shm"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/random" c 1 8
ln -s /proc/self/fd "$root/dev/fd"
rm -rf "$root/etc/ouchi-photos" "$root/var/lib/ouchi-photos" "$root/usr/local/libexec/ouchi-photos"
rm -f "$root/etc/docker/daemon.json" "$root/etc/cron.d/ouchi-photos"
rm -rf "$root/mnt/hdd1" "$root/mnt/hdd2"
echo "UUID=0-0 /boot/firmware vfat defaults,noauto 0 2" >"$root/etc/fstab"
ip link set lo up
# Immich's port in this network of its own: the answer that `stack` and `backup` wait for, unless Immich is to be silent.
python3 -B -c '
import http.server, os, sys
class Ping(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        silent = os.path.exists(sys.argv[1] + "/run/stand-ins/silent")
        self.send_response(503 if silent else 200); self.end_headers(); self.wfile.write(b"{}" if silent else b"{\"res\":\"pong\"}")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 2283), Ping).serve_forever()
' "$root" &
server=$!
python3 -B "$(dirname "$0")/docker-api.py" "$root" &
docker=$!
trap 'kill "$server" "$docker" 2>/dev/null' EXIT
echo ready
cat >/dev/null
