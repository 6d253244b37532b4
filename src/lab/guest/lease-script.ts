/**
 * The script that a DHCP client calls with its news, for busybox `udhcpc` and ISC `dhclient` alike.
 * It applies address, mask, MTU and routes, writes the DNS servers to `$RESOLV_CONF`, and prints the
 * lease as one line: `HAWSER-LEASE address=... prefix=... router=... dns=... mtu=...`.
 */
export const LEASE_SCRIPT: string = `#!/bin/sh
event=\${reason:-$1}
if [ -n "$reason" ]; then # dhclient
  ip=$new_ip_address subnet=$new_subnet_mask router=$new_routers dns=$new_domain_name_servers
  mtu=$new_interface_mtu domain=$new_domain_name
fi
prefix_of() {
  bits=0
  for octet in $(echo "$1" | tr . ' '); do
    while [ "$octet" -gt 0 ]; do
      bits=$((bits + octet % 2)) octet=$((octet / 2))
    done
  done
  echo $bits
}
case "$event" in
PREINIT)
  command ip link set dev $interface up
  ;;
deconfig | EXPIRE | RELEASE | STOP | FAIL)
  command ip -4 addr flush dev $interface
  command ip link set dev $interface up
  ;;
bound | renew | BOUND | RENEW | REBIND | REBOOT)
  prefix=$(prefix_of "\${subnet:-255.255.255.0}")
  [ -n "$mtu" ] && command ip link set dev $interface mtu $mtu
  command ip -4 addr flush dev $interface
  command ip addr add $ip/$prefix broadcast + dev $interface
  while command ip route del default dev $interface 2>/dev/null; do :; done
  for hop in $router; do
    command ip route add default via $hop dev $interface
  done
  if [ -n "$RESOLV_CONF" ]; then
    : >$RESOLV_CONF
    [ -n "$domain" ] && echo "search $domain" >>$RESOLV_CONF
    for server in $dns; do
      echo "nameserver $server" >>$RESOLV_CONF
    done
  fi
  echo "HAWSER-LEASE address=$ip prefix=$prefix router=\${router%% *} dns=\${dns%% *} mtu=$mtu"
  ;;
esac
exit 0
`;
