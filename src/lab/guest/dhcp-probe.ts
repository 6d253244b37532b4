/**
 * A small DHCP client (RFC 2131 §3.1) on the guest kernel's UDP sockets, for machines that have no
 * `udhcpc` and no `dhclient`: DISCOVER, OFFER, REQUEST, ACK, once. Runs inside the namespace as
 * `node dhcp-probe.js IFNAME MAC SCRIPT` and calls SCRIPT as `udhcpc` would.
 */
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';

const CLIENT_PORT = 68;
const SERVER_PORT = 67;
const COOKIE = 0x6382_5363;
const HEADER_BYTES = 240;
const YIADDR = 16;
const BROADCAST_FLAG = 0x8000;
const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const ACK = 5;
const OPTION = { mask: 1, router: 3, dns: 6, mtu: 26, wanted: 50, type: 53, server: 54, list: 55 };
const RETRY_MS = 1000;
const TRIES = 10;

const quad = (bytes: Uint8Array): string => bytes.join('.');

function makeMessage(xid: Buffer, mac: Buffer, type: number, options: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.set([1, 1, 6, 0]); // BOOTREQUEST, Ethernet
  xid.copy(header, 4);
  header.writeUInt16BE(BROADCAST_FLAG, 10); // no address yet: answers come by broadcast
  mac.copy(header, 28);
  header.writeUInt32BE(COOKIE, 236);
  const list = [OPTION.list, 4, OPTION.mask, OPTION.router, OPTION.dns, OPTION.mtu];
  return Buffer.concat([header, Buffer.from([OPTION.type, 1, type, ...list]), options, END]);
}

const END = Buffer.from([255]);

function readOptions(message: Buffer): Map<number, Buffer> {
  const options = new Map<number, Buffer>();
  let off = HEADER_BYTES;
  while (off < message.length) {
    const code = message[off++] ?? 255;
    if (code === 0) continue;
    if (code === 255) break;
    const len = message[off++] ?? 0;
    options.set(code, message.subarray(off, off + len));
    off += len;
  }
  return options;
}

function main(ifName: string, macText: string, script: string): void {
  const ip = (...args: string[]): void => {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  ip('link', 'set', 'dev', ifName, 'up');
  ip('route', 'replace', 'default', 'dev', ifName); // so that a broadcast finds its way out
  const mac = Buffer.from(macText.replaceAll(':', ''), 'hex');
  const xid = randomBytes(4);
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  let message = makeMessage(xid, mac, DISCOVER, Buffer.alloc(0));
  let tries = 0;
  const transmit = (): void => {
    if (tries++ === TRIES) {
      process.stderr.write(`no answer to ${TRIES} DHCP messages\n`);
      process.exit(1);
    }
    socket.send(message, SERVER_PORT, '255.255.255.255');
  };
  const timer = setInterval(transmit, RETRY_MS);
  socket.on('message', (reply) => {
    if (reply.length < HEADER_BYTES || !reply.subarray(4, 8).equals(xid)) return;
    const options = readOptions(reply);
    const type = options.get(OPTION.type)?.[0];
    const address = reply.subarray(YIADDR, YIADDR + 4);
    if (type === OFFER) {
      const server = options.get(OPTION.server) ?? Buffer.alloc(4);
      const choice = Buffer.concat([
        Buffer.from([OPTION.wanted, 4]),
        address,
        Buffer.from([OPTION.server, 4]),
        server,
      ]);
      message = makeMessage(xid, mac, REQUEST, choice);
      transmit();
    } else if (type === ACK) {
      clearInterval(timer);
      socket.close();
      ip('route', 'del', 'default', 'dev', ifName);
      const first = (code: number): string => quad(options.get(code)?.subarray(0, 4) ?? END);
      const env = {
        ...process.env,
        interface: ifName,
        ip: quad(address),
        subnet: first(OPTION.mask),
        router: first(OPTION.router),
        dns: first(OPTION.dns),
        mtu: String(options.get(OPTION.mtu)?.readUInt16BE() ?? ''),
      };
      execFileSync('sh', [script, 'bound'], { env, stdio: 'inherit' });
    }
  });
  socket.bind(CLIENT_PORT, () => {
    socket.setBroadcast(true);
    transmit();
  });
}

const [, , ifName = '', mac = '', script = ''] = process.argv;
main(ifName, mac, script);
