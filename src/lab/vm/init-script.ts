/**
 * The programs inside the VM: `/init` and the script that busybox `udhcpc` calls.
 *
 * `/init` runs every file of `/hawser/steps` in order. A step prints `key=value` words on stdout;
 * `/init` reports them on the serial console as one line,
 *
 *     HAWSER step=NAME ok=1 ms=120 key=value ...
 *
 * and powers the machine off after `HAWSER end`. A step that prints `ms=N` overrides the time taken.
 */

/** In the order in which they can be loaded; those built into the kernel are absent and skipped. */
export const MODULES: readonly string[] = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'failover',
  'net_failover',
  'virtio_net',
];

export const INIT_SCRIPT: string = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir /mnt
mount -t tmpfs -o size=90% tmp /mnt
mv /tmp/* /mnt 2>/dev/null # programs taken along may have been below /tmp on the host, too
mount -o move /mnt /tmp
exec </dev/null >/dev/console 2>&1
echo 1 >/proc/sys/kernel/printk
for module in ${MODULES.join(' ')}; do
  [ -e /modules/$module.ko ] && insmod /modules/$module.ko
done
ifconfig lo up
tries=0
while [ ! -e /sys/class/net/eth0 ] && [ $tries -lt 50 ]; do
  tries=$((tries + 1))
  usleep 20000
done
ifconfig eth0 up
. /hawser/functions
echo "HAWSER step=boot ok=1 ms=$(millis) kernel=$(uname -r)"
for step in /hawser/steps/*; do
  name=\${step##*/}
  begin=$(millis)
  if words=$(sh $step 2>/tmp/error); then ok=1; else ok=0; fi
  ms=$(($(millis) - begin))
  if [ $ok = 0 ]; then words="$words error=$(tr -s ' \\n=' '___' </tmp/error | cut -c1-200)"; fi
  echo "HAWSER step=\${name#*-} ok=$ok ms=$ms" $words
done
echo "HAWSER end"
poweroff -f
`;

/** What the steps share. */
export const FUNCTIONS_SCRIPT = `millis() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }
`;

/** Applies a lease: address, mask, MTU, routes, resolv.conf. */
export const UDHCPC_SCRIPT: string = `#!/bin/sh
RESOLV=\${RESOLV_CONF:-/etc/resolv.conf}
case "$1" in
deconfig)
  ifconfig $interface 0.0.0.0
  ;;
bound | renew)
  ifconfig $interface $ip netmask \${subnet:-255.255.255.0} \${broadcast:+broadcast $broadcast}
  [ -n "$mtu" ] && ifconfig $interface mtu $mtu
  while route del default dev $interface 2>/dev/null; do :; done
  for router in $router; do
    route add default gw $router dev $interface
  done
  : >$RESOLV
  [ -n "$domain" ] && echo "search \${search:-$domain}" >>$RESOLV
  for server in $dns; do
    echo "nameserver $server" >>$RESOLV
  done
  if [ -n "$LEASE_FILE" ]; then
    echo "address=$ip mask=$subnet router=\${router%% *} dns=\${dns%% *} mtu=$mtu server=$serverid lease=$lease" >$LEASE_FILE
  fi
  ;;
esac
exit 0
`;
