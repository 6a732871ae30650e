#!/bin/sh
# on-a-card.sh FOLDER COMMAND…: runs the command while FOLDER is a file system of its own, mounted there as the boot
# partition of a card is, with the folder's files on it; what they are afterwards is copied back.
set -eu
folder=$1
shift
[ "$(id -u)" = 0 ] && as= || as=--map-root-user
# shellcheck disable=SC2016,SC2086 # the inner shell's own; no word at all for root
exec unshare --mount $as sh -eu -c '
  card=$1
  shift
  exec 3<"$card"
  mount -t tmpfs -o mode=755 tmpfs "$card"
  cp -a /proc/self/fd/3/. "$card"
  status=0
  "$@" || status=$?
  cp -a "$card"/. /proc/self/fd/3/
  exit "$status"
' sh "$folder" "$@"
