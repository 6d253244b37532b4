#!/bin/sh
# hawser-docker-proxy, for dockerd's --userland-proxy-path.
#
# dockerd starts one process for each port and address family, one after another. Starting Node for each
# costs 0.1 s and 10 MB, so this shell is what dockerd watches, and one broker (Node) serves the ports of
# all: the shell asks it through a FIFO, and holds another FIFO open for as long as it lives. When the
# shell ends, however it is killed, the broker sees that FIFO's end and frees the port. When the broker
# ends, the shells see the end of their replies, and ask a new one. `-prepare PID` starts that of a dockerd, so that
# its first port does not wait for Node either.
#
# Descriptor 3 is dockerd's: "0\n", or "1\n" and the message for the user. With -use-listen-fd descriptor 4 is the
# socket to serve, which the broker takes out of this process (broker.ts); where it cannot, Node is run for this port.

program() {
  self=$(readlink -f "$0")
  printf %s "${HAWSER_DOCKER_PROXY_MAIN:-${self%/src/cli/*}/dist/bin/docker-proxy.js}"
}
alone() {
  exec node "$(program)" "$@"
}

# Words that need quotes are not dockerd's.
case " $* " in
*[!a-zA-Z0-9.:=\ -]* | *-v* | *-help* | *' -h '* | *'--h '*) alone "$@" ;;
esac

dockerd=$PPID
if [ "$1" = -prepare ]; then
  dockerd=$2
  case "$2" in
  '' | *[!0-9]*) dockerd= ;;
  esac
  if [ $# != 2 ] || [ -z "$dockerd" ] || [ ! -d "/proc/$dockerd" ]; then
    printf 'hawser-docker-proxy: -prepare takes the process id of a dockerd that runs\n' >&2
    exit 2
  fi
fi
dir=${XDG_RUNTIME_DIR:-/run}/hawser/docker-proxy-$dockerd

# A process that has ended keeps its name until its parent asks for it (states Z and X).
live() {
  [ -p "$dir/requests" ] && read -r pid <"$dir/broker" && read -r _ name state _ <"/proc/$pid/stat" &&
    [ "$name" = "(hawser-broker)" ] && [ "$state" != Z ] && [ "$state" != X ]
} 2>/dev/null

# One of those that find no broker starts it; the others wait for it.
start() {
  mkdir -p "${dir%/*}" 2>/dev/null
  if mkdir "$dir.starting" 2>/dev/null; then
    live && rmdir "$dir.starting" && return # another was quicker
    said=$(node "$(program)" --broker "$dir" "$dockerd" 3>&- 4>&- 7>&- 8>&- 9>&- </dev/null 2>/dev/null &)
    rmdir "$dir.starting"
    [ "$said" = ready ]
    return
  fi
  for _ in 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9; do
    live && return
    sleep 0.1
  done
  rmdir "$dir.starting" 2>/dev/null # whoever made it was killed
  return 1
}

# Asks the broker. Its answer's first line is $code; the rest of it comes from descriptor 9.
ask() {
  mkfifo -m 600 "$dir/$$.life" "$dir/$$.reply" || return 1
  exec 7<>"$dir/$$.life" 8<>"$dir/$$.reply" 9<"$dir/$$.reply"
  printf '%s\n' "$$ $*" 1<>"$dir/requests" # for reading too, so that opening it never waits
  read -r code <&9
  exec 8>&- # now its end can be seen
}

# dockerd may publish the same port next: it is free when this process has ended. A broker that hangs is not waited for.
leave() {
  trap 'exit 0' INT TERM HUP QUIT USR2
  [ -n "$asked" ] || exit 0
  exec 4>&- 7>&- 8>&- # the signal may have come within ask
  (sleep 2 && kill -KILL "$$") 3>&- 9>&- </dev/null >/dev/null 2>&1 &
  read -r code <&9
  kill -KILL "$!"
  exit 0
}

if [ "$1" = -prepare ]; then
  { live || start; } && exit 0
  printf 'hawser-docker-proxy: the broker does not start: is there a Node?\n' >&2
  exit 1
fi

# Nobody would accept what comes there.
case " $* " in
*-local[\ =]never*) exec 4>&- ;;
*-local[\ =]*) ;;
*) [ "$HAWSER_LOCAL" != never ] || exec 4>&- ;;
esac

trap leave INT TERM HUP QUIT USR2
trap '' USR1
asked=
while :; do
  { live || start; } && ask "$@" || alone "$@"
  [ "$code" = 2 ] && exec 7>&- 9>&- && alone "$@"
  if [ "$code" = 0 ]; then
    [ -n "$asked" ] || printf '0\n' >&3
    exec 3>&-
    asked=1
    read -r code <&9 # until a signal, or the broker's end
  elif [ -z "$asked" ]; then
    message=$(cat <&9)
    printf '1\n%s' "$message" >&3
    printf 'hawser-docker-proxy: %s\n' "$message" >&2
    exit 1
  fi
  exec 7>&- 9>&-
  [ -d "/proc/$PPID" ] || exit 0
  sleep 1
done
