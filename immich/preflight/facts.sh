#!/bin/sh
# Looks at the Pi and changes nothing. Sent on standard input to "sh -s": as root and with the word "root" where sudo
# asks for no password, else as the user, who sees less. Prints sections, each begun by a line "@name", between "@look"
# and "@looked": without both it is no look. A disk that shows a file system is not read, so that a sleeping disk goes on
# sleeping.
LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH

section() { printf '@%s\n' "$1"; }

if [ "${1-}" = root ]; then sudo=yes; else sudo=no; fi

# Prints each link that leads to a device, after the device.
links_with_targets() {
  readlink -m -- "$@" | while read -r target; do
    [ -b "$target" ] && printf '%s %s\n' "$target" "$1"
    shift
  done
}

# What the kit laid down here, and whether it still lies so. Without the program the kit was never here; a program
# that fails is not the one that was laid down.
look_for_drift() {
  drift=/usr/local/libexec/ouchi-photos/drift
  [ "$sudo" = yes ] && [ -e "$drift" ] || return 0
  "$drift" 2>/dev/null ||
    echo '{"found": [{"subject": "system", "what": "the look for what was changed failed"}]}'
}

# Side by side: one takes as long as the other.
look_for_drift </dev/null | {
  section look
  section architecture
  dpkg --print-architecture 2>/dev/null
  section os
  cat /etc/os-release 2>/dev/null
  section python3
  command -v python3
  section sudo
  echo "$sudo"
  section controllers
  cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null
  section kernelLine
  for file in /boot/firmware/cmdline.txt /boot/cmdline.txt; do
    [ -f "$file" ] && echo "$file" && break
  done
  section memory
  awk '/^MemTotal:/ { print $2 * 1024 }' /proc/meminfo
  # The firmware answers only root and the group "video".
  section throttled
  if [ "$sudo" = yes ]; then vcgencmd get_throttled 2>/dev/null; fi
  section resets
  [ "$sudo" = yes ] && journalctl --dmesg --boot --quiet --no-pager --output=cat \
    --grep='usb .*: reset .*[Ss]peed.* USB device|uas_eh_abort_handler' 2>/dev/null | wc -l
  section clock
  date +%s
  section rootFree
  df -B1 --output=avail / 2>/dev/null | tail -n 1
  section mainDisk
  mountpoint -q /mnt/hdd1 2>/dev/null && df -B1 --output=size,avail /mnt/hdd1 2>/dev/null | tail -n 1
  section route
  ip -json route show default 2>/dev/null
  section addresses
  ip -json address show 2>/dev/null
  section rootDevice
  root=$(findmnt -no SOURCE / 2>/dev/null)
  readlink -f "$root"
  section blockDevices
  lsblk --json --bytes \
    --output NAME,PATH,TYPE,SIZE,MODEL,SERIAL,WWN,FSTYPE,LABEL,UUID,PTTYPE,MOUNTPOINTS 2>/dev/null

  # A link in /dev/disk leads to one device only; what each device claims shows two of the same name.
  section links
  lsblk -nrpo NAME,TYPE 2>/dev/null | awk '$2 == "disk" || $2 == "part" { print $1 }' | sort -u |
    xargs -r udevadm info --query=all 2>/dev/null | awk '
      function bridge() { if (vendor && model) bridges[vendor ":" model]; vendor = model = "" }
      /^P: / { bridge() }
      /^N: / { device = "/dev/" $2 }
      /^S: disk\/by-(id|path)\// { print device, "/dev/" $2 }
      /^E: ID_USB_VENDOR_ID=/ { vendor = substr($2, 18) }
      /^E: ID_USB_MODEL_ID=/ { model = substr($2, 17) }
      END { bridge(); print "@bridges"; for (each in bridges) print each }'
  section targets
  links_with_targets /dev/disk/by-id/* /dev/disk/by-path/*

  # A Docker that is not the kit's, and the Immich in it that somebody set up by hand. No environment is printed, because
  # passwords stand there.
  if [ "$sudo" = yes ] && [ ! -e /etc/ouchi-photos/compose/immich/compose.yaml ] && command -v docker >/dev/null; then
    section containers
    docker ps --all --quiet --no-trunc 2>/dev/null | xargs -r docker inspect --format \
      '[{{json .Name}},{{json .State.Running}},{{json .Config.Image}},{{json .Config.Labels}},{{json .Mounts}}]'
    folder=$(docker inspect --format '{{index .Config.Labels "com.docker.compose.project.working_dir"}}' \
      immich_postgres 2>/dev/null)
    section environment
    [ -n "$folder" ] && grep -E '^(IMMICH_VERSION|DB_USERNAME|DB_DATABASE_NAME)=' "$folder/.env" 2>/dev/null
    section database
    psql() {
      docker exec immich_postgres psql -X -q -t -A --username=postgres --dbname=immich --command="$1" 2>/dev/null
    }
    psql "select 'answers'"
    psql "select 'version ' || version from version_history order by \"createdAt\" desc limit 1"
    psql "select 'admin ' || email from \"user\" where \"isAdmin\" and \"deletedAt\" is null"
  fi
  section postgres
  [ "$sudo" = yes ] && cat /mnt/hdd1/immich/postgres/PG_VERSION 2>/dev/null
  section connector
  systemctl is-active cloudflared.service 2>/dev/null
  section schedules
  # People's own tables lie in a folder that root alone may list.
  [ "$sudo" = yes ] && grep --recursive --no-messages --with-filename --ignore-case --exclude=ouchi-photos \
    '^[^#].*borg' /var/spool/cron/crontabs /etc/crontab /etc/cron.d

  section drift
  cat

  # Only what shows nothing is read: a signature that udev did not tell of, or bytes without any.
  section contents
  [ "$sudo" = yes ] && lsblk -dnrpbo NAME,TYPE,SIZE 2>/dev/null | while read -r disk type size; do
    [ "$type" = disk ] || continue
    [ "$size" -ge 2097152 ] || continue
    case $disk in /dev/zram* | /dev/loop* | /dev/ram* | /dev/mmcblk*boot*) continue ;; esac
    [ "$(lsblk -nro FSTYPE,PTTYPE,PARTTYPE,MOUNTPOINT "$disk" | tr -d ' \n')" = "" ] || continue
    [ "$(lsblk -nro NAME "$disk" | wc -l)" -eq 1 ] || continue
    signatures=$(wipefs --no-act --noheadings --output TYPE "$disk" 2>/dev/null | sort -u | tr '\n' ',')
    bytes=$(
      {
        dd if="$disk" bs=1048576 count=1 2>/dev/null
        dd if="$disk" bs=1048576 skip=$((size / 1048576 - 1)) 2>/dev/null
      } | tr -d '\000' | wc -c
    )
    printf '%s %s %s\n' "$disk" "$bytes" "$signatures"
  done
  section looked
  exit 0
}
