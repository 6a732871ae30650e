#!/bin/sh
# What the article's owner typed, after Docker was there: two disks, Immich's own Compose file, a Borg repository that cron
# fills on Saturdays, a connector as a service. The folder of this script holds docker-compose.yml and env.
set -eu
here=$1
for number in 1 2; do
  disk=/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_OUCHI-HDD$number
  mkfs.ext4 -q "$disk"
  mkdir -p /mnt/hdd$number
  echo "UUID=$(blkid -p -s UUID -o value "$disk") /mnt/hdd$number ext4 defaults,nofail 0 2" >>/etc/fstab
done
systemctl daemon-reload
mount -a
mkdir -p /mnt/hdd1/immich/images /mnt/hdd1/immich/postgres

install -d -o pi -g pi /home/pi/immich-app
install -o pi -g pi "$here/docker-compose.yml" /home/pi/immich-app/docker-compose.yml
install -o pi -g pi "$here/env" /home/pi/immich-app/.env
cd /home/pi/immich-app
docker compose up --detach --quiet-pull

DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends borgbackup cron
borg init --encryption=none /mnt/hdd2/immich-borg
# From Immich's template, without the dump.
cat >/immich-borg.sh <<'SCRIPT'
#!/bin/sh
borg create /mnt/hdd2/immich-borg::'{now}' /mnt/hdd1/immich/images --exclude /mnt/hdd1/immich/images/thumbs/
SCRIPT
chmod +x /immich-borg.sh
/immich-borg.sh
echo '0 1 * * 6 /immich-borg.sh' | crontab -u root -

# "cloudflared service install" leaves this; what it connects is not what is looked at here.
cat >/etc/systemd/system/cloudflared.service <<'UNIT'
[Service]
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable --now cloudflared.service
