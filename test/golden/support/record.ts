/**
 * Records `fixtures/captures/*.pcap` anew: `node dist/test/golden/support/record.js [NAME ...]`, as
 * root.
 *
 * Real guests on a real daemon: this machine's kernel in a namespace, seen by tcpdump in there, and
 * a QEMU virtual machine, seen by QEMU. Neither link has offloads, so every frame is as it would be
 * on a wire: cut to the MTU, its checksums filled in.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { startVm } from '../../../src/lab/vm/start-vm.ts';
import { leaseStep, pingStep, resolveStep } from '../../../src/lab/vm/vm-steps.ts';
import { download, upload } from '../../system/support/clients.ts';
import { GATEWAY6, HOST6, SUBNET6, slaacAddress } from '../../system/support/ipv6.ts';
import {
  GATEWAY,
  type Guest,
  type GuestOptions,
  HOST,
  HTTP_PORT,
  Lab,
  OUTSIDE,
} from '../../system/support/lab.ts';
import { until } from '../../system/support/until.ts';
import { CAPTURES } from './capture.ts';

const VM = 'vm-boot';
const CLOSED_PORT = '9';
const GUEST_PORT = '80';
const PUBLISHED = '8080';
const TRANSFER_BYTES = 20_000;
const BIG_PING = '4000';

type Act = (guest: Guest, lab: Lab) => Promise<unknown>;
interface Plan extends GuestOptions {
  readonly name: string;
  /** Begin before the lease is asked for. */
  readonly withLease?: boolean;
  readonly act: Act;
}

const server = `http://${HOST}:${HTTP_PORT}`;
const dig = (guest: Guest, ...args: string[]) =>
  guest.try('dig', `@${GATEWAY}`, '+tries=1', ...args);
const ping = (guest: Guest, ...args: string[]) =>
  guest.run('ping', '-c', '2', '-i', '0.1', ...args);
const netcat = (guest: Guest, port: number, input: string) =>
  guest.run('sh', '-c', `printf '${input}' | nc -N ${HOST} ${port}`);

const PLANS: readonly Plan[] = [
  { name: 'dhcp-udhcpc', client: 'udhcpc', withLease: true, act: async () => {} },
  { name: 'dhcp-dhclient', client: 'dhclient', withLease: true, act: async () => {} },
  {
    name: 'dns',
    act: async (guest) => {
      await dig(guest, 'host.hawser.internal');
      await dig(guest, 'gateway.docker.internal', '+noedns');
      await dig(guest, 'host.hawser.internal', 'AAAA');
      await dig(guest, 'nobody.hawser.internal');
      await dig(guest, '-x', GATEWAY);
      await dig(guest, 'host.containers.internal', '+tcp');
    },
  },
  {
    name: 'tcp-from-guest',
    act: async (guest) => {
      await download(guest, server, TRANSFER_BYTES);
      await upload(guest, server, TRANSFER_BYTES);
      await netcat(guest, HTTP_PORT + 1, 'half-close'); // the guest ends first
      await netcat(guest, HTTP_PORT + 3, 'x');
      await guest.try('sh', '-c', `printf x | nc -N ${HOST} ${HTTP_PORT + 4}`); // reset
      await guest.try('nc', '-w', '2', HOST, CLOSED_PORT); // refused
    },
  },
  {
    name: 'tcp-to-guest',
    act: async (guest, lab) => {
      const listener = guest.start(['sh', '-c', `printf bye | nc -N -l ${GUEST_PORT}`]);
      await until('nc to listen', async () =>
        (await guest.run('ss', '-Hltn', `sport = :${GUEST_PORT}`)).includes('LISTEN'),
      );
      await lab.host.run('sh', '-c', `printf hello | nc -N 127.0.0.1 ${PUBLISHED}`);
      await listener.exited;
    },
  },
  {
    name: 'ping',
    act: async (guest) => {
      await ping(guest, GATEWAY);
      await ping(guest, '-s', BIG_PING, GATEWAY);
      await ping(guest, HOST);
      await ping(guest, '-s', BIG_PING, HOST);
    },
  },
  {
    name: 'udp',
    act: async (guest) => {
      const echo = `UDP4:${HOST}:${HTTP_PORT + 5}`;
      await guest.run('sh', '-c', `printf small | socat -t 1 - ${echo}`);
      await guest.run('sh', '-c', `head -c 4000 /dev/zero | socat -b 5000 -t 1 - ${echo}`);
      await guest.try('sh', '-c', `printf x | socat -t 1 - UDP4:${HOST}:${CLOSED_PORT}`);
    },
  },
  {
    name: 'traceroute',
    act: (guest) => guest.run('traceroute', '-n', '-q', '1', '-m', '3', '-w', '1', OUTSIDE),
  },
];

