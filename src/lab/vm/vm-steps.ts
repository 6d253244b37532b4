/** Steps for the VM: shell that runs under busybox and prints `key=value` words. */

export interface VmStep {
  /** Letters, digits, dashes. Reported as `step=NAME`. */
  readonly name: string;
  readonly script: string;
}

export const leaseStep = (): VmStep => ({
  name: 'lease',
  script: `export LEASE_FILE=/tmp/lease
udhcpc -i eth0 -q -n -f -t 10 -T 1 -O mtu -O search -s /hawser/udhcpc >/tmp/udhcpc.log 2>&1 || {
  tail -n 2 /tmp/udhcpc.log >&2
  exit 1
}
cat /tmp/lease
`,
});

/** @param server of DNS; that of the lease by default */
export const resolveStep = (name: string, type = 'a', server = ''): VmStep => ({
  name: 'resolve',
  script: `nslookup -type=${type} ${name} ${server} >/tmp/nslookup || { cat /tmp/nslookup >&2; exit 1; }
echo "name=${name} address=$(awk '/^Name:/ { seen = 1 } seen && /^Address/ { print $NF; exit }' /tmp/nslookup)"
`,
});

export const pingStep = (name: string, address: string): VmStep => ({
  name,
  script: `ping -c 3 -A -w 5 ${address} >/tmp/ping 2>&1 || { cat /tmp/ping >&2; exit 1; }
echo "address=${address}" $(awk -F '[ /=]+' '/round-trip/ { print "rtt=" $7 }' /tmp/ping)
`,
});

/**
 * Fetch `url` into memory, then sum it. The time is the fetch's alone: sha256 takes busybox longer,
 * on an emulated CPU, than the network does.
 */
export const downloadStep = (url: string, file = '/tmp/data'): VmStep => ({
  name: 'download',
  script: `. /hawser/functions
begin=$(millis)
wget -q -O ${file} '${url}' || exit 1
echo "ms=$(($(millis) - begin)) bytes=$(stat -c %s ${file}) sha256=$(sha256sum ${file} | cut -c1-64)"
`,
});

/** Wait for the address that the kernel makes of the router's advertisement. */
export const ipv6Step = (): VmStep => ({
  name: 'address-ipv6',
  script: `[ -e /proc/net/if_inet6 ] || { echo 'left out: the kernel of the VM has no IPv6' >&2; exit 1; }
usable() {
  ip -6 addr show dev eth0 scope global | awk '/inet6/ && !/tentative/ { sub("/.*", "", $2); print $2; exit }'
}
${waitFor('[ -n "$(usable)" ]', 'true', "echo 'no address within a minute' >&2")}
: >${HAS_IPV6}
echo "address=$(usable)"
`,
});

/** The same by IPv6, where {@link ipv6Step} has found an address. */
export const byIpv6 = ({ name, script }: VmStep): VmStep => ({
  name: `${name}-ipv6`,
  script: `[ -e ${HAS_IPV6} ] || { echo 'left out: the VM has no IPv6 address' >&2; exit 1; }
${script}`,
});

/**
 * Send what {@link downloadStep} fetched to `/sink` of `host:port`, which answers
 * `bytes=N sha256=HEX`. By hand, because the `--post-file` of busybox `wget` stops at a zero byte;
 * by `nc -e`, which hands the socket over, because `nc` itself copies a kilobyte at a time.
 */
export const uploadStep = (host: string, port: number): VmStep => ({
  name: 'upload',
  script: `[ -s /tmp/data ] || { echo nothing to send >&2; exit 1; }
cat >/tmp/send <<'END'
#!/bin/sh
printf 'POST /sink HTTP/1.1\\r\\nHost: ${host}\\r\\nConnection: close\\r\\n'
printf 'Content-Length: %s\\r\\n\\r\\n' $(stat -c %s /tmp/data)
cat /tmp/data
cat >/tmp/answer
END
chmod +x /tmp/send
nc ${host} ${port} -e /tmp/send
grep '^bytes=' /tmp/answer
`,
});

/** Start an agent that listens at `link`. @param node and `entry` are paths in the VM */
export const agentStep = (node: string, entry: string, link: string): VmStep => ({
  name: 'agent',
  script: `'${node}' '${entry}' --listen ${link} >/tmp/agent 2>&1 &
agent=$!
${waitFor("grep -q 'agent ready' /tmp/agent", 'kill -0 $agent', 'cat /tmp/agent >&2')}
`,
});

/** Serve what {@link downloadStep} fetched, as {@link SERVED_PATH}, and by IPv6, as {@link SERVED_PATH_IPV6}. */
export const serveStep = (): VmStep => ({
  name: 'serve',
  script: `mkdir -p /tmp/www/cgi-bin
cat >/tmp/www${RELEASE_PATH} <<'END'
#!/bin/sh
: >/tmp/released
printf 'Content-Type: text/plain\r\n\r\nbye\n'
END
chmod +x /tmp/www${RELEASE_PATH}
mv /tmp/data /tmp/www${SERVED_PATH}
[ ! -e ${IPV6_FILE} ] || mv ${IPV6_FILE} /tmp/www${SERVED_PATH_IPV6}
httpd -p ${SERVER_PORT} -h /tmp/www
echo "port=${SERVER_PORT}"
`,
});

/** Keep the VM up until {@link RELEASE_PATH} was asked for. */
export const holdStep = (): VmStep => ({
  name: 'hold',
  script: waitFor('[ -e /tmp/released ]', 'true', 'echo nobody released the VM >&2'),
});

const SERVER_PORT = 80;
export const SERVED_PATH = '/data';
export const SERVED_PATH_IPV6 = '/data-ipv6';
/** What was fetched by IPv6. */
export const IPV6_FILE = '/tmp/data-ipv6';
/** It is there when the VM has an address. */
const HAS_IPV6 = '/tmp/has-ipv6';
export const RELEASE_PATH = '/cgi-bin/release';
/** In steps of 50 ms. */
const TRIES = 1200;

/** @param hope while it holds, the condition may come true yet */
const waitFor = (condition: string, hope: string, otherwise: string): string => `tries=0
until ${condition}; do
  tries=$((tries + 1))
  [ $tries -lt ${TRIES} ] && ${hope} || { ${otherwise}; exit 1; }
  usleep 50000
done`;
