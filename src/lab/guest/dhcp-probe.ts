/**
 * A small DHCP client (RFC 2131 §3.1) on the guest kernel's UDP sockets, for machines that have no
 * `udhcpc` and no `dhclient`: DISCOVER, OFFER, REQUEST, ACK, once. Runs inside the namespace as
 * `node dhcp-probe.js IFNAME MAC SCRIPT` and calls SCRIPT as `udhcpc` would.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { formatIpv4 } from '../../base/ip-address.ts';
import type { Mac } from '../../wire/mac.ts';
import { type DhcpAnswer, dhcpRequest, readDhcpAnswer } from './dhcp-messages.ts';

const CLIENT_PORT = 68;
const SERVER_PORT = 67;
const RETRY_MS = 1000;
const TRIES = 10;

function main(ifName: string, mac: Mac, script: string): void {
  const ip = (...args: string[]): void => {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  ip('link', 'set', 'dev', ifName, 'up');
  ip('route', 'replace', 'default', 'dev', ifName); // so that broadcasts have a route
  const xid = randomBytes(4).readInt32BE();
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  let message = dhcpRequest(xid, mac, undefined);
  let tries = 0;
  const transmit = (): void => {
    if (tries++ === TRIES) {
      process.stderr.write(`no answer to ${TRIES} DHCP messages\n`);
      process.exit(1);
    }
    socket.send(message, SERVER_PORT, '255.255.255.255');
  };
  const timer = setInterval(transmit, RETRY_MS);
  socket.on('message', ({ buffer, byteOffset, byteLength }) => {
    const answer = readDhcpAnswer(new DataView(buffer, byteOffset, byteLength), xid);
    if (answer?.type === 'offer') {
      message = dhcpRequest(xid, mac, answer);
      transmit();
    } else if (answer?.type === 'ack') {
      clearInterval(timer);
      socket.close();
      ip('route', 'del', 'default', 'dev', ifName);
      const env = { ...process.env, ...variables(ifName, answer) };
      execFileSync('sh', [script, 'bound'], { env, stdio: 'inherit' });
    }
  });
  socket.bind(CLIENT_PORT, () => {
    socket.setBroadcast(true);
    transmit();
  });
}

const given = (word: number): string => (word === -1 ? '' : formatIpv4(word));

/** As `udhcpc` hands them to its script. */
const variables = (
  ifName: string,
  { address, mask, router, dns, mtu }: DhcpAnswer,
): Readonly<Record<string, string>> => ({
  interface: ifName,
  ip: given(address),
  subnet: given(mask),
  router: given(router),
  dns: given(dns),
  mtu: mtu === 0 ? '' : String(mtu),
});

const [, , ifName = '', mac = '', script = ''] = process.argv;
main(ifName, Number.parseInt(mac.replaceAll(':', ''), 16), script);
