/**
 * What network managers make of the router's advertisements and of DHCPv6, in a guest behind a bridge. Each has a bus, a
 * process namespace and directories of its own; nothing of the machine is touched.
 */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab, type Namespace } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const SUBNET6 = 'fd12:3456:0:1::/64';
const GATEWAY6 = 'fd12:3456:0:1::1';
const ROUTER = 'fe80::5894:efff:fee4:cdd';
const MADE = /inet6 fd12:3456:0:1:[\da-f:]+\/64 scope global dynamic/;
const LEASED = /inet6 fd12:3456:0:1::[\da-f:]+\/128 scope global dynamic/;
const START_MS = 40_000;

const BUS = `
  mkdir -p /run/dbus /var/lib/dbus /var/lib/NetworkManager /var/lib/connman
  cp /etc/resolv.conf /run/resolv.conf && mount --bind /run/resolv.conf /etc/resolv.conf
  dbus-daemon --system --nofork --nopidfile &
  until [ -S /run/dbus/system_bus_socket ]; do :; done`;

const NETWORK_MANAGER = `
  mount -t tmpfs none /etc/NetworkManager
  mkdir -p /etc/NetworkManager/system-connections
  cat > /etc/NetworkManager/NetworkManager.conf <<END
[main]
plugins=keyfile
dns=none
auth-polkit=false
END
  cat > /etc/NetworkManager/system-connections/eth0.nmconnection <<END
[connection]
id=eth0
type=ethernet
interface-name=eth0
[ipv4]
method=auto
[ipv6]
method=auto
END
  chmod 600 /etc/NetworkManager/system-connections/eth0.nmconnection
  NetworkManager --no-daemon &
  until nmcli -f IP6,DHCP6 device show eth0 > /run/shown 2>&1 &&
    grep -q DHCP6.*ip6_address /run/shown && grep -q IP6.GATEWAY.*fe80 /run/shown; do sleep 0.2; done
  cat /run/shown && echo complete && wait`;

const CONNMAN = `
  connmand -n --nodnsproxy -r -i eth0 &
  until connmanctl services ethernet_$(tr -d : < /sys/class/net/eth0/address)_cable > /run/shown 2>&1 &&
    grep -q 'IPv6 = .*Address=' /run/shown && grep -q 'Nameservers = .*::1 ' /run/shown; do sleep 0.2; done
  cat /run/shown && echo complete && wait`;

systemSuite(
  'network managers in a guest',
  [...LAB, 'ipv6', 'dbus-daemon', 'NetworkManager', 'connmand', 'ping'],
  function () {
    this.timeout(90_000);
    let lab: Lab;
    let behind: Namespace;
    let daemon: Daemon;

    beforeEach(async () => {
      lab = await Lab.open();
      const guest: Guest = await lab.addGuest();
      const args = ['--subnet6', SUBNET6, '--ipv6', 'on', '--dns-search', 'corp.example'];
      daemon = await lab.startDaemon(['--listen', guest.link, ...args]);
      behind = await lab.addGuest();
      const ip = (...command: string[]): Promise<string> => guest.run('ip', ...command);
      await ip('link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
      await ip('link', 'set', 'eth0', 'master', 'br0');
      await ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', behind.name);
      await ip('link', 'set', 'v0', 'master', 'br0', 'up');
      await ip('link', 'set', 'br0', 'up');
    });
    afterEach(async () => {
      assert.ok(daemon.isRunning, daemon.stderr);
      await lab.close();
    });

    /** @returns what it shows of the interface, once that is complete */
    async function manage(script: string): Promise<string> {
      const mounts = ['/run', '/var/lib'].map((dir) => `mount -t tmpfs none ${dir}`);
      const whole = ['set -e', ...mounts, 'mount -t sysfs -o ro none /sys', BUS, script].join('\n');
      const own = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
      const manager: Background = behind.start([...own, 'sh', '-c', whole]);
      await until(
        'the manager to be done',
        () => manager.stdout.includes('complete'),
        START_MS,
      ).catch((error: unknown) => {
        throw new Error(`${manager.stdout}${manager.stderr}`.slice(-3_000), { cause: error });
      });
      return manager.stdout;
    }
    /** Past duplicate address detection. */
    const has = (address: RegExp): Promise<boolean> =>
      until(`${address.source}`, async () =>
        address.test(await behind.run('ip', '-6', 'addr', 'show', 'dev', 'eth0')),
      );

    it('NetworkManager has an address of either kind, the route, and what DHCPv6 has', async () => {
      const shown = await manage(NETWORK_MANAGER);
      await has(MADE);
      await has(LEASED);
      for (const form of [
        new RegExp(`IP6.GATEWAY:\\s+${ROUTER}`),
        new RegExp(`IP6.DNS\\[1\\]:\\s+${GATEWAY6}`),
        /IP6.SEARCHES\[1\]:\s+corp\.example/,
        new RegExp(`dhcp6_ntp_servers = ${GATEWAY6}`),
      ]) {
        assert.match(shown, form);
      }
      const { stdout } = await behind.try('ping', '-6', '-c', '1', '-W', '5', GATEWAY6);
      assert.match(stdout, / 1 received/);
    });

    it('connman has an address, the route, and the name server of the advertisement', async () => {
      const shown = await manage(CONNMAN);
      await has(MADE);
      assert.match(shown, new RegExp(`Nameservers = .*${GATEWAY6}`));
      assert.match(await behind.run('ip', '-6', 'route'), new RegExp(`default via ${ROUTER}`));
      const { stdout } = await behind.try('ping', '-6', '-c', '1', '-W', '5', GATEWAY6);
      assert.match(stdout, / 1 received/);
    });
  },
);