/** IPv6 begins anew: duplicate address detection, router solicitation, reports of groups. */
async function restartIpv6(guest: Guest): Promise<void> {
  const sysctl = 'net.ipv6.conf.eth0.disable_ipv6';
  for (const off of [1, 0]) await guest.run('sysctl', '-q', '-w', `${sysctl}=${off}`);
  await slaacAddress(guest);
}

const IPV6_PLANS: readonly Plan[] = [
  { name: 'ipv6-slaac', act: async () => {} },
  {
    name: 'ipv6-ping',
    act: async (guest) => {
      await ping(guest, '-6', GATEWAY6);
      await ping(guest, '-6', '-s', BIG_PING, GATEWAY6);
      await ping(guest, '-6', HOST6);
      await ping(guest, '-6', '-s', BIG_PING, HOST6);
      await guest.run('ping', '-6', '-c', '1', 'ff02::1%eth0');
    },
  },
  {
    name: 'ipv6-tcp',
    act: async (guest, lab) => {
      await lab.startServers(lab.host, '::1');
      const at = `http://[${HOST6}]:${HTTP_PORT}`;
      await download(guest, at, TRANSFER_BYTES);
      await upload(guest, at, TRANSFER_BYTES);
      await guest.try('nc', '-w', '2', HOST6, CLOSED_PORT); // refused
    },
  },
  {
    name: 'ipv6-udp',
    act: async (guest, lab) => {
      await lab.startServers(lab.host, '::1');
      const echo = `nc -u -w 1 ${HOST6} ${HTTP_PORT + 5}`;
      await guest.run('sh', '-c', `printf small | ${echo}`);
      await guest.run('sh', '-c', `head -c 4000 /dev/zero | ${echo}`);
    },
  },
];

/** One capture, in a lab of its own. */
async function record(plan: Plan, isIpv6: boolean): Promise<void> {
  const lab = await Lab.open();
  try {
    const socket = lab.path('qemu.sock');
    if (!isIpv6) await lab.startServers(lab.host);
    const more = isIpv6 ? ['--subnet6', SUBNET6] : ['-p', `${PUBLISHED}:${GUEST_PORT}`];
    await lab.startDaemon(['--listen', `qemu:${socket}`, ...more]);
    const guest = await lab.addGuest({ bridgeTo: socket, ...plan });
    await guest.plug();
    if (plan.withLease !== true && !isIpv6) await guest.lease();
    await guest.run('ip', 'link', 'set', 'eth0', 'up');
    const file = lab.path('capture.pcap');
    const dump = ['tcpdump', '-i', 'eth0', '-U', '--immediate-mode', '-Z', 'root', '-w', file];
    const tcpdump = guest.start(dump);
    await tcpdump.prints(/listening on/);
    if (plan.withLease === true) await guest.lease();
    if (isIpv6) await restartIpv6(guest);
    await plan.act(guest, lab);
    await lab.host.run('sleep', '0.5'); // for the last ACKs; nothing says that there are no more
    await tcpdump.stop('SIGTERM');
    keep(file, plan.name);
  } finally {
    await lab.close();
  }
}

async function recordVm(): Promise<void> {
  const lab = await Lab.open();
  try {
    const link = lab.path('qemu.sock');
    const pcap = lab.path('vm.pcap');
    await lab.startServers(lab.host);
    await lab.startDaemon(['--listen', `qemu:${link}`]);
    const fetch = `wget -q -O /dev/null ${server}/bytes/${TRANSFER_BYTES}?seed=1`;
    const steps = [
      leaseStep(),
      resolveStep('host.hawser.internal'),
      pingStep('ping', GATEWAY),
      { name: 'fetch', script: `${fetch}\n` },
    ];
    const vm = startVm({ link, mode: 'connect', memoryMiB: 256, steps, pcap });
    for await (const { step, ok, words } of vm.results) {
      if (!ok) throw new Error(`${step}: ${JSON.stringify(words)}`);
    }
    await vm.ended;
    keep(pcap, VM);
  } finally {
    await lab.close();
  }
}

function keep(file: string, name: string): void {
  copyFileSync(file, `${CAPTURES}/${name}.pcap`);
  process.stdout.write(`${name}\n`);
}

const only = process.argv.slice(2);
mkdirSync(CAPTURES, { recursive: true });
const wanted = (name: string): boolean => only.length === 0 || only.includes(name);
for (const plan of PLANS) if (wanted(plan.name)) await record(plan, false);
for (const plan of IPV6_PLANS) if (wanted(plan.name)) await record(plan, true);
if (wanted(VM)) await recordVm();
