#!/bin/sh
# Starts Valkey as the official image's entry point does: options alone mean the server, and root is
# left. The rig's own piece.
set -eu

if [ $# = 0 ] || [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
  set -- valkey-server "$@"
fi
if [ "$1" = valkey-server ] && [ "$(id -u)" = 0 ]; then
  find . ! -user valkey -exec chown valkey:valkey {} +
  exec setpriv --reuid=valkey --regid=valkey --clear-groups -- "$0" "$@"
fi
umask 0077
exec "$@"
